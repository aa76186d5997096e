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


def affine(x, w, name):
    return x * w[f"{name}/alpha"] + w[f"{name}/beta"]


def batch_norm(x, w, name):
    """In inference, with PyTorch's epsilon."""
    deviation = np.sqrt(w[f"{name}/moving_variance"] + 1e-5)
    return (x - w[f"{name}/moving_mean"]) / deviation * w[f"{name}/gamma"] + w[f"{name}/beta"]


def linear(x, w, name):
    return x @ w[f"{name}/kernel"]


def dense(x, w, name):
    return linear(x, w, name) + w[f"{name}/bias"]


def mlp(x, w, name, activation):
    return dense(activation(dense(x, w, f"{name}/expand")), w, f"{name}/project")


def blocks(w):
    return len({path.split("/")[0] for path in w if path.startswith("block_")})


def depths(w):
    """The number of blocks of each stage, from paths like "stage_1_block_0/channel_norm/gamma"."""
    names = {path.split("/")[0] for path in w if path.startswith("stage_")}
    stages = [int(name.split("_")[1]) for name in names]
    return [stages.count(stage) for stage in range(max(stages) + 1)]


def convolution(x, w, name, stride, padding=0):
    """[B, H, W, C] -> [B, h, w, width], with `padding` rows and columns of zeros on each side."""
    kernel = w[f"{name}/kernel"]
    side = kernel.shape[0]
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    rows = [
        [
            np.einsum("bhwc,hwcd->bd", x[:, top : top + side, left : left + side], kernel)
            for left in range(0, x.shape[2] - side + 1, stride)
        ]
        for top in range(0, x.shape[1] - side + 1, stride)
    ]
    return np.stack([np.stack(row, axis=1) for row in rows], axis=1) + w[f"{name}/bias"]


def patch_map(image, w, name):
    """[B, H, W, C] -> [B, H/P, W/P, width]."""
    return convolution(image, w, name, stride=w[f"{name}/kernel"].shape[0])


def patches(image, w, name):
    """[B, H, W, C] -> [B, S, width], one patch after the other."""
    x = patch_map(image, w, name)
    return x.reshape(len(x), -1, x.shape[-1])


def mlp_mixer(w, image, gelu=gelu_tanh):
    """Tolstikhin et al. 2021, eq. 1."""
    x = patches(image, w, "stem")
    for i in range(blocks(w)):
        y = layer_norm(x, w, f"block_{i}/token_norm", 1e-6).swapaxes(1, 2)
        x = x + mlp(y, w, f"block_{i}/token_mlp", gelu).swapaxes(1, 2)
        y = layer_norm(x, w, f"block_{i}/channel_norm", 1e-6)
        x = x + mlp(y, w, f"block_{i}/channel_mlp", gelu)
    return dense(layer_norm(x, w, "norm", 1e-6).mean(axis=1), w, "head")


def res_mlp(w, image):
    """Touvron et al. 2021, algorithm 1."""
    x = patches(image, w, "stem")
    for i in range(blocks(w)):
        y = affine(x, w, f"block_{i}/token_affine").swapaxes(1, 2)
        y = dense(y, w, f"block_{i}/token_dense").swapaxes(1, 2)
        x = x + w[f"block_{i}/token_scale/gamma"] * y
        y = mlp(affine(x, w, f"block_{i}/channel_affine"), w, f"block_{i}/channel_mlp", gelu_erf)
        x = x + w[f"block_{i}/channel_scale/gamma"] * y
    return dense(affine(x, w, "norm").mean(axis=1), w, "head")


def g_mlp(w, image):
    """Liu et al. 2021, eq. 1 to 4; the kinds of norm and GELU, and the epsilons, are timm's."""
    x = patches(image, w, "stem")
    for i in range(blocks(w)):
        y = layer_norm(x, w, f"block_{i}/norm", 1e-6)
        u, v = np.split(gelu_erf(dense(y, w, f"block_{i}/expand")), 2, axis=-1)
        v = layer_norm(v, w, f"block_{i}/gate_norm", 1e-5)
        v = dense(v.swapaxes(1, 2), w, f"block_{i}/token_dense").swapaxes(1, 2)
        x = x + dense(u * v, w, f"block_{i}/project")
    return dense(layer_norm(x, w, "norm", 1e-6).mean(axis=1), w, "head")


