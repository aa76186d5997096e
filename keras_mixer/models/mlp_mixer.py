"""MLP-Mixer: An all-MLP Architecture for Vision.

Tolstikhin, Houlsby, Kolesnikov, Beyer, Zhai, Unterthiner, Yung, Steiner, Keysers, Uszkoreit,
Lucic, Dosovitskiy. NeurIPS 2021, https://arxiv.org/abs/2105.01601

Official code: google-research/vision_transformer, vit_jax/models_mixer.py, and
google-research/big_vision, big_vision/models/mlp_mixer.py.

    image        [B, H, W, 3]
    stem         [B, S, C]      S = H W / P^2 tokens, row by row
    block, x N   [B, S, C]      X + MLP(LN(X)^T)^T over tokens, width D_S;
                                then Y + MLP(LN(Y)) over channels, width D_C
    norm         [B, S, C]
    map          [B, H/P, W/P, C]
    pool, head   [B, classes]   mean over the map, then one dense layer

Difference: in training, stochastic depth divides kept branches by the probability of keeping them;
big_vision does not. At rate 0, the default, both are the same.
"""

from typing import ClassVar, Literal

import keras

from keras_mixer.images import Preprocessing
from keras_mixer.layers import (
    LayerNorm,
    Mlp,
    PatchEmbed,
    Residual,
    drop_path_rates,
    tokens_first_by_default,
)
from keras_mixer.models.architecture import Architecture
from keras_mixer.weights import Release, Shipped, flax, pytorch

EPSILON = 1e-6  # of Flax's LayerNorm, used to train the weights, and timm's; Keras's is 1e-3
# All of Google's weights were trained on images in [-1, 1]; GOOGLE is how they were evaluated.
# Without a release, the whole picture is resized, as by MediaPipe on a phone.
PREPROCESSING = Preprocessing(mean=0.5, std=0.5)
GOOGLE = Preprocessing(0.5, 0.5, None, "resmall_crop", 0.875, "area")
# Weights of Ridnik et al. 2021: mixer_b16_224.miil_in21k and ..._ft_in1k in timm.
MIIL = Preprocessing(0.0, 1.0, None, "resmall_crop", 0.875, "bilinear", library="pillow")

# Weights need the GELU that they were trained with: the tanh form for Flax's nn.gelu, the exact
# form for PyTorch's nn.GELU.
OFFICIAL = flax.layout(
    "official",
    {
        "stem": flax.conv("stem"),
        "block_{i}/token_norm": flax.norm("MixerBlock_{i}/LayerNorm_0"),
        "block_{i}/token_mlp/expand": flax.dense("MixerBlock_{i}/token_mixing/Dense_0"),
        "block_{i}/token_mlp/project": flax.dense("MixerBlock_{i}/token_mixing/Dense_1"),
        "block_{i}/channel_norm": flax.norm("MixerBlock_{i}/LayerNorm_1"),
        "block_{i}/channel_mlp/expand": flax.dense("MixerBlock_{i}/channel_mixing/Dense_0"),
        "block_{i}/channel_mlp/project": flax.dense("MixerBlock_{i}/channel_mixing/Dense_1"),
        "norm": flax.norm("pre_head_layer_norm"),
        "head": flax.dense("head"),
    },
    settings={"gelu": "tanh", "epsilon": EPSILON},
)
TOKENS = "Mixer/encoderblock_{i}/token_mixing_phase_0"
CHANNELS = "Mixer/encoderblock_{i}/channel_mixing_phase_0"
EARLY = flax.layout(  # before Flax's Linen; big_vision's loader reads it, too
    "early official",
    {
        "stem": flax.conv("embedding"),
        "block_{i}/token_norm": flax.norm("Mixer/encoderblock_{i}/LayerNorm_0"),
        "block_{i}/token_mlp/expand": flax.early_dense(TOKENS, 1),
        "block_{i}/token_mlp/project": flax.early_dense(TOKENS, 2),
        "block_{i}/channel_norm": flax.norm("Mixer/encoderblock_{i}/LayerNorm_1"),
        "block_{i}/channel_mlp/expand": flax.early_dense(CHANNELS, 1),
        "block_{i}/channel_mlp/project": flax.early_dense(CHANNELS, 2),
        "norm": flax.norm("Mixer/encoder_norm"),
        "head": flax.dense("head"),
    },
    settings={"gelu": "tanh", "epsilon": EPSILON},
    rename=flax.before_linen,
)
TIMM = pytorch.layout(
    "timm",
    {
        "stem": pytorch.conv("stem.proj"),
        "block_{i}/token_norm": pytorch.norm("blocks.{i}.norm1"),
        "block_{i}/token_mlp/expand": pytorch.dense("blocks.{i}.mlp_tokens.fc1"),
        "block_{i}/token_mlp/project": pytorch.dense("blocks.{i}.mlp_tokens.fc2"),
        "block_{i}/channel_norm": pytorch.norm("blocks.{i}.norm2"),
        "block_{i}/channel_mlp/expand": pytorch.dense("blocks.{i}.mlp_channels.fc1"),
        "block_{i}/channel_mlp/project": pytorch.dense("blocks.{i}.mlp_channels.fc2"),
        "norm": pytorch.norm("norm"),
        "head": pytorch.dense("head"),
    },
    settings={"gelu": "erf", "epsilon": EPSILON},
    named={"miil": MIIL},
)


