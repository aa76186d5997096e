"""Hire-MLP: Vision MLP via Hierarchical Rearrangement.

Guo, Tang, Han, Chen, Wu, Xu, Xu, Wang. CVPR 2022, https://arxiv.org/abs/2108.13341

Official code: ggjy/Hire-Wave-MLP.pytorch, mlp_based/hire_mlp.py.

    image             [B, H, W, 3]
    stem              [B, H/4, W/4, C_1]     convolution of 7 x 7 with stride 4, batch norm, ReLU
    block, x N_1      [B, H/4, W/4, C_1]     Y = X + Hire(BN(X)); then Y + MLP(BN(Y)), width 4 C
    downsample        [B, H/8, W/8, C_2]     convolution of 3 x 3 with stride 2, batch norm, ReLU
    block, x N_2      [B, H/8, W/8, C_2]     and so on, at 1/16 and 1/32
    norm, map         [B, H/32, W/32, C_4]
    pool, head        [B, classes]           mean over the map, then one dense layer

Hire(X) is the split attention of three branches, followed by a dense layer: one mixes regions of p
rows, one regions of p columns (inner-region rearrangement), one channels alone. The map is first
moved by s cells along the branch's axis, circularly, and moved back behind the branch (cross-region
rearrangement). A map whose side p does not divide is padded circularly.

The first version of the paper has layer norms, adds the branches, moves every second block, and
reaches other accuracies. This is the released code, which the released weights belong to: batch
norms, split attention, and in block j of a stage a shift by (j mod cycle) * step. Its direction is
that of this code; the port for MindSpore moves the other way.

Difference: in training, the running variance of batch norms is the mean of the batches' variances
as they are, as in Keras; PyTorch keeps the unbiased ones, larger by n / (n - 1) for the n cells of
a batch's map.
"""

from functools import partial
from typing import ClassVar

import keras
import numpy as np
from keras import ops

from keras_mixer._checks import check_shape, check_whole
from keras_mixer.images import IMAGENET, Preprocessing
from keras_mixer.layers import (
    BatchNorm,
    Dense,
    Level,
    Mlp,
    Residual,
    SplitAttention,
    drop_path_rates,
)
from keras_mixer.layers.sublayer import sublayer
from keras_mixer.layers.windows import convolve_windows
from keras_mixer.models.architecture import Architecture
from keras_mixer.weights import Release, pytorch
from keras_mixer.weights.layouts import Conversion, MisfitError, Rule, permuted, single

MEAN, STD = IMAGENET
PREPROCESSING = Preprocessing(MEAN, STD)
# train.py's evaluation: the shorter side becomes 256 / 224 of the image's, by torchvision.
EVALUATION = Preprocessing(MEAN, STD, None, "resmall_crop", 0.875, "bicubic", library="pillow")
# The official code's trunc_normal_ truncates at -2 and 2, a hundred standard deviations away.
NORMAL = {"class_name": "RandomNormal", "config": {"stddev": 0.02}}
BATCH_NORM = partial(BatchNorm, momentum=0.9, epsilon=1e-5)  # PyTorch's


class RegionConv(keras.layers.Conv2D):
    """A convolution whose stride is its kernel's size."""

    def convolution_op(self, inputs, kernel):
        return convolve_windows(inputs, kernel)


