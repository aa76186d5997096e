"""S2-MLP: Spatial-Shift MLP Architecture for Vision.

Yu, Li, Cai, Sun, Li. WACV 2022, https://arxiv.org/abs/2106.07477

There is no official code.

    image        [B, H, W, 3]
    stem         [B, w, h, c]   patches of p x p pixels, then a norm
    block, x N   [B, w, h, c]   Y = X + Norm(FC2(Shift(GELU(FC1(X))))), the shift by one cell in
                                four directions, a quarter of the channels each;
                                then Y + Norm(FC4(GELU(FC3(Y)))), width r c
    map          [B, w, h, c]
    pool, head   [B, classes]   mean over the map, then one dense layer

The norms are behind the last layers of the branches, as in the paper's figure 1 and in the figure
of S2-MLPv2 that draws this block again; public ports have them in front. The deep model has
ResMLP's affine layers in place of layer norms. A border cell keeps its value, see `SpatialShift`.
The paper says neither how layers start (here LeCun's normal distribution) nor the epsilon of layer
norms (here 1e-6), nor what images are normalised by (here ImageNet's mean and deviation). Its
51 million parameters of the deep model are in units of 2^20. Affine layers behind branches start as
ResMLP's there do, at CaiT's values for the depth: if they started at 1, nothing would keep the map
of 36 blocks from growing, and the model would not learn.
"""

from functools import partial
from typing import Literal

import keras

from keras_mixer.images import IMAGENET, Preprocessing
from keras_mixer.layers import (
    Affine,
    LayerNorm,
    Level,
    Mlp,
    PatchEmbed,
    Residual,
    SpatialShift,
    drop_path_rates,
)
from keras_mixer.layers.affine import layer_scale
from keras_mixer.models.architecture import Architecture

MEAN, STD = IMAGENET
NORMS = {
    "layer_norm": partial(LayerNorm, 1e-6),
    "affine": Affine,
}


@keras.saving.register_keras_serializable("keras_mixer")
class S2MlpBlock(Residual):
    """An MLP with a shift between its layers, then one without, [B, h, w, C] -> [B, h, w, C].

        Y = X + Norm(project(Shift(Gelu(expand(X)))))
        Z = Y + Norm(Mlp(Y))

    Args:
        channel_mlp_dim: Hidden width of the second MLP; that of the first is `C`.
        norm: `"layer_norm"` or `"affine"`, see `keras_mixer.layers.Affine`.
        layer_scale: What affine layers start at.
        drop_path_rate, remat: See `keras_mixer.layers.Residual`.

    Input shape: `[B, h, w, C]`; `C` static, divisible by 4.
    Output shape: as the input.

    Source: S2-MLP paper, figure 1 and section 3.2.
    """

    def __init__(
        self, channel_mlp_dim, norm, layer_scale=0.1, drop_path_rate=0.0, remat=False, **kwargs
    ):
        super().__init__(drop_path_rate, remat, **kwargs)
        if norm not in NORMS:
            raise ValueError(
                f"S2MlpBlock '{self.name}' needs norm to be 'layer_norm' or 'affine'; got {norm!r}."
            )
        self.channel_mlp_dim = channel_mlp_dim
        self.norm = norm
        self.layer_scale = layer_scale

    def build(self, input_shape):
        width, norm = input_shape[-1], NORMS[self.norm]
        if norm is Affine:
            norm = partial(Affine, self.layer_scale)
        self.spatial_mlp = self.sublayer(Mlp, "spatial_mlp", input_shape, width, "erf")
        self.shift = self.sublayer(SpatialShift, "shift", input_shape)
        self.spatial_norm = self.sublayer(norm, "spatial_norm", input_shape)
        self.channel_mlp = self.sublayer(
            Mlp, "channel_mlp", input_shape, self.channel_mlp_dim, "erf"
        )
        self.channel_norm = self.sublayer(norm, "channel_norm", input_shape)
        super().build(input_shape)

    def branches(self):
        return self.mix_tokens, self.mix_channels

    def mix_tokens(self, x):
        mlp = self.spatial_mlp
        with keras.name_scope(mlp.name):
            x = mlp.project(self.shift(mlp.activation(mlp.expand(x))))
        return self.spatial_norm(x)

    def mix_channels(self, x):
        return self.channel_norm(self.channel_mlp(x))


def s2_mlp(
    image,
    *,
    patch_size: int,
    width: int,
    depth: int,
    channel_mlp_dim: int,
    norm: Literal["layer_norm", "affine"],
    drop_path_rate: float = 0.0,
    remat: bool = False,
):
    """Image [B, H, W, C_in] -> feature map [B, H/P, W/P, width].

    Its weights fit images of any size that the patches divide; `keras_mixer.resize` makes a model
    for another size.

    Args:
        patch_size: Side `P` of a patch in pixels; it divides the image's height and width.
        width: Channels `c` of a token; divisible by 4.
        depth: Number of blocks.
        channel_mlp_dim: Hidden width of the MLPs over channels; `4 c` in the paper.
        norm: `"layer_norm"` as in the wide model, or `"affine"` as in the deep one.
        drop_path_rate: Stochastic depth: the probability in [0, 1) with which the last block's
            branches are dropped in training. It increases linearly from 0 at the first block.
        remat: Rematerialisation: the backward pass recomputes the activations inside the blocks
            instead of storing them, for a larger batch in the same memory.
    """
    x = PatchEmbed(width, patch_size, as_map=True, name="stem")(image)
    x = NORMS[norm](name="stem_norm")(x)
    scale = layer_scale(depth)
    for i, rate in enumerate(drop_path_rates(drop_path_rate, depth)):
        remat_block = remat and ("nested" if i == depth - 1 else True)
        x = S2MlpBlock(channel_mlp_dim, norm, scale, rate, remat_block, name=f"block_{i}")(x)
    return Level(patch_size, name="map")(x)


def parameters(image, patch_size, width, depth, channel_mlp_dim, norm):
    *_, channels = image
    return patch_size**2 * channels * width + depth * 2 * width * (width + channel_mlp_dim)


S2_MLP = Architecture(
    s2_mlp,
    paper=__doc__,
    layouts=(),
    preprocessing=Preprocessing(MEAN, STD),
    parameters=parameters,
    top1={"S2MlpWide": 80.0, "S2MlpDeep": 80.7},
)

# The paper's table 2, with the exact number of parameters with 1,000 classes.
# fmt: off
#                                         p    c   N   r c  norm          parameters
S2MlpWide = S2_MLP.variant("S2MlpWide",  16, 768, 12, 3072, "layer_norm", params=72_241_384)
S2MlpDeep = S2_MLP.variant("S2MlpDeep",  16, 384, 36, 1536, "affine",     params=53_917_288)
S2Mlp     = S2_MLP.variant("S2Mlp")  # any sizes
# fmt: on
