"""Every architecture's forward pass once more, in NumPy and float64, from its paper's equations.

Each takes the weights by path, as `{"block_0/token_norm/gamma": array}`, and images [B, H, W, C],
and gives logits [B, classes].
"""

import math

import numpy as np


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def gelu_erf(x):
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / np.sqrt(2)))


def layer_norm(x, w, name, epsilon):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + epsilon) * w[f"{name}/gamma"] + w[f"{name}/beta"]


def dense(x, w, name):
    return x @ w[f"{name}/kernel"] + w[f"{name}/bias"]


def blocks(w):
    return len({path.split("/")[0] for path in w if path.startswith("block_")})


def patches(image, w, name):
    """[B, H, W, C] -> [B, S, width], one patch after the other."""
    side = w[f"{name}/kernel"].shape[0]
    _, height, width, _ = image.shape
    tokens = [
        np.einsum("bhwc,hwcd->bd", image[:, y : y + side, x : x + side], w[f"{name}/kernel"])
        for y in range(0, height, side)
        for x in range(0, width, side)
    ]
    return np.stack(tokens, axis=1) + w[f"{name}/bias"]


def mlp_mixer(w, image, gelu=gelu_tanh):
    """Tolstikhin et al. 2021, eq. 1."""

    def mlp(x, name):
        return dense(gelu(dense(x, w, f"{name}/expand")), w, f"{name}/project")

    x = patches(image, w, "stem")
    for i in range(blocks(w)):
        y = layer_norm(x, w, f"block_{i}/token_norm", 1e-6)
        x = x + mlp(y.swapaxes(1, 2), f"block_{i}/token_mlp").swapaxes(1, 2)
        x = x + mlp(layer_norm(x, w, f"block_{i}/channel_norm", 1e-6), f"block_{i}/channel_mlp")
    return dense(layer_norm(x, w, "norm", 1e-6).mean(axis=1), w, "head")


def res_mlp(w, image):
    """Touvron et al. 2021, algorithm 1."""

    def affine(x, name):
        return x * w[f"{name}/alpha"] + w[f"{name}/beta"]

    x = patches(image, w, "stem")
    for i in range(blocks(w)):
        y = dense(affine(x, f"block_{i}/token_affine").swapaxes(1, 2), w, f"block_{i}/token_dense")
        x = x + w[f"block_{i}/token_scale/gamma"] * y.swapaxes(1, 2)
        y = dense(affine(x, f"block_{i}/channel_affine"), w, f"block_{i}/channel_mlp/expand")
        y = dense(gelu_erf(y), w, f"block_{i}/channel_mlp/project")
        x = x + w[f"block_{i}/channel_scale/gamma"] * y
    return dense(affine(x, "norm").mean(axis=1), w, "head")


def official_mlp_mixer(w, image):
    """The same network, written after vit_jax/models_mixer.py, with Flax's names and defaults."""

    def dense(x, name):  # nn.Dense
        return x @ w[f"{name}/kernel"] + w[f"{name}/bias"]

    def norm(x, name):  # nn.LayerNorm
        variance = (x * x).mean(-1, keepdims=True) - x.mean(-1, keepdims=True) ** 2
        scaled = (x - x.mean(-1, keepdims=True)) / np.sqrt(variance + 1e-6)
        return scaled * w[f"{name}/scale"] + w[f"{name}/bias"]

    def mlp(x, name):  # nn.gelu is the tanh form unless told otherwise
        return dense(gelu_tanh(dense(x, f"{name}/Dense_0")), f"{name}/Dense_1")

    x = patches(image, w, "stem")
    for i in range(sum(name.endswith("LayerNorm_0/scale") for name in w)):
        block = f"MixerBlock_{i}"
        y = norm(x, f"{block}/LayerNorm_0")
        x = x + mlp(y.swapaxes(1, 2), f"{block}/token_mixing").swapaxes(1, 2)
        x = x + mlp(norm(x, f"{block}/LayerNorm_1"), f"{block}/channel_mixing")
    return dense(norm(x, "pre_head_layer_norm").mean(axis=1), "head")
