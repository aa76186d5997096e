"""S2-MLPv2: Improved Spatial-Shift MLP Architecture for Vision.

Yu, Li, Cai, Sun, Li. 2021, https://arxiv.org/abs/2108.01072

There is no official code.

    image            [B, H, W, 3]
    stem             [B, h, w, C_1]    patches of 7 x 7 pixels
    block, x N_1     [B, h, w, C_1]    Y = X + S2v2(LN(X)), a dense layer to 3 C, of which one part
                                       is shifted, one shifted with exchanged axes and one not,
                                       split attention over the three, and a dense layer;
                                       then Y + MLP(LN(Y)), width r C
    downsample       [B, h/2, w/2, C_2]   patches of 2 x 2 cells
    block, x N_2     [B, h/2, w/2, C_2]
    norm, map        [B, h/2, w/2, C_2]
    pool, head       [B, classes]      mean over the map, then one dense layer

The split attention's hidden width is C / 4 and its layers have no bias: the published numbers of
parameters allow no other width (public ports have C, and a quarter more parameters). Its numbers
are the mean over cells, as the paper's text and the code of Vision Permutator have it, from which
it is taken; equation 2 writes the sum. The paper says nothing of a last norm (here a layer norm, as
in Vision Permutator), which GELU (here the exact form, as in S2-MLP), how layers start (here
LeCun's normal distribution), the epsilon of norms (here 1e-6), nor what images are normalised by
(here ImageNet's mean and deviation). Small/14, of an ablation, is not offered: no reading of it has
the published operations.
"""

import math
from functools import partial

import keras
from keras import ops

from keras_mixer._checks import check_multiples
from keras_mixer.images import IMAGENET, Preprocessing
from keras_mixer.layers import (
    Dense,
    LayerNorm,
    Level,
    Mlp,
    PatchEmbed,
    Residual,
    SpatialShift,
    SplitAttention,
    drop_path_rates,
)
from keras_mixer.models.architecture import Architecture

EPSILON = 1e-6
MEAN, STD = IMAGENET


@keras.saving.register_keras_serializable("keras_mixer")
class S2MlpV2Block(Residual):
    """Shifts with split attention, then an MLP, [B, h, w, C] -> [B, h, w, C].

        a, b, c = thirds of spatial_expand(LayerNorm(X))
        Y = X + spatial_project(SplitAttention(Shift(a), Shift'(b), c))
        Z = Y + Mlp(LayerNorm(Y))

    Args:
        channel_mlp_dim: Hidden width of the MLP.
        drop_path_rate, remat: See `keras_mixer.layers.Residual`.

    Input shape: `[B, h, w, C]`; `C` static, divisible by 4.
    Output shape: as the input.

    Source: S2-MLPv2 paper, eq. 5 to 10.
    """

    def __init__(self, channel_mlp_dim, drop_path_rate=0.0, remat=False, **kwargs):
        super().__init__(drop_path_rate, remat, **kwargs)
        self.channel_mlp_dim = channel_mlp_dim

    def build(self, input_shape):
        width = input_shape[-1]
        dense = partial(Dense, kernel_initializer="lecun_normal")
        self.spatial_norm = self.sublayer(LayerNorm, "spatial_norm", input_shape, EPSILON)
        self.spatial_expand = self.sublayer(dense, "spatial_expand", input_shape, 3 * width)
        self.shift = self.sublayer(SpatialShift, "shift", input_shape)
        self.other_shift = self.sublayer(SpatialShift, "other_shift", input_shape, True)
        self.attention = self.sublayer(SplitAttention, "attention", [input_shape] * 3, False)
        self.spatial_project = self.sublayer(dense, "spatial_project", input_shape, width)
        self.channel_norm = self.sublayer(LayerNorm, "channel_norm", input_shape, EPSILON)
        self.channel_mlp = self.sublayer(
            Mlp, "channel_mlp", input_shape, self.channel_mlp_dim, "erf"
        )
        super().build(input_shape)

    def branches(self):
        return self.mix_tokens, self.mix_channels

    def mix_tokens(self, x):
        a, b, c = ops.split(self.spatial_expand(self.spatial_norm(x)), 3, axis=-1)
        return self.spatial_project(self.attention([self.shift(a), self.other_shift(b), c]))

    def mix_channels(self, x):
        return self.channel_mlp(self.channel_norm(x))


def s2_mlp_v2(
    image,
    *,
    patch_sizes: tuple[int, ...],
    widths: tuple[int, ...],
    depths: tuple[int, ...],
    channel_mlp_ratio: int,
    drop_path_rate: float = 0.0,
    remat: bool = False,
):
    """Image [B, H, W, C_in] -> feature map [B, H/P, W/P, width], P the product of the patch sizes.

    Its weights fit images of any size that the patches divide; `keras_mixer.resize` makes a model
    for another size.

    Args:
        patch_sizes: Of each stage, the side of the patches of pixels or cells that it begins with;
            their product divides the image's height and width.
        widths: Channels of each stage; divisible by 4.
        depths: Number of blocks of each stage.
        channel_mlp_ratio: Hidden width of the MLPs over channels, divided by the width.
        drop_path_rate: Stochastic depth: the probability in [0, 1) with which the last block's
            branches are dropped in training. It increases linearly from 0 at the first block; the
            paper trains with 0.1.
        remat: Rematerialisation: the backward pass recomputes the activations inside the blocks
            instead of storing them, for a larger batch in the same memory.
    """
    cuts = f"S2-MLPv2 cuts images into patches of {' times '.join(map(str, patch_sizes))} pixels"
    check_multiples(cuts, image.shape[1:3], math.prod(patch_sizes))
    x, stride = image, 1
    rates = drop_path_rates(drop_path_rate, sum(depths))
    stages = zip(patch_sizes, widths, depths, strict=True)
    for s, (patch, width, depth) in enumerate(stages):
        if s:
            x = Level(stride, name=f"level_{stride}")(x)
        x = PatchEmbed(width, patch, as_map=True, name=f"downsample_{s}" if s else "stem")(x)
        stride *= patch
        for j in range(depth):
            rate = rates[sum(depths[:s]) + j]
            name = f"stage_{s}_block_{j}"
            x = S2MlpV2Block(channel_mlp_ratio * width, rate, remat, name=name)(x)
    x = LayerNorm(EPSILON, name="norm")(x)
    return Level(stride, name="map")(x)


def parameters(image, patch_sizes, widths, depths, channel_mlp_ratio):
    *_, before = image
    count = 0
    for patch, width, depth in zip(patch_sizes, widths, depths, strict=True):
        block = width**2 * (3 + 1 + 1 + 2 * channel_mlp_ratio)
        count += patch**2 * before * width + depth * block
        before = width
    return count


S2_MLP_V2 = Architecture(
    s2_mlp_v2,
    paper=__doc__,
    layouts=(),
    preprocessing=Preprocessing(MEAN, STD),
    parameters=parameters,
    top1={"S2MlpV2Small7": 82.0, "S2MlpV2Medium7": 83.6},
)

# The paper's table 1, with the exact number of parameters with 1,000 classes.
# fmt: off
#                                          patches  widths      depths   r  parameters
S2MlpV2Small7  = S2_MLP_V2.variant(
    "S2MlpV2Small7",                       (7, 2), (192, 384), (4, 14), 3, params=25_113_448)
S2MlpV2Medium7 = S2_MLP_V2.variant(
    "S2MlpV2Medium7",                      (7, 2), (256, 512), (7, 17), 3, params=55_269_864)
S2MlpV2        = S2_MLP_V2.variant("S2MlpV2")  # any sizes
# fmt: on