def g_mixer(w, image):
    """MLP-Mixer with gated MLPs, as timm's gmixer_12_224; there is no paper."""

    def gated_mlp(x, name):
        gate = dense(x, w, f"{name}/gate")
        silu = gate / (1 + np.exp(-gate))
        return dense(dense(x, w, f"{name}/expand") * silu, w, f"{name}/project")

    x = patches(image, w, "stem")
    for i in range(blocks(w)):
        y = layer_norm(x, w, f"block_{i}/token_norm", 1e-6).swapaxes(1, 2)
        x = x + gated_mlp(y, f"block_{i}/token_mlp").swapaxes(1, 2)
        y = layer_norm(x, w, f"block_{i}/channel_norm", 1e-6)
        x = x + gated_mlp(y, f"block_{i}/channel_mlp")
    return dense(layer_norm(x, w, "norm", 1e-6).mean(axis=1), w, "head")


def circulant(u, kernel):
    """Yu et al. 2021 (CCS), eq. 7: tokens [B, N, C] and one row of `kernel` [G, N] for each group.

    The groups are contiguous, as in the paper's figure 1b.
    """
    groups, tokens = kernel.shape
    size = u.shape[-1] // groups
    y = np.zeros_like(u)
    for g in range(groups):
        channels = slice(g * size, (g + 1) * size)
        for i in range(tokens):
            for j in range(tokens):
                y[:, i, channels] += kernel[g, j] * u[:, (i + j) % tokens, channels]
    return y


def ccs(w, image):
    """Yu et al. 2021, eq. 6 and 7, in MLP-Mixer or in ResMLP, whichever the weights belong to."""
    x = patches(image, w, "stem")
    for i in range(blocks(w)):
        y = norm_or_affine(x, w, f"block_{i}/token_norm")
        y = circulant(y, w[f"block_{i}/token_mixing/kernel"])
        x = x + w.get(f"block_{i}/token_scale/gamma", 1) * y
        y = norm_or_affine(x, w, f"block_{i}/channel_norm")
        y = mlp(y, w, f"block_{i}/channel_mlp", gelu_erf)
        x = x + w.get(f"block_{i}/channel_scale/gamma", 1) * y
    return dense(norm_or_affine(x, w, "norm").mean(axis=1), w, "head")


def norm_or_affine(x, w, name):
    return layer_norm(x, w, name, 1e-6) if f"{name}/gamma" in w else affine(x, w, name)


# For each quarter of the channels, by how many cells it moves along axes 1 and 2 of [B, H, W, C].
SHIFT_A = (1, 0), (-1, 0), (0, 1), (0, -1)
SHIFT_B = (0, 1), (0, -1), (1, 0), (-1, 0)


