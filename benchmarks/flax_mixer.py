"""The official Flax Mixer in JAX alone: the reference for our estimates on TPUs.

    python -m benchmarks.flax_mixer MODEL TPU BATCH train|predict

Prints the figures of the TPU's compiler as JSON, for `benchmarks.tpu_estimates`. The program is
vit_jax/models_mixer.py, operation by operation, with parameters in float32, activations in
bfloat16, LayerNorm as in flax.linen and Adam as in Optax.
"""

import json
import sys

import jax
import jax.numpy as jnp
from jax.nn import gelu, log_softmax

from keras_mixer.models import BUILDERS
from keras_mixer.tpu import find_slice
from keras_mixer.tpu.compile import measured, shardings

CLASSES = 1000
EPSILON = 1e-6
HALF, FULL = jnp.bfloat16, jnp.float32


def layer_norm(x, weights):
    """flax.linen's: statistics in float32, in one pass."""
    z = x.astype(FULL)
    mean = z.mean(-1, keepdims=True)
    variance = jnp.maximum(0.0, (z * z).mean(-1, keepdims=True) - mean * mean)
    scale = jax.lax.rsqrt(variance + EPSILON) * weights["scale"]
    return ((x - mean) * scale + weights["bias"]).astype(HALF)


def dense(x, weights):
    kernel, bias = weights["kernel"].astype(HALF), weights["bias"].astype(HALF)
    return jax.lax.dot_general(x, kernel, (((x.ndim - 1,), (0,)), ((), ()))) + bias


def mlp_block(x, weights):
    return dense(gelu(dense(x, weights["Dense_0"])), weights["Dense_1"])


def mixer_block(x, weights):
    y = jnp.swapaxes(layer_norm(x, weights["LayerNorm_0"]), 1, 2)
    y = mlp_block(y, weights["token_mixing"])
    x = x + jnp.swapaxes(y, 1, 2)
    y = layer_norm(x, weights["LayerNorm_1"])
    return x + mlp_block(y, weights["channel_mixing"])


def mlp_mixer(weights, image):
    stem = weights["stem"]
    patch = stem["kernel"].shape[:2]
    x = jax.lax.conv_general_dilated(
        *(image.astype(HALF), stem["kernel"].astype(HALF), patch, "VALID"),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    x = x + stem["bias"].astype(HALF)
    x = x.reshape(x.shape[0], -1, x.shape[-1])
    for block in weights["blocks"]:
        x = mixer_block(x, block)
    x = layer_norm(x, weights["pre_head_layer_norm"])
    return dense(jnp.mean(x, axis=1), weights["head"])


def parameters(size, *, patch_size, width, depth, token_mlp_dim, channel_mlp_dim):
    """Shapes of the parameters for images of `size` pixels a side."""
    tokens = (size // patch_size) ** 2

    def array(*shape):
        return jax.ShapeDtypeStruct(shape, FULL)

    def affine(*shape):
        return {"kernel": array(*shape), "bias": array(shape[-1])}

    def norm():
        return {"scale": array(width), "bias": array(width)}

    def mlp(outer, inner):
        return {"Dense_0": affine(outer, inner), "Dense_1": affine(inner, outer)}

    def block():
        return {
            "LayerNorm_0": norm(),
            "token_mixing": mlp(tokens, token_mlp_dim),
            "LayerNorm_1": norm(),
            "channel_mixing": mlp(width, channel_mlp_dim),
        }

    return {
        "stem": affine(patch_size, patch_size, 3, width),
        "blocks": [block() for _ in range(depth)],
        "pre_head_layer_norm": norm(),
        "head": affine(width, CLASSES),
    }


def train_step(state, image, labels):
    weights, first, second, count = state

    def loss(weights):
        logits = mlp_mixer(weights, image).astype(FULL)
        return -jnp.mean(jnp.sum(labels * log_softmax(logits), axis=-1))

    value, gradient = jax.value_and_grad(loss)(weights)
    count = count + 1
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradient)

    def updated(w, m, v):
        m, v = m / (1 - 0.9**count), v / (1 - 0.999**count)
        return w - 1e-3 * m / (jnp.sqrt(v) + 1e-8)

    return (jax.tree.map(updated, weights, first, second), first, second, count), value


def lowered(name, tpu, batch, train):
    """The program, lowered for the compiler."""
    builder, (replicated, sharded) = BUILDERS[name], shardings(find_slice(tpu))
    size = builder.input_shape[0]
    weights = parameters(size, **builder.sizes)
    image = jax.ShapeDtypeStruct((batch, size, size, 3), FULL, sharding=sharded)
    labels = jax.ShapeDtypeStruct((batch, CLASSES), FULL, sharding=sharded)
    state = (weights, weights, weights, jax.ShapeDtypeStruct((), FULL)) if train else weights
    state = jax.tree.map(
        lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=replicated), state
    )
    if train:
        return jax.jit(train_step, donate_argnums=0).lower(state, image, labels)
    return jax.jit(mlp_mixer).lower(state, image)


if __name__ == "__main__":
    name, tpu, batch, step = sys.argv[1:]
    train = step == "train"
    print(json.dumps(measured(lowered(name, tpu, int(batch), train), train)))
