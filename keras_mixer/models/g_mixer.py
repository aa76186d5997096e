"""gMixer: MLP-Mixer with gated MLPs.

Wightman, 2021. An experiment in timm, without a paper;
https://github.com/huggingface/pytorch-image-models

Official code: timm/models/mlp_mixer.py, `gmixer_12_224` and `gmixer_24_224`.

    image        [B, H, W, 3]
    stem         [B, S, C]      S = H W / P^2 tokens, row by row
    block, x N   [B, S, C]      X + GLU(LN(X)^T)^T over tokens, hidden width D_S;
                                then Y + GLU(LN(Y)) over channels, hidden width D_C
    norm         [B, S, C]
    map          [B, H/P, W/P, C]
    pool, head   [B, classes]   mean over the map, then one dense layer

GLU(x) = (x E * SiLU(x G)) P. timm stores E and G as the halves of one array; its `mlp_ratio` counts
both. As in timm, all blocks have the same rate of stochastic depth, and layers start as `GatedMlp`
says.
"""

from typing import ClassVar

import keras

from keras_mixer.images import IMAGENET, Preprocessing
from keras_mixer.layers import (
    GatedMlp,
    LayerNorm,
    PatchEmbed,
    Residual,
    tokens_first_by_default,
)
from keras_mixer.models.architecture import Architecture
from keras_mixer.weights import Release, pytorch

EPSILON = 1e-6
MEAN, STD = IMAGENET
PREPROCESSING = Preprocessing(MEAN, STD)
EVALUATION = Preprocessing(MEAN, STD, None, "resmall_crop", 0.875, "bicubic", library="pillow")


def gated_mlp(ours, theirs):
    halves = f"{ours}/expand", f"{ours}/gate"
    return {
        halves: pytorch.split_dense(f"{theirs}.fc1"),
        f"{ours}/project": pytorch.dense(f"{theirs}.fc2"),
    }


TIMM = pytorch.layout(
    "timm",
    {
        "stem": pytorch.conv("stem.proj"),
        "block_{i}/token_norm": pytorch.norm("blocks.{i}.norm1"),
        **gated_mlp("block_{i}/token_mlp", "blocks.{i}.mlp_tokens"),
        "block_{i}/channel_norm": pytorch.norm("blocks.{i}.norm2"),
        **gated_mlp("block_{i}/channel_mlp", "blocks.{i}.mlp_channels"),
        "norm": pytorch.norm("norm"),
        "head": pytorch.dense("head"),
    },
)


@keras.saving.register_keras_serializable("keras_mixer")
class GMixerBlock(Residual):
    """A gated MLP across tokens, then one across channels, [B, S, C] -> [B, S, C].

        Y = X + GatedMlp_tokens(LayerNorm(X)^T)^T
        Z = Y + GatedMlp_channels(LayerNorm(Y))

    Args:
        token_mlp_dim: Hidden width `D_S` of the token-mixing MLP, shared by all channels.
        channel_mlp_dim: Hidden width `D_C` of the channel-mixing MLP, shared by all tokens.
        drop_path_rate, remat, tokens_first: See `keras_mixer.layers.Residual`.

    Input shape: `[B, S, C]`; `S` and `C` static.
    Output shape: as the input.

    Source: `MixerBlock` with `GluMlp` in timm.
    """

    token_axes: ClassVar = {
        "token_mlp/expand/kernel": ("tokens", "units"),
        "token_mlp/expand/bias": ("units",),
        "token_mlp/gate/kernel": ("tokens", "units"),
        "token_mlp/gate/bias": ("units",),
        "token_mlp/project/kernel": ("units", "tokens"),
        "token_mlp/project/bias": ("tokens",),
    }
    token_sizes = ("token_mlp_dim",)

    def __init__(
        self,
        token_mlp_dim,
        channel_mlp_dim,
        drop_path_rate=0.0,
        remat=False,
        tokens_first=False,
        **kwargs,
    ):
        super().__init__(drop_path_rate, remat, tokens_first, **kwargs)
        self.token_mlp_dim = token_mlp_dim
        self.channel_mlp_dim = channel_mlp_dim

    def build(self, input_shape):
        batch, tokens, width = input_shape
        by_channel = batch, width, tokens
        self.token_norm = self.sublayer(LayerNorm, "token_norm", input_shape, EPSILON)
        self.token_mlp = self.sublayer(GatedMlp, "token_mlp", by_channel, self.token_mlp_dim)
        self.channel_norm = self.sublayer(LayerNorm, "channel_norm", input_shape, EPSILON)
        self.channel_mlp = self.sublayer(GatedMlp, "channel_mlp", input_shape, self.channel_mlp_dim)
        super().build(input_shape)

    def branches(self):
        return self.mix_tokens, self.mix_channels

    def mix_tokens(self, x):
        return self.across_tokens(self.token_mlp, self.token_norm(x))

    def mix_channels(self, x):
        return self.channel_mlp(self.channel_norm(x))

    @property
    def token_kernel(self):
        return self.token_mlp.expand.kernel