@keras.saving.register_keras_serializable("keras_mixer")
class RegionMlp(keras.layers.Layer):
    """An MLP over the cells of each region of rows or columns, [B, h, w, C] -> [B, h, w, C].

    The map is moved by `step` cells, padded circularly to whole regions, and in each row or column
    of cells `size` neighbours of `C` channels go through `expand(relu(norm(squeeze(x))))`. Then it
    is cropped and moved back.

    Args:
        axis: 1 for regions of rows, 2 for regions of columns.
        size: Cells of a region.
        step: Cells by which the map is moved, circularly, in the direction of larger indices.

    Input shape: `[B, h, w, C]`; `h`, `w` and `C` static, `C` even.
    Output shape: the input's.

    Weights: `squeeze/kernel`, of a convolution of `size` rows `[size, 1, C, C / 2]` or columns
    `[1, size, C, C / 2]`; `norm/...`, a batch norm's; `expand/kernel` [C / 2, size * C], the
    channels of the region's first cell first, and `expand/bias`.

    Source: Hire-MLP paper, section 3.2; `HireMLP` in the official code.
    """

    def __init__(self, axis, size, step=0, **kwargs):
        super().__init__(**kwargs)
        who = f"RegionMlp '{self.name}'"
        if axis not in (1, 2):
            raise ValueError(f"{who} needs axis to be 1 or 2; got {axis!r}.")
        check_whole(who, 1, size=size)
        check_whole(who, 0, step=step)
        self.axis = axis
        self.size = size
        self.step = step

    def build(self, input_shape):
        who = f"RegionMlp '{self.name}'"
        check_shape(who, input_shape, "BhwC", "hwC")
        *outer, channels = input_shape
        if channels % 2:
            raise ValueError(f"{who} needs channels that 2 divides; got {channels}.")
        padded = list(input_shape)  # a map may be smaller than a region
        padded[self.axis] += -padded[self.axis] % self.size
        window = (self.size, 1) if self.axis == 1 else (1, self.size)
        hidden = *outer, channels // 2
        built = partial(sublayer, self)
        dense = partial(Dense, kernel_initializer=NORMAL)
        self.squeeze = built(
            *(RegionConv, "squeeze", tuple(padded), channels // 2, window, window),
            use_bias=False,
            kernel_initializer=NORMAL,
            data_format="channels_last",
        )
        self.norm = built(BATCH_NORM, "norm", hidden)
        self.expand = built(dense, "expand", hidden, self.size * channels)

    def call(self, x):
        length = x.shape[self.axis]
        regions = -(-length // self.size)
        x = circular(x, self.axis, -self.step, regions * self.size)
        x = self.expand(ops.relu(self.norm(self.squeeze(x))))
        x = self._cells(x, regions)
        return circular(x, self.axis, self.step, length, length)

    def _cells(self, x, regions):
        """Regions with the channels of their cells -> cells."""
        _, height, width, channels = x.shape
        channels //= self.size
        if self.axis == 2:
            return ops.reshape(x, (-1, height, width * self.size, channels))
        x = ops.reshape(x, (-1, width, self.size, channels))  # a batch of rows of regions
        x = ops.transpose(x, (0, 2, 1, 3))
        return ops.reshape(x, (-1, height * self.size, width, channels))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | {"axis": self.axis, "size": self.size, "step": self.step}


def circular(x, axis, start, count, length=None):
    """`count` entries along an axis from index `start` on, modulo its length or the given one."""
    length = length or x.shape[axis]
    before, pieces = (slice(None),) * axis, []
    while count:
        start %= length
        end = min(start + count, length)
        pieces.append(x[*before, start:end])
        count -= end - start
        start = end
    return pieces[0] if len(pieces) == 1 else ops.concatenate(pieces, axis)


@keras.saving.register_keras_serializable("keras_mixer")
class HireBlock(Residual):
    """Regions of rows, regions of columns and channels, then an MLP, [B, h, w, C] -> [B, h, w, C].

        x = BN(X)
        Y = X + project(SplitAttention(height_mlp(x), width_mlp(x), channel_dense(x)))
        Z = Y + Mlp(BN(Y))

    Args:
        channel_mlp_dim: Hidden width of the MLP.
        region: Cells of a region.
        step: Cells by which the map is moved for the regions.
        drop_path_rate, remat: See `keras_mixer.layers.Residual`.

    Input shape: `[B, h, w, C]`; `h`, `w` and `C` static, 4 divides `C`.
    Output shape: as the input.

    Source: Hire-MLP paper, eq. 1; `HireBlock` in the official code.
    """

    # Cells are moved and padded circularly: an offset of the channels is the same in all of them.
    folds: ClassVar = {
        "spatial_norm": {
            "height_mlp/squeeze/kernel": "height_mlp/norm/moving_mean",
            "width_mlp/squeeze/kernel": "width_mlp/norm/moving_mean",
            "channel_dense/kernel": "channel_dense/bias",
        }
    }

    def __init__(self, channel_mlp_dim, region, step, drop_path_rate=0.0, remat=False, **kwargs):
        super().__init__(drop_path_rate, remat, **kwargs)
        self.channel_mlp_dim = channel_mlp_dim
        self.region = region
        self.step = step

    def build(self, input_shape):
        width = input_shape[-1]
        dense = partial(Dense, width, kernel_initializer=NORMAL)
        attention = partial(SplitAttention, kernel_initializer=NORMAL)
        self.spatial_norm = self.sublayer(BATCH_NORM, "spatial_norm", input_shape)
        for axis, name in (1, "height_mlp"), (2, "width_mlp"):
            arguments = axis, self.region, self.step
            setattr(self, name, self.sublayer(RegionMlp, name, input_shape, *arguments))
        self.channel_dense = self.sublayer(dense, "channel_dense", input_shape)
        self.attention = self.sublayer(attention, "attention", [input_shape] * 3)
        self.project = self.sublayer(dense, "project", input_shape)
        self.channel_norm = self.sublayer(BATCH_NORM, "channel_norm", input_shape)
        self.channel_mlp = self.sublayer(
            Mlp, "channel_mlp", input_shape, self.channel_mlp_dim, "erf", NORMAL
        )
        super().build(input_shape)

    def branches(self):
        return self.mix_tokens, self.mix_channels

    def mix_tokens(self, x):
        x = self.spatial_norm(x)
        branches = [self.height_mlp(x), self.width_mlp(x), self.channel_dense(x)]
        return self.project(self.attention(branches))

    def mix_channels(self, x):
        return self.channel_mlp(self.channel_norm(x))


# The official code's layers are convolutions of 1 x 1, and channel c of cell k in a region of p, or
# of branch k of 3, is its channel c * p + k; ours is k * C + c.


def _matrix(array):
    if array.ndim != 4 or array.shape[2:] != (1, 1):
        raise MisfitError("must have 4 axes, the last two of length 1")
    return array[:, :, 0, 0]


POINTWISE = Conversion(lambda a: _matrix(a).T, lambda a: a.T[:, :, None, None])
BRANCHES = permuted(lambda length: np.arange(length).reshape(-1, 3).T.reshape(-1), axis=-1)


def pointwise(theirs):
    return pytorch.dense(theirs, POINTWISE)


def excite(theirs):
    return lambda ours: [
        single(f"{ours}/kernel", f"{theirs}.weight", POINTWISE.then(BRANCHES)),
        single(f"{ours}/bias", f"{theirs}.bias", BRANCHES),
    ]


def squeeze(theirs, axis):
    """[C / 2, C p, 1, 1] and, along rows, [p, 1, C, C / 2]."""

    def to_ours(array):
        array = _matrix(array)
        half, width = array.shape
        if width % (2 * half):
            raise MisfitError("must have an input for each channel of each cell of a region")
        kernel = array.reshape(half, 2 * half, -1).transpose(2, 1, 0)
        return np.expand_dims(kernel, 2 - axis)

    def to_theirs(kernel):
        kernel = kernel.squeeze(2 - axis)  # [p, C, C / 2]
        return kernel.transpose(2, 1, 0).reshape(kernel.shape[2], -1)[:, :, None, None]

    return lambda ours: [
        single(f"{ours}/kernel", f"{theirs}.weight", Conversion(to_ours, to_theirs))
    ]


def expand(theirs):
    """[C p, C / 2, 1, 1] and [C / 2, p C], with the bias, which alone does not tell C."""

    def to_ours(kernel, bias):
        kernel = _matrix(kernel)
        half = kernel.shape[1]
        if len(kernel) % (2 * half) or bias.shape != kernel.shape[:1]:
            raise MisfitError("must have an output for each channel of each cell of a region")
        kernel = kernel.reshape(2 * half, -1, half).transpose(2, 1, 0)
        return kernel.reshape(half, -1), bias.reshape(2 * half, -1).T.reshape(-1)

    def to_theirs(kernel, bias):
        half, width = kernel.shape
        kernel = kernel.reshape(half, -1, 2 * half).transpose(2, 1, 0).reshape(width, half)
        return kernel[:, :, None, None], bias.reshape(-1, 2 * half).T.reshape(-1)

    return lambda ours: [
        Rule(
            (f"{ours}/kernel", f"{ours}/bias"),
            (f"{theirs}.weight", f"{theirs}.bias"),
            to_ours,
            to_theirs,
        )
    ]


def block(ours, theirs):
    regions = {}
    for axis, name, letter in (1, "height", "h"), (2, "width", "w"):
        mlp = f"{theirs}.attn.mlp_{letter}"
        regions |= {
            f"{ours}/{name}_mlp/squeeze": squeeze(f"{mlp}1", axis),
            f"{ours}/{name}_mlp/norm": pytorch.batch_norm(f"{mlp}1_norm"),
            f"{ours}/{name}_mlp/expand": expand(f"{mlp}2"),
        }
    return {
        f"{ours}/spatial_norm": pytorch.batch_norm(f"{theirs}.norm1"),
        **regions,
        f"{ours}/channel_dense": pointwise(f"{theirs}.attn.mlp_c"),
        f"{ours}/attention/squeeze": pointwise(f"{theirs}.attn.reweight.fc1"),
        f"{ours}/attention/excite": excite(f"{theirs}.attn.reweight.fc2"),
        f"{ours}/project": pointwise(f"{theirs}.attn.proj"),
        f"{ours}/channel_norm": pytorch.batch_norm(f"{theirs}.norm2"),
        f"{ours}/channel_mlp/expand": pointwise(f"{theirs}.mlp.fc1"),
        f"{ours}/channel_mlp/project": pointwise(f"{theirs}.mlp.fc2"),
    }


def stage(s):
    """Stage `s` and the convolution in front of it, modules `2 s` and `2 s - 1` of the network."""
    ours, theirs = f"downsample_{s}", f"network.{2 * s - 1}"
    before = (
        {}
        if s == 0
        else {
            ours: pytorch.conv(f"{theirs}.proj"),
            f"{ours}_norm": pytorch.batch_norm(f"{theirs}.norm"),
        }
    )
    return before | block(f"stage_{s}_block_{{i}}", f"network.{2 * s}.{{i}}")


OFFICIAL = pytorch.layout(
    "official",
    {
        "stem": pytorch.conv("patch_embed.proj"),
        "stem_norm": pytorch.batch_norm("patch_embed.norm"),
        **stage(0),
        **stage(1),
        **stage(2),
        **stage(3),
        "norm": pytorch.batch_norm("norm"),
        "head": pytorch.dense("head"),
    },
)


def hire_mlp(
    image,
    *,
    widths: tuple[int, ...],
    depths: tuple[int, ...],
    regions: tuple[int, ...],
    shift_cycles: tuple[int, ...],
    shift_steps: tuple[int, ...],
    channel_mlp_ratio: int,
    drop_path_rate: float = 0.0,
    remat: bool = False,
):
    """Image [B, H, W, C_in] -> feature map of stride 32, [B, H/32, W/32, width].

    Its weights fit images of any size; `keras_mixer.resize` makes a model for another size. Sides
    of maps are rounded up. The released weights were trained on images normalised by ImageNet's
    mean and standard deviation.

    Args:
        widths: Channels of each stage; divisible by 4.
        depths: Number of blocks of each stage.
        regions: Cells of a region in each stage.
        shift_cycles: Number of blocks of each stage after which its shifts repeat; with 1 no block
            moves its map.
        shift_steps: Cells of each stage's shifts: its block `j` moves the map by
            `(j mod cycle) * step` cells.
        channel_mlp_ratio: Hidden width of the MLPs over channels, divided by the width.
        drop_path_rate: Stochastic depth: the probability in [0, 1) with which the last block's
            branches are dropped in training. It increases linearly from 0 at the first block; the
            authors train Tiny with 0 and Base with 0.2.
        remat: Rematerialisation: the backward pass recomputes the activations inside the blocks
            instead of storing them, for a larger batch in the same memory.
    """
    if min(image.shape[1:3]) < 3:
        raise ValueError(
            "Hire-MLP's stem, a convolution of 7 x 7 pixels with 2 of padding, needs images of at "
            f"least 3 x 3; got {image.shape[1]} x {image.shape[2]}."
        )
    x, stride = image, 4
    rates = drop_path_rates(drop_path_rate, sum(depths))
    stages = zip(widths, depths, regions, shift_cycles, shift_steps, strict=True)
    for s, (width, depth, region, cycle, step) in enumerate(stages):
        if s == 0:
            x = convolution(x, "stem", width, kernel_size=7, strides=4, padding=2)
        else:
            x = Level(stride, name=f"level_{stride}")(x)
            x = convolution(x, f"downsample_{s}", width, kernel_size=3, strides=2, padding=1)
            stride *= 2
        for j in range(depth):
            rate = rates[sum(depths[:s]) + j]
            shift = j % cycle * step
            x = HireBlock(
                channel_mlp_ratio * width, region, shift, rate, remat, name=f"stage_{s}_block_{j}"
            )(x)
    x = BATCH_NORM(name="norm")(x)
    return Level(stride, name="map")(x)


def convolution(x, name, width, kernel_size, strides, padding):
    """A convolution padded with zeros as in PyTorch, a batch norm and ReLU."""
    last = {"data_format": "channels_last"}
    x = keras.layers.ZeroPadding2D(padding, **last, name=f"{name}_padding")(x)
    x = keras.layers.Conv2D(
        width, kernel_size, strides, kernel_initializer=NORMAL, **last, name=name
    )(x)
    x = BATCH_NORM(name=f"{name}_norm")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def parameters(image, widths, depths, regions, shift_cycles, shift_steps, channel_mlp_ratio):
    *_, before = image
    count, side = 0, 7
    for width, depth, region in zip(widths, depths, regions, strict=True):
        block = width**2 * (2 * region + 1 + 1 + 1 + 2 * channel_mlp_ratio)
        count += side**2 * before * width + depth * block
        before, side = width, 3
    return count


HIRE_MLP = Architecture(
    hire_mlp,
    paper=__doc__,
    layouts=(OFFICIAL,),
    preprocessing=PREPROCESSING,
    parameters=parameters,
    head_initializer=NORMAL,
    padded_stem=True,
    # README of the official code; the paper's first version says 78.9, 81.8, 83.1 and 83.4.
    top1={"HireMlpTiny": 79.7, "HireMlpSmall": 82.1, "HireMlpBase": 83.2, "HireMlpLarge": 83.8},
)


def released(file):
    url = "https://github.com/ggjy/Hire-Wave-MLP.pytorch/releases/download/log"
    return {"imagenet1k": Release(f"{url}/{file}.pth", None, EVALUATION)}


TINY, SMALL, BASE = map(released, ("hire_mlp_tiny", "hire_mlp_small", "hire_mlp_base"))
WIDTHS, WIDER = (64, 128, 320, 512), (96, 192, 384, 768)
# Of every variant: regions, cycles and steps of the shifts, and the ratio of the MLPs' widths.
SAME = (4, 3, 3, 2), (2, 2, 3, 2), (2, 2, 1, 1), 4

# The paper's table 1, with the exact number of parameters with 1,000 classes.
# fmt: off
#                                              widths  depths                parameters
HireMlpTiny  = HIRE_MLP.variant("HireMlpTiny",  WIDTHS, (2, 2,  4, 2), *SAME, params=18_041_672,
                                releases=TINY)
HireMlpSmall = HIRE_MLP.variant("HireMlpSmall", WIDTHS, (3, 4, 10, 3), *SAME, params=33_113_848,
                                releases=SMALL)
HireMlpBase  = HIRE_MLP.variant("HireMlpBase",  WIDTHS, (4, 6, 24, 3), *SAME, params=58_226_856,
                                releases=BASE)
HireMlpLarge = HIRE_MLP.variant("HireMlpLarge", WIDER,  (4, 6, 24, 3), *SAME, params=95_723_944)
HireMlp      = HIRE_MLP.variant("HireMlp")  # any sizes
# fmt: on
