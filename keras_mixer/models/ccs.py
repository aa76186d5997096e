"""Rethinking Token-Mixing MLP for MLP-based Vision Backbone.

Yu, Li, Cai, Sun, Li. BMVC 2021, https://arxiv.org/abs/2106.14882

There is no official code.

    image        [B, H, W, 3]
    stem         [B, N, C]      N = H W / P^2 tokens, row by row
    block, x L   [B, N, C]      Y = X + CCS(Norm(X)), for each group of channels one circulant
                                matrix over tokens; then Y + MLP(Norm(Y)) over channels, width r C
    norm         [B, N, C]
    map          [B, H/P, W/P, C]
    pool, head   [B, classes]   mean over the map, then one dense layer

CCS, circulant channel-specific token mixing, takes the place of the token mixing of Mixer or of
ResMLP; the order of layers, the channel MLPs and the norms are as in these papers. Its circulant
matrices have no bias and no activation behind them, and run along the row-by-row order of tokens:
the last token of a row is followed by the first of the next, and the last token of all by the
first.

The paper's algorithm 1 does not run as it is printed: it either expands an axis that does not fit
or transforms along groups instead of tokens. Here it is equations 6 to 8. Channels of a group are
contiguous, as in figure 1; algorithm 1 would interleave them, which is the same but for the order
of channels.

The paper does not say which norm its ResMLP has, which GELU, how layers start, nor what images are
normalised by. Here:

- The ResMLP has ResMLP's affine layers.
- GELU is the exact form in both, which is ResMLP's; that of Google's Mixers is the tanh form.
- The stem and the MLPs start as those of the backbone: LeCun's normal distribution as in Mixer, or
  a deviation of 0.02 and a uniform stem as in ResMLP, whose scales behind the branches start at
  CaiT's values for the depth, see `layer_scale`. The circulant matrices start by Glorot's uniform
  distribution of the G x N weights, and the head at zero, as Mixer's; ResMLP's has the deviation.
- Images are normalised by ImageNet's mean and deviation, as for ResMLP.
- The rate of stochastic depth increases with the depth, as in Mixer; in ResMLP it is constant.
"""

from functools import partial
from typing import Any, Literal, NamedTuple

import keras

from keras_mixer.images import IMAGENET, Preprocessing
from keras_mixer.layers import (
    Affine,
    Circulant,
    LayerNorm,
    LayerScale,
    Mlp,
    PatchEmbed,
    Residual,
    drop_path_rates,
    tokens_first_by_default,
)
from keras_mixer.layers.affine import layer_scale
from keras_mixer.models.architecture import Architecture

MEAN, STD = IMAGENET


class Backbone(NamedTuple):
    norm: Any
    of_stem: Any  # initializers of kernels
    of_mlps: Any


BACKBONES = {
    "mixer": Backbone(partial(LayerNorm, 1e-6), "lecun_normal", "lecun_normal"),
    "res_mlp": Backbone(
        Affine,
        {
            "class_name": "VarianceScaling",
            "config": {"scale": 1 / 3, "mode": "fan_in", "distribution": "uniform"},
        },
        {"class_name": "RandomNormal", "config": {"stddev": 0.02}},
    ),
}


@keras.saving.register_keras_serializable("keras_mixer")
class CcsBlock(Residual):
    """A circulant matrix over tokens, then an MLP over channels, [B, N, C] -> [B, N, C].

        Y = X + scale * Circulant(Norm(X)^T)^T
        Z = Y + scale * Mlp(Norm(Y))

    Args:
        groups: Number of groups of channels, each with a filter of its own.
        channel_mlp_dim: Hidden width of the MLP.
        backbone: `"mixer"`, whose norms are layer norms and whose scales are 1, or `"res_mlp"`,
            whose norms are affine layers and whose scales are learnt for each channel.
        layer_scale: What the scales of `"res_mlp"` start at.
        fft: See `keras_mixer.layers.Circulant`.
        drop_path_rate, remat, tokens_first: See `keras_mixer.layers.Residual`.

    Input shape: `[B, N, C]`; `N` and `C` static.
    Output shape: as the input.

    Source: CCS paper, eq. 6 to 8.
    """

    size_is_fixed = (
        "Its circulant filters run along the rows of tokens one after the other, and along rows of "
        "another length they would mix other tokens. Train a model for that size."
    )

    def __init__(
        self,
        groups,
        channel_mlp_dim,
        backbone,
        layer_scale=0.1,
        fft=False,
        drop_path_rate=0.0,
        remat=False,
        tokens_first=False,
        **kwargs,
    ):
        super().__init__(drop_path_rate, remat, tokens_first, **kwargs)
        if backbone not in BACKBONES:
            raise ValueError(
                f"CcsBlock '{self.name}' needs backbone to be 'mixer' or 'res_mlp'; got "
                f"{backbone!r}."
            )
        self.groups = groups
        self.channel_mlp_dim = channel_mlp_dim
        self.backbone = backbone
        self.layer_scale = layer_scale
        self.fft = fft

    def build(self, input_shape):
        batch, tokens, width = input_shape
        (norm, _, of_mlps), scaled = BACKBONES[self.backbone], self.backbone == "res_mlp"
        self.token_norm = self.sublayer(norm, "token_norm", input_shape)
        self.token_mixing = self.sublayer(
            Circulant, "token_mixing", (batch, width, tokens), self.groups, self.fft
        )
        if scaled:
            self.token_scale = self.sublayer(
                LayerScale, "token_scale", input_shape, self.layer_scale
            )
        self.channel_norm = self.sublayer(norm, "channel_norm", input_shape)
        self.channel_mlp = self.sublayer(
            Mlp, "channel_mlp", input_shape, self.channel_mlp_dim, "erf", of_mlps
        )
        if scaled:
            self.channel_scale = self.sublayer(
                LayerScale, "channel_scale", input_shape, self.layer_scale
            )
        super().build(input_shape)

    def branches(self):
        return self.mix_tokens, self.mix_channels

    def mix_tokens(self, x):
        y = self.across_tokens(self.token_mixing, self.token_norm(x))
        return self.token_scale(y) if self.backbone == "res_mlp" else y

    def mix_channels(self, x):
        if self.backbone == "res_mlp":
            return self.channel_scale(self.channel_mlp(self.channel_norm(x)))
        return self.norm_mlp(self.channel_norm, self.channel_mlp, x)


