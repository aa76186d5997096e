"""Plain JAX programs of the papers' networks, as Flax has them: the reference on TPUs.

    python -m benchmarks.flax_models MODEL TPU BATCH train|predict

Prints the figures of the TPU's compiler as JSON, for `benchmarks.tpu_estimates`. MLP-Mixer is
vit_jax/models_mixer.py, operation by operation. For ResMLP and gMLP there is no Flax code by the
authors; they are written here in the same way from ResMLP's official code and timm's gMLP. Dense
layers have parameters in float32 and compute in bfloat16, LayerNorm is that of flax.linen and Adam
that of Optax. Names of weights are the official ones for MLP-Mixer, otherwise those of our models.
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
EPSILON, GATE_EPSILON = 1e-6, 1e-5
HALF, FULL = jnp.bfloat16, jnp.float32

# ------------------------------------------------------------------------------------------ layers


def layer_norm(x, weights, epsilon=EPSILON):
    """flax.linen's: statistics in float32, in one pass."""
    z = x.astype(FULL)
    mean = z.mean(-1, keepdims=True)
    variance = jnp.maximum(0.0, (z * z).mean(-1, keepdims=True) - mean * mean)
    scale = jax.lax.rsqrt(variance + epsilon) * weights["scale"]
    return ((x - mean) * scale + weights["bias"]).astype(HALF)


def dense(x, weights):
    kernel, bias = weights["kernel"].astype(HALF), weights["bias"].astype(HALF)
    return jax.lax.dot_general(x, kernel, (((x.ndim - 1,), (0,)), ((), ()))) + bias


def affine(x, weights):
    return weights["alpha"].astype(HALF) * x + weights["beta"].astype(HALF)


def across_tokens(x, weights):
    """A dense layer over the tokens of [B, S, C]."""
    return jnp.swapaxes(dense(jnp.swapaxes(x, 1, 2), weights), 1, 2)