def spatial_shift(x, steps):
    """Yu et al. 2021 (S2-MLP), eq. 3: a cell without a source in the map keeps its own value."""
    _, rows, columns, width = x.shape
    y = x.copy()
    for quarter, (down, right) in enumerate(steps):
        channels = slice(quarter * width // 4, (quarter + 1) * width // 4)
        for i in range(rows):
            for j in range(columns):
                if 0 <= i - down < rows and 0 <= j - right < columns:
                    y[:, i, j, channels] = x[:, i - down, j - right, channels]
    return y


def s2_mlp(w, image):
    """Yu et al. 2021, figure 1: each branch ends in a norm, and none precedes the pooling."""
    x = norm_or_affine(patch_map(image, w, "stem"), w, "stem_norm")
    for i in range(blocks(w)):
        y = gelu_erf(dense(x, w, f"block_{i}/spatial_mlp/expand"))
        y = dense(spatial_shift(y, SHIFT_A), w, f"block_{i}/spatial_mlp/project")
        x = x + norm_or_affine(y, w, f"block_{i}/spatial_norm")
        y = mlp(x, w, f"block_{i}/channel_mlp", gelu_erf)
        x = x + norm_or_affine(y, w, f"block_{i}/channel_norm")
    return dense(x.mean(axis=(1, 2)), w, "head")


def split_attention(parts, w, name, layer):
    """Yu et al. 2021 (S2-MLPv2), eq. 2 to 4, with the mean over tokens: maps -> their mixture."""
    mean = sum(parts).mean(axis=(1, 2))
    scores = layer(gelu_erf(layer(mean, w, f"{name}/squeeze")), w, f"{name}/excite")
    shares = np.exp(scores.reshape(len(mean), len(parts), -1))
    shares /= shares.sum(axis=1, keepdims=True)
    return sum(part * shares[:, None, None, k] for k, part in enumerate(parts))


def s2_mlp_v2(w, image):
    """Yu et al. 2021, eq. 2 to 10."""
    x = patch_map(image, w, "stem")
    for stage, depth in enumerate(depths(w)):
        if stage > 0:
            x = patch_map(x, w, f"downsample_{stage}")
        for block in (f"stage_{stage}_block_{i}" for i in range(depth)):
            y = dense(layer_norm(x, w, f"{block}/spatial_norm", 1e-6), w, f"{block}/spatial_expand")
            first, second, third = np.split(y, 3, axis=-1)
            parts = spatial_shift(first, SHIFT_A), spatial_shift(second, SHIFT_B), third
            y = split_attention(parts, w, f"{block}/attention", linear)
            x = x + dense(y, w, f"{block}/spatial_project")
            y = layer_norm(x, w, f"{block}/channel_norm", 1e-6)
            x = x + mlp(y, w, f"{block}/channel_mlp", gelu_erf)
    return dense(layer_norm(x, w, "norm", 1e-6).mean(axis=(1, 2)), w, "head")


def relu(x):
    return np.maximum(x, 0)


def region_mlp(x, w, name, size, step):
    """Hire-MLP's branch over axis 1 of [B, H, W, C], in regions of `size` adjacent rows.

    Row r of the map that is shifted by `step` and then padded is row r - step of `x`, modulo H.
    """
    _, rows, _, width = x.shape
    kernel = w[f"{name}/squeeze/kernel"].reshape(size, width, -1)
    y = np.full_like(x, np.nan)
    for start in range(0, rows, size):
        hidden = sum(x[:, (start + k - step) % rows] @ kernel[k] for k in range(size))
        hidden = relu(batch_norm(hidden, w, f"{name}/norm"))
        expanded = dense(hidden, w, f"{name}/expand")
        for k in range(size):
            if start + k < rows:  # otherwise it is a row of the padding
                y[:, (start + k - step) % rows] = expanded[..., k * width : (k + 1) * width]
    return y


def hire_mlp(w, image, regions=(4, 3, 3, 2), strides=(2, 2, 3, 2), dilations=(2, 2, 1, 1)):
    """Guo et al. 2022, as in the official code: a block's shift is `i % stride * dilation`."""
    x = relu(batch_norm(convolution(image, w, "stem", 4, padding=2), w, "stem_norm"))
    for stage, depth in enumerate(depths(w)):
        if stage > 0:
            x = convolution(x, w, f"downsample_{stage}", 2, padding=1)
            x = relu(batch_norm(x, w, f"downsample_{stage}_norm"))
        for i in range(depth):
            block = f"stage_{stage}_block_{i}"
            size, step = regions[stage], i % strides[stage] * dilations[stage]
            y = batch_norm(x, w, f"{block}/spatial_norm")
            rows = region_mlp(y, w, f"{block}/height_mlp", size, step)
            columns = region_mlp(y.swapaxes(1, 2), w, f"{block}/width_mlp", size, step)
            parts = rows, columns.swapaxes(1, 2), dense(y, w, f"{block}/channel_dense")
            y = split_attention(parts, w, f"{block}/attention", dense)
            x = x + dense(y, w, f"{block}/project")
            y = batch_norm(x, w, f"{block}/channel_norm")
            x = x + mlp(y, w, f"{block}/channel_mlp", gelu_erf)
    return dense(batch_norm(x, w, "norm").mean(axis=(1, 2)), w, "head")


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