def ccs(
    image,
    *,
    patch_size: int,
    width: int,
    depth: int,
    groups: int,
    channel_mlp_dim: int,
    backbone: Literal["mixer", "res_mlp"],
    drop_path_rate: float = 0.0,
    fft: bool = False,
    remat: bool = False,
    tokens_first: bool | None = None,
):
    """Image [B, H, W, C_in] -> feature map [B, H/P, W/P, width].

    The circulant matrices work for one image size only, and a filter along rows of one length is
    another one along rows of another length: a model for another size has to be trained anew.

    Args:
        patch_size: Side `P` of a patch in pixels; it divides the image's height and width.
        width: Channels `C` of a token.
        depth: Number of blocks.
        groups: Number of groups of channels, each with a filter of its own; it divides `width`.
        channel_mlp_dim: Hidden width of the MLPs over channels; `4 C` in the paper.
        backbone: `"mixer"`, with layer norms, or `"res_mlp"`, with affine layers and layer scales.
        drop_path_rate: Stochastic depth: the probability in [0, 1) with which the last block's
            branches are dropped in training. It increases linearly from 0 at the first block.
        fft: Whether to mix tokens in the frequency domain, in float32: the same function, whose
            cost grows more slowly with the number of tokens. A `.tflite` never does.
        remat: Rematerialisation: the backward pass recomputes the activations inside the blocks
            instead of storing them, for a larger batch in the same memory.
        tokens_first: Whether to compute in [N, B, C] instead of [B, N, C]: the same function,
            faster on TPUs. `None` for models that compute in bfloat16.
    """
    tokens_first = tokens_first_by_default(tokens_first)
    norm, of_stem, _ = BACKBONES[backbone]
    x = PatchEmbed(width, patch_size, tokens_first, of_stem, name="stem")(image)
    for i, rate in enumerate(drop_path_rates(drop_path_rate, depth)):
        x = CcsBlock(
            groups,
            channel_mlp_dim,
            backbone,
            layer_scale(depth),
            fft,
            rate,
            remat and ("nested" if i == depth - 1 else True),
            tokens_first,
            name=f"block_{i}",
        )(x)
    x = norm(name="norm")(x)
    rows, columns = image.shape[1] // patch_size, image.shape[2] // patch_size
    return keras.layers.Reshape((rows, columns, width), name="map")(x)


def parameters(image, patch_size, width, depth, groups, channel_mlp_dim, backbone):
    height, columns, channels = image
    tokens = (height // patch_size) * (columns // patch_size)
    block = groups * tokens + 2 * width * channel_mlp_dim
    return patch_size**2 * channels * width + depth * block


CCS = Architecture(
    ccs,
    paper=__doc__,
    layouts=(),
    preprocessing=Preprocessing(MEAN, STD),
    parameters=parameters,
    top1={"CcsMixerB16": 79.8, "CcsResMlpS36": 80.6},  # table 4
)

# The paper's table 3, with the exact number of parameters at 224 x 224 and 1,000 classes.
# fmt: off
#                                            P    C   L  G   r C  backbone   parameters
CcsMixerB16  = CCS.variant("CcsMixerB16",   16, 768, 12, 8, 3072, "mixer",   params=58_085_992)
CcsResMlpS36 = CCS.variant("CcsResMlpS36",  16, 384, 36, 8, 1536, "res_mlp", params=43_356_904)
Ccs          = CCS.variant("Ccs")  # any sizes
# fmt: on
