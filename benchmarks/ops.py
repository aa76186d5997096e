"""Forms of each paper's own operation: a plain one and others, of which ours is the first.

`benchmarks.rewrites` times them. Each form is the function `form(x, name)` of a symbolic map
`[B, h, w, C]`, or of its tokens `[B, S, C]`. All forms of an operation compute the same from the
same weights, which a test checks.
"""

from functools import partial

import keras
from keras import layers, ops

from keras_mixer.layers import Circulant, Dense, SpatialShift, SplitAttention
from keras_mixer.models.hire_mlp import BATCH_NORM, RegionMlp

BLOCKS = 4  # of a network that is timed, so that the rest of it weighs little


# ----------------------------------------------------------- the spatial shift of S2-MLP


def shift_by_slices(x, name):
    return SpatialShift(name=name)(x)


def shift_by_padding(x, name):
    """The map with its border twice, of which each quarter of the channels is a window."""
    h, w = x.shape[1:3]
    wide = ops.concatenate([x[:, :1], x, x[:, -1:]], axis=1)
    wide = ops.concatenate([wide[:, :, :1], wide, wide[:, :, -1:]], axis=2)
    down, up, right, left = ops.split(wide, 4, axis=-1)
    return ops.concatenate(
        [down[:, :h, 1:-1], up[:, 2:, 1:-1], right[:, 1:-1, :w], left[:, 1:-1, 2:]], axis=-1
    )


def shift_by_rolling(x, name):
    """The plain form: each quarter is rolled, and the border cells are put back."""
    quarters = zip(ops.split(x, 4, axis=-1), ((1, 1), (1, -1), (2, 1), (2, -1)), strict=True)
    moved = []
    for quarter, (axis, step) in quarters:
        length = x.shape[axis]
        place = ops.reshape(ops.arange(length), (-1, 1, 1) if axis == 1 else (1, -1, 1))
        border = ops.equal(place, 0 if step == 1 else length - 1)
        moved.append(ops.where(border, quarter, ops.roll(quarter, step, axis)))
    return ops.concatenate(moved, axis=-1)


# ----------------------------------------------------- the circulant token mixing of CCS


def circulant(x, name, fft=False):
    x = ops.transpose(x, (0, 2, 1))
    return ops.transpose(Circulant(8, fft, name=name)(x), (0, 2, 1))


# ------------------------------------------------------------ the regions of Hire-MLP

REGION, STEP = 3, 1


def regions_by_convolution(x, name):
    return RegionMlp(1, REGION, STEP, name=name)(x)


def regions_by_folding(x, name):
    """The plain form: the map is rolled and padded, and the cells of a region become channels."""
    _, h, w, c = x.shape
    x = ops.roll(x, STEP, axis=1)
    x = ops.concatenate([x, x[:, : -h % REGION]], axis=1)
    regions = x.shape[1] // REGION
    x = ops.transpose(ops.reshape(x, (-1, regions, REGION, w, c)), (0, 1, 3, 2, 4))
    x = ops.reshape(x, (-1, regions, w, REGION * c))
    x = layers.Dense(c // 2, use_bias=False, name=f"{name}_squeeze")(x)
    x = ops.relu(BATCH_NORM(name=f"{name}_norm")(x))
    x = layers.Dense(REGION * c, name=f"{name}_expand")(x)
    x = ops.transpose(ops.reshape(x, (-1, regions, w, REGION, c)), (0, 1, 3, 2, 4))
    return ops.roll(ops.reshape(x, (-1, regions * REGION, w, c))[:, :h], -STEP, axis=1)


# ------------------------------------- the split attention of S2-MLPv2 and of Hire-MLP


def attention_by_sums(x, name):
    return SplitAttention(False, name=name)([x, ops.relu(x), ops.sigmoid(x)])


def attention_stacked(x, name):
    """The plain form: the three branches are one tensor with an axis of their own."""
    c = x.shape[-1]
    branches = ops.stack([x, ops.relu(x), ops.sigmoid(x)], axis=1)
    mean = ops.mean(ops.sum(branches, axis=1), axis=(1, 2))
    weights = layers.Dense(c // 4, use_bias=False, name=f"{name}_squeeze")(mean)
    weights = ops.gelu(weights, approximate=False)
    weights = layers.Dense(3 * c, use_bias=False, name=f"{name}_excite")(weights)
    weights = ops.softmax(ops.reshape(weights, (-1, 3, 1, 1, c)), axis=1)
    return ops.sum(weights * branches, axis=1)


# --------------------------------------------------------- the spatial gate of gMLP


def gate_by_transposing(x, name):
    u, v = ops.split(x, 2, axis=-1)
    dense = layers.Dense(x.shape[1], name=name)
    return u * ops.transpose(dense(ops.transpose(v, (0, 2, 1))), (0, 2, 1))


def gate_by_einsum(x, name):
    """The plain form: the dense layer works on the axis of the tokens, where it is."""
    u, v = ops.split(x, 2, axis=-1)
    shape = x.shape[1], v.shape[-1]
    return u * layers.EinsumDense("bsc,st->btc", shape, bias_axes="t", name=name)(v)


OF_TOKENS = {"circulant", "gate"}
# Operation -> (shape of its map, form -> function). The first form is ours, the last one plain.
OPERATIONS = {
    "shift": (
        (14, 14, 384),
        {"slices": shift_by_slices, "padding": shift_by_padding, "rolling": shift_by_rolling},
    ),
    "circulant": ((14, 14, 768), {"matrices": circulant, "fft": partial(circulant, fft=True)}),
    "regions": (
        (14, 14, 320),
        {"convolution": regions_by_convolution, "folding": regions_by_folding},
    ),
    "attention": ((14, 14, 384), {"sums": attention_by_sums, "stacked": attention_stacked}),
    "gate": ((14, 14, 768), {"transposing": gate_by_transposing, "einsum": gate_by_einsum}),
}


def network(operation, form, depth=BLOCKS, shape=None):
    """A classifier of residual blocks of two dense layers with the operation between them."""
    default, forms = OPERATIONS[operation]
    x = image = keras.Input(shape or default)
    channels = x.shape[-1]
    if operation in OF_TOKENS:
        x = ops.reshape(x, (-1, x.shape[1] * x.shape[2], channels))
    for i in range(depth):
        y = Dense(channels, name=f"block_{i}_expand")(x)
        y = forms[form](y, f"block_{i}_op")
        x = x + Dense(channels, name=f"block_{i}_project")(y)
    x = ops.mean(x, axis=tuple(range(1, len(x.shape) - 1)))
    return keras.Model(image, Dense(10, activation="softmax", name="head")(x))