def g_mixer(
    image,
    *,
    patch_size: int,
    width: int,
    depth: int,
    token_mlp_dim: int,
    channel_mlp_dim: int,
    drop_path_rate: float = 0.0,
    remat: bool = False,
    tokens_first: bool | None = None,
):
    """Image [B, H, W, C_in] -> feature map [B, H/P, W/P, width].

    The token-mixing MLPs work for one image size only; `keras_mixer.resize` makes a model for
    larger images, and `keras_mixer.resize_by_interpolation` for any. The released weights were
    trained on images normalised by ImageNet's mean and standard deviation.

    Args:
        patch_size: Side `P` of a patch in pixels; it divides the image's height and width.
        width: Channels `C` of a token.
        depth: Number of blocks.
        token_mlp_dim: Hidden width `D_S` of the token-mixing MLPs.
        channel_mlp_dim: Hidden width `D_C` of the channel-mixing MLPs.
        drop_path_rate: Stochastic depth: the probability in [0, 1) with which each branch of each
            block is dropped in training.
        remat: Rematerialisation: the backward pass recomputes the activations inside the blocks
            instead of storing them, for a larger batch in the same memory.
        tokens_first: Whether to compute in [S, B, C] instead of [B, S, C]: the same function,
            faster on TPUs. `None` for models that compute in bfloat16.
    """
    tokens_first = tokens_first_by_default(tokens_first)
    x = PatchEmbed(width, patch_size, tokens_first, name="stem")(image)
    for i in range(depth):
        x = GMixerBlock(
            token_mlp_dim,
            channel_mlp_dim,
            drop_path_rate,
            remat and ("nested" if i == depth - 1 else True),
            tokens_first,
            name=f"block_{i}",
        )(x)
    x = LayerNorm(EPSILON, tokens_first=tokens_first, name="norm")(x)
    rows, columns = image.shape[1] // patch_size, image.shape[2] // patch_size
    return keras.layers.Reshape((rows, columns, width), name="map")(x)


def parameters(image, patch_size, width, depth, token_mlp_dim, channel_mlp_dim):
    height, columns, channels = image
    tokens = (height // patch_size) * (columns // patch_size)
    block = 3 * (tokens * token_mlp_dim + width * channel_mlp_dim)
    return patch_size**2 * channels * width + depth * block


G_MIXER = Architecture(
    g_mixer,
    paper=__doc__,
    layouts=(TIMM,),
    preprocessing=PREPROCESSING,
    parameters=parameters,
    imagenet=("ra3_in1k",),
    top1={"GMixer24": 78.05},  # timm's own measurement of its weights
)

URL = "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-weights"
RA3 = {"ra3_in1k": Release(f"{URL}/gmixer_24_224_raa-7daf7ae6.pth", None, EVALUATION)}

# timm's models, with the exact number of parameters at 224 x 224 and 1,000 classes.
# fmt: off
#                                        P    C   N  D_S  D_C  parameters
GMixer12 = G_MIXER.variant("GMixer12",  16, 384, 12, 192, 768, params=12_701_080)
GMixer24 = G_MIXER.variant("GMixer24",  16, 384, 24, 192, 768, params=24_721_096, releases=RA3)
GMixer   = G_MIXER.variant("GMixer")  # any sizes
# fmt: on