def stem(image, weights):
    patch = weights["kernel"].shape[:2]
    x = jax.lax.conv_general_dilated(
        *(image.astype(HALF), weights["kernel"].astype(HALF), patch, "VALID"),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    x = x + weights["bias"].astype(HALF)
    return x.reshape(x.shape[0], -1, x.shape[-1])


def classifier(block, norm, name):
    """A network of blocks and, before the mean and the head, a norm of that name."""

    def network(weights, image):
        x = stem(image, weights["stem"])
        for each in weights["blocks"]:
            x = block(x, each)
        return dense(jnp.mean(norm(x, weights[name]), axis=1), weights["head"])

    return network


def _array(*shape):
    return jax.ShapeDtypeStruct(shape, FULL)


def _dense(*shape):
    return {"kernel": _array(*shape), "bias": _array(shape[-1])}


def _norm(width):
    return {"scale": _array(width), "bias": _array(width)}


def _classifier(patch_size, width, blocks, **norm):
    """Shapes of the weights of a `classifier`."""
    stem, head = _dense(patch_size, patch_size, 3, width), _dense(width, CLASSES)
    return {"stem": stem, "blocks": blocks, **norm, "head": head}


# --------------------------------------------------------------------------------------- MLP-Mixer


def mlp_block(x, weights):
    return dense(gelu(dense(x, weights["Dense_0"])), weights["Dense_1"])


def mixer_block(x, weights):
    y = jnp.swapaxes(layer_norm(x, weights["LayerNorm_0"]), 1, 2)
    y = mlp_block(y, weights["token_mixing"])
    x = x + jnp.swapaxes(y, 1, 2)
    y = layer_norm(x, weights["LayerNorm_1"])
    return x + mlp_block(y, weights["channel_mixing"])


mlp_mixer = classifier(mixer_block, layer_norm, "pre_head_layer_norm")


def mlp_mixer_weights(tokens, *, patch_size, width, depth, token_mlp_dim, channel_mlp_dim):
    def mlp(outer, inner):
        return {"Dense_0": _dense(outer, inner), "Dense_1": _dense(inner, outer)}

    block = {
        "LayerNorm_0": _norm(width),
        "token_mixing": mlp(tokens, token_mlp_dim),
        "LayerNorm_1": _norm(width),
        "channel_mixing": mlp(width, channel_mlp_dim),
    }
    return _classifier(patch_size, width, [block] * depth, pre_head_layer_norm=_norm(width))


# ------------------------------------------------------------------------------------------ ResMLP


def res_mlp_block(x, weights):
    y = across_tokens(affine(x, weights["token_affine"]), weights["token_dense"])
    x = x + weights["token_scale"]["gamma"].astype(HALF) * y
    y = affine(x, weights["channel_affine"])
    y = gelu(dense(y, weights["channel_mlp"]["expand"]), approximate=False)
    y = dense(y, weights["channel_mlp"]["project"])
    return x + weights["channel_scale"]["gamma"].astype(HALF) * y


res_mlp = classifier(res_mlp_block, affine, "norm")


def res_mlp_weights(tokens, *, patch_size, width, depth, channel_mlp_dim, layer_scale):
    affine = {"alpha": _array(width), "beta": _array(width)}
    block = {
        "token_affine": affine,
        "token_dense": _dense(tokens, tokens),
        "token_scale": {"gamma": _array(width)},
        "channel_affine": affine,
        "channel_mlp": {
            "expand": _dense(width, channel_mlp_dim),
            "project": _dense(channel_mlp_dim, width),
        },
        "channel_scale": {"gamma": _array(width)},
    }
    return _classifier(patch_size, width, [block] * depth, norm=affine)


# -------------------------------------------------------------------------------------------- gMLP


def g_mlp_block(x, weights):
    y = layer_norm(x, weights["norm"])
    y = gelu(dense(y, weights["expand"]), approximate=False)
    u, v = jnp.split(y, 2, axis=-1)
    v = across_tokens(layer_norm(v, weights["gate_norm"], GATE_EPSILON), weights["token_dense"])
    return x + dense(u * v, weights["project"])


g_mlp = classifier(g_mlp_block, layer_norm, "norm")


def g_mlp_weights(tokens, *, patch_size, width, depth, hidden_dim):
    block = {
        "norm": _norm(width),
        "expand": _dense(width, hidden_dim),
        "gate_norm": _norm(hidden_dim // 2),
        "token_dense": _dense(tokens, tokens),
        "project": _dense(hidden_dim // 2, width),
    }
    return _classifier(patch_size, width, [block] * depth, norm=_norm(width))


# ---------------------------------------------------------------------------------------- programs


# Name of the architecture -> the network and the shapes of its weights.
NETWORKS = {
    "mlp_mixer": (mlp_mixer, mlp_mixer_weights),
    "res_mlp": (res_mlp, res_mlp_weights),
    "g_mlp": (g_mlp, g_mlp_weights),
}


def parameters(architecture, size, **sizes):
    """Shapes of the parameters for images of `size` pixels a side."""
    _, weights = NETWORKS[architecture]
    return weights((size // sizes["patch_size"]) ** 2, **sizes)


def train_step(network):
    def step(state, image, labels):
        weights, first, second, count = state

        def loss(weights):
            logits = network(weights, image).astype(FULL)
            return -jnp.mean(jnp.sum(labels * log_softmax(logits), axis=-1))

        value, gradient = jax.value_and_grad(loss)(weights)
        count = count + 1
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradient)

        def updated(w, m, v):
            m, v = m / (1 - 0.9**count), v / (1 - 0.999**count)
            return w - 1e-3 * m / (jnp.sqrt(v) + 1e-8)

        return (jax.tree.map(updated, weights, first, second), first, second, count), value

    return step


def lowered(name, tpu, batch, train):
    """The program, lowered for the compiler."""
    builder, (replicated, sharded) = BUILDERS[name], shardings(find_slice(tpu))
    architecture, size = builder.architecture.name, builder.input_shape[0]
    network, _ = NETWORKS[architecture]
    weights = parameters(architecture, size, **builder.sizes)
    image = jax.ShapeDtypeStruct((batch, size, size, 3), FULL, sharding=sharded)
    labels = jax.ShapeDtypeStruct((batch, CLASSES), FULL, sharding=sharded)
    state = (weights, weights, weights, jax.ShapeDtypeStruct((), FULL)) if train else weights
    state = jax.tree.map(
        lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=replicated), state
    )
    if train:
        return jax.jit(train_step(network), donate_argnums=0).lower(state, image, labels)
    return jax.jit(network).lower(state, image)


if __name__ == "__main__":
    name, tpu, batch, step = sys.argv[1:]
    train = step == "train"
    print(json.dumps(measured(lowered(name, tpu, int(batch), train), train)))