@keras.saving.register_keras_serializable("keras_mixer")
class MixerBlock(Residual):
    """One Mixer layer: an MLP across tokens, then one across channels, [B, S, C] -> [B, S, C].

        Y = X + Mlp_tokens(LayerNorm(X)^T)^T
        Z = Y + Mlp_channels(LayerNorm(Y))

    Args:
        token_mlp_dim: Hidden width `D_S` of the token-mixing MLP, shared by all channels.
        channel_mlp_dim: Hidden width `D_C` of the channel-mixing MLP, shared by all tokens.
        drop_path_rate, remat, tokens_first: See `keras_mixer.layers.Residual`.
        gelu: `"tanh"` or `"erf"`, see `keras_mixer.layers.Mlp`.

    Input shape: `[B, S, C]`; `S` and `C` static.
    Output shape: as the input.

    Source: Mixer paper, eq. 1; `MixerBlock` in vit_jax/models_mixer.py. Larger images: appendix C.
    """

    token_axes: ClassVar = {
        "token_mlp/expand/kernel": ("tokens", "units"),
        "token_mlp/expand/bias": ("units",),
        "token_mlp/project/kernel": ("units", "tokens"),
        "token_mlp/project/bias": ("tokens",),
    }
    token_sizes = ("token_mlp_dim",)

    def __init__(
        self,
        token_mlp_dim,
        channel_mlp_dim,
        drop_path_rate=0.0,
        gelu="tanh",
        remat=False,
        tokens_first=False,
        **kwargs,
    ):
        super().__init__(drop_path_rate, remat, tokens_first, **kwargs)
        self.token_mlp_dim = token_mlp_dim
        self.channel_mlp_dim = channel_mlp_dim
        self.gelu = gelu

    def build(self, input_shape):
        batch, tokens, width = input_shape
        by_channel = batch, width, tokens
        self.token_norm = self.sublayer(LayerNorm, "token_norm", input_shape, EPSILON)
        self.token_mlp = self.sublayer(Mlp, "token_mlp", by_channel, self.token_mlp_dim, self.gelu)
        self.channel_norm = self.sublayer(LayerNorm, "channel_norm", input_shape, EPSILON)
        self.channel_mlp = self.sublayer(
            Mlp, "channel_mlp", input_shape, self.channel_mlp_dim, self.gelu
        )
        super().build(input_shape)

    def branches(self):
        return self.mix_tokens, self.mix_channels

    def mix_tokens(self, x):
        return self.across_tokens(self.token_mlp, self.token_norm(x))

    def mix_channels(self, x):
        return self.norm_mlp(self.channel_norm, self.channel_mlp, x)

    @property
    def token_kernel(self):
        return self.token_mlp.expand.kernel


def mlp_mixer(
    image,
    *,
    patch_size: int,
    width: int,
    depth: int,
    token_mlp_dim: int,
    channel_mlp_dim: int,
    drop_path_rate: float = 0.0,
    gelu: Literal["tanh", "erf"] | None = None,
    remat: bool = False,
    tokens_first: bool | None = None,
):
    """Image [B, H, W, C_in] -> feature map [B, H/P, W/P, width].

    The token-mixing MLPs work for one image size only; `keras_mixer.resize` makes a model for
    larger images, and `keras_mixer.resize_by_interpolation` for any. The released weights were
    trained on images in [-1, 1].

    Args:
        patch_size: Side `P` of a patch in pixels; it divides the image's height and width.
        width: Channels `C` of a token.
        depth: Number of blocks.
        token_mlp_dim: Hidden width `D_S` of the token-mixing MLPs.
        channel_mlp_dim: Hidden width `D_C` of the channel-mixing MLPs.
        drop_path_rate: Stochastic depth: the probability in [0, 1) with which the last block's
            branches are dropped in training. It increases linearly from 0 at the first block; the
            paper trains on ImageNet with 0.1.
        gelu: `"tanh"` as in Google's checkpoints, or `"erf"` as in timm's. `None` for the form of
            `weights`, or `"tanh"` without weights.
        remat: Rematerialisation: the backward pass recomputes the activations inside the blocks
            instead of storing them, for a larger batch in the same memory.
        tokens_first: Whether to compute in [S, B, C] instead of [B, S, C]: the same function,
            faster on TPUs. `None` for models that compute in bfloat16.
    """
    tokens_first = tokens_first_by_default(tokens_first)
    x = PatchEmbed(width, patch_size, tokens_first, name="stem")(image)
    for i, rate in enumerate(drop_path_rates(drop_path_rate, depth)):
        x = MixerBlock(
            token_mlp_dim,
            channel_mlp_dim,
            rate,
            gelu or "tanh",
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
    block = 2 * (tokens * token_mlp_dim + width * channel_mlp_dim)
    return patch_size**2 * channels * width + depth * block


JFT = "JFT-300M"
MIXER = Architecture(
    mlp_mixer,
    paper=__doc__,
    layouts=(OFFICIAL, EARLY, TIMM),
    preprocessing=PREPROCESSING,
    parameters=parameters,
    imagenet=("imagenet1k", "gsam", "sam"),  # GSAM, the later of the two, is the more accurate
    # Table 3 at 224 x 224. S/8 is not in the paper, and Ti/4 is ours.
    top1={
        **{"MixerS32": (68.70, JFT), "MixerS16": (73.83, JFT), "MixerB32": (75.53, JFT)},
        **{"MixerB16": 76.44, "MixerL32": (80.67, JFT), "MixerL16": 71.76},
        "MixerH14": (86.32, JFT),
    },
)


# Released weights: name -> size of the file in MiB.
def google(file, **sizes):
    url = "https://storage.googleapis.com/mixer_models"
    return {
        name: Release(f"{url}/{name}/Mixer-{file}.npz", mib, GOOGLE) for name, mib in sizes.items()
    }


S32 = google("S_32", gsam=72.91)
S16 = google("S_16", gsam=70.71)
S8 = google("S_8", gsam=78.79)
B32 = google("B_32", sam=230.04, gsam=230.04)
B16 = google("B_16", imagenet1k=228.47, imagenet21k=289.61, sam=228.47, gsam=228.47)
L16 = google("L_16", imagenet1k=794.29, imagenet21k=875.78)
TI4 = {
    "cifar10": Shipped(
        "mixer_ti4_cifar10.npz",
        PREPROCESSING,
        "d1faeb9fe0c70bcd440b5357b7ae5fe2db383ee8abe059590c244c14a6d6dccc",
    )
}

# The paper's table 1, with the exact number of parameters at 224 x 224 and 1,000 classes. Two are
# not in the paper: Google released S/8 later, trained with GSAM (Zhuang et al. 2022), and Ti/4 is
# our own, for images of 32 x 32: wide rather than deep, which is faster on a CPU.
# fmt: off
#                                           P     C   N  D_S   D_C   parameters
MixerS32 = MIXER.variant("MixerS32",  32,  512,  8, 256, 2048, params= 19_104_624, releases=S32)
MixerS16 = MIXER.variant("MixerS16",  16,  512,  8, 256, 2048, params= 18_528_264, releases=S16)
MixerS8  = MIXER.variant("MixerS8",    8,  512,  8, 256, 2048, params= 20_646_504, releases=S8)
MixerB32 = MIXER.variant("MixerB32",  32,  768, 12, 384, 3072, params= 60_293_428, releases=B32)
MixerB16 = MIXER.variant("MixerB16",  16,  768, 12, 384, 3072, params= 59_880_472, releases=B16)
MixerL32 = MIXER.variant("MixerL32",  32, 1024, 24, 512, 4096, params=206_939_264)
MixerL16 = MIXER.variant("MixerL16",  16, 1024, 24, 512, 4096, params=208_196_168, releases=L16)
MixerH14 = MIXER.variant("MixerH14",  14, 1280, 32, 640, 5120, params=432_350_952)
MixerTi4 = MIXER.variant("MixerTi4",   4,  192,  5, 192,  384, params=  1_070_952,
                         releases=TI4, input_shape=(32, 32, 3))
MlpMixer = MIXER.variant("MlpMixer")  # any sizes
# fmt: on
