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

Where we differ: stochastic depth divides what it keeps by the keeping probability, which big_vision
leaves out; at rate 0, the default, and in inference the two are the same.
"""

from itertools import zip_longest

import keras
from keras import ops

from keras_mixer.images import Preprocessing
from keras_mixer.layers import DropPath, LayerNorm, Mlp, PatchEmbed, drop_path_rates
from keras_mixer.layers.gradients import norm_dense
from keras_mixer.models._variant import variant
from keras_mixer.weights import Release, Shipped, flax, pytorch

EPSILON = 1e-6  # Flax's LayerNorm default, with which the weights were trained; Keras's is 1e-3.
# All of Google's weights were trained on images in [-1, 1]. Each release says how pictures are cut
# to size. Without one they are squeezed whole, as MediaPipe does on a phone.
PREPROCESSING = Preprocessing(mean=0.5, std=0.5)

# Our names of the layers, and theirs in other people's checkpoints.
OFFICIAL = {
    "stem": "stem",
    "block_{i}/token_norm": "MixerBlock_{i}/LayerNorm_0",
    "block_{i}/token_mlp/expand": "MixerBlock_{i}/token_mixing/Dense_0",
    "block_{i}/token_mlp/project": "MixerBlock_{i}/token_mixing/Dense_1",
    "block_{i}/channel_norm": "MixerBlock_{i}/LayerNorm_1",
    "block_{i}/channel_mlp/expand": "MixerBlock_{i}/channel_mixing/Dense_0",
    "block_{i}/channel_mlp/project": "MixerBlock_{i}/channel_mixing/Dense_1",
    "norm": "pre_head_layer_norm",
    "head": "head",
}
EARLY = {  # before Flax's Linen; big_vision's loader takes it too
    "stem": "embedding",
    "block_{i}/token_norm": "Mixer/encoderblock_{i}/LayerNorm_0",
    "block_{i}/token_mlp/expand": "Mixer/encoderblock_{i}/token_mixing_phase_0/{leaf}1",
    "block_{i}/token_mlp/project": "Mixer/encoderblock_{i}/token_mixing_phase_0/{leaf}2",
    "block_{i}/channel_norm": "Mixer/encoderblock_{i}/LayerNorm_1",
    "block_{i}/channel_mlp/expand": "Mixer/encoderblock_{i}/channel_mixing_phase_0/{leaf}1",
    "block_{i}/channel_mlp/project": "Mixer/encoderblock_{i}/channel_mixing_phase_0/{leaf}2",
    "norm": "Mixer/encoder_norm",
    "head": "head",
}
TIMM = {
    "stem": "stem.proj",
    "block_{i}/token_norm": "blocks.{i}.norm1",
    "block_{i}/token_mlp/expand": "blocks.{i}.mlp_tokens.fc1",
    "block_{i}/token_mlp/project": "blocks.{i}.mlp_tokens.fc2",
    "block_{i}/channel_norm": "blocks.{i}.norm2",
    "block_{i}/channel_mlp/expand": "blocks.{i}.mlp_channels.fc1",
    "block_{i}/channel_mlp/project": "blocks.{i}.mlp_channels.fc2",
    "norm": "norm",
    "head": "head",
}
# What Ridnik et al. 2021 trained, which timm calls mixer_b16_224.miil_in21k and ..._ft_in1k.
MIIL = Preprocessing(0.0, 1.0, None, "resmall_crop", 0.875, "bilinear", antialias=True)
# With the GELU of each code base: Flax's nn.gelu is the tanh form, PyTorch's nn.GELU the exact one.
LAYOUTS = (
    flax("official", OFFICIAL, settings={"gelu": "tanh"}),
    flax("early official", EARLY, settings={"gelu": "tanh"}, squeezed=True, renumbered=True),
    pytorch("timm", TIMM, settings={"gelu": "erf"}, named={"miil": MIIL}),
)


@keras.saving.register_keras_serializable("keras_mixer")
class MixerBlock(keras.layers.Layer):
    """One Mixer layer: an MLP across tokens, then one across channels, [B, S, C] -> [B, S, C].

        Y = X + Mlp_tokens(LayerNorm(X)^T)^T
        Z = Y + Mlp_channels(LayerNorm(Y))

    Args:
        token_mlp_dim: Hidden width `D_S` of the token-mixing MLP, shared by all channels.
        channel_mlp_dim: Hidden width `D_C` of the channel-mixing MLP, shared by all tokens.
        drop_path_rate: Probability with which each of the two branches is dropped in training.
        gelu: `"tanh"` or `"erf"`, see `keras_mixer.layers.Mlp`.
        remat: Whether training computes what is inside once more for the gradient, instead of
            keeping it. `"nested"`: the token-mixing branch twice more, so that nothing inside it is
            kept beside the channels' gradient. That is for the last block, whose gradient comes
            first, while what enters every block is still kept.

    In bfloat16 the tokens are outermost inside, [S, B, C], and the second norm is in the product
    that follows: the same function in the form that a TPU computes fastest.

    Input shape: `[B, S, C]`; `S` and `C` static.
    Output shape: the input's.

    Source: Mixer paper, eq. 1; `MixerBlock` in vit_jax/models_mixer.py.
    """

    def __init__(
        self,
        token_mlp_dim,
        channel_mlp_dim,
        drop_path_rate=0.0,
        gelu="tanh",
        remat=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.token_mlp_dim = token_mlp_dim
        self.channel_mlp_dim = channel_mlp_dim
        self.drop_path_rate = drop_path_rate
        self.gelu = gelu
        self.remat = remat
        dtype = self.dtype_policy
        self.token_norm = LayerNorm(EPSILON, dtype=dtype, name="token_norm")
        self.token_mlp = Mlp(token_mlp_dim, gelu, dtype=dtype, name="token_mlp")
        self.channel_norm = LayerNorm(EPSILON, dtype=dtype, name="channel_norm")
        self.channel_mlp = Mlp(channel_mlp_dim, gelu, dtype=dtype, name="channel_mlp")
        self.tokens_first = self.compute_dtype == "bfloat16"  # as on a TPU
        self.drop_path = DropPath(
            drop_path_rate, batch_axis=int(self.tokens_first), dtype=dtype, name="drop_path"
        )

    def build(self, input_shape):
        batch, tokens, width = input_shape
        self.token_norm.build(input_shape)
        self.token_mlp.build((batch, width, tokens))
        self.channel_norm.build(input_shape)
        self.channel_mlp.build(input_shape)

    def call(self, x, training=False):
        if self.tokens_first:
            x = ops.transpose(x, (1, 0, 2))  # [B, S, C] -> [S, B, C]
        drops = training and self.drop_path_rate
        factors = [self.drop_path.draw(x), self.drop_path.draw(x)] if drops else []
        mix_tokens = self._mix_tokens
        if self.remat == "nested" and training:
            mix_tokens = keras.remat(mix_tokens)

        def mix(x, *factors):
            for branch, factor in zip_longest((mix_tokens, self._mix_channels), factors):
                y = branch(x)
                x = x + (y if factor is None else factor * y)
            return x

        x = (keras.remat(mix) if self.remat and training else mix)(x, *factors)
        if self.tokens_first:
            x = ops.transpose(x, (1, 0, 2))  # and back, which the next block undoes
        return x

    def _mix_tokens(self, x):
        there, back = ((1, 2, 0), (2, 0, 1)) if self.tokens_first else ((0, 2, 1), (0, 2, 1))
        y = ops.transpose(self.token_norm(x), there)  # [B, S, C] or [S, B, C] -> [B, C, S]
        return ops.transpose(self.token_mlp(y), back)

    def _mix_channels(self, x):
        if not self.tokens_first:
            return self.channel_mlp(self.channel_norm(x))
        with keras.name_scope("channel_mlp"):
            y = norm_dense(x, self.channel_norm, self.channel_mlp.expand)
            return self.channel_mlp.project(self.channel_mlp.activation(y))

    def compute_output_shape(self, input_shape):
        return input_shape

    @property
    def token_kernel(self):
        """How strongly each hidden unit of the token-mixing MLP looks at each token, [S, D_S]."""
        return self.token_mlp.expand.kernel

    def tiled(self, tiles):
        """Config and weights of this block for an image of several tiles (appendix C).

        Args:
            tiles: A `keras_mixer.weights.resize.Tiles`.
        """
        gamma, beta, expand, expand_bias, project, project_bias, *channel = self.get_weights()
        config = self.get_config() | {"token_mlp_dim": tiles.count * self.token_mlp_dim}
        return config, [
            *(gamma, beta),
            *(tiles.rows_of(expand), tiles.units(expand_bias)),
            *(tiles.columns_of(project), tiles.tokens(project_bias)),
            *channel,
        ]


def mlp_mixer(
    image,
    *,
    patch_size,
    width,
    depth,
    token_mlp_dim,
    channel_mlp_dim,
    drop_path_rate=0.0,
    gelu=None,
    remat=False,
):
    """Image [B, H, W, C_in] -> feature map [B, H/P, W/P, width].

    It mixes the tokens of one image size, the one that it is built for; `keras_mixer.resize` makes
    a model for larger images. The released weights were trained on images in [-1, 1].

    Args:
        patch_size: Side `P` of a patch in pixels; it divides the image's height and width.
        width: Channels `C` of a token.
        depth: Number of blocks.
        token_mlp_dim: Hidden width `D_S` of the token-mixing MLPs.
        channel_mlp_dim: Hidden width `D_C` of the channel-mixing MLPs.
        drop_path_rate: Stochastic depth: how often the last block's branches are dropped in
            training, in [0, 1). It rises in a straight line from 0 at the first block; the paper
            trains on ImageNet with 0.1.
        gelu: `"tanh"` as in Google's checkpoints, or `"erf"` as in timm's. `None` for the form that
            goes with `weights`, `"tanh"` without them.
        remat: Rematerialisation: training computes what is inside the blocks once more for the
            gradient instead of keeping it, for a larger batch in the same memory.
    """
    x = PatchEmbed(width, patch_size, name="stem")(image)
    for i, rate in enumerate(drop_path_rates(drop_path_rate, depth)):
        again = remat and ("nested" if i == depth - 1 else True)
        x = MixerBlock(
            token_mlp_dim, channel_mlp_dim, rate, gelu or "tanh", again, name=f"block_{i}"
        )(x)
    x = LayerNorm(EPSILON, tokens_first=True, name="norm")(x)
    height, width_ = image.shape[1] // patch_size, image.shape[2] // patch_size
    return keras.layers.Reshape((height, width_, width), name="map")(x)


# Released weights: what they were trained on, or how, and the size of the file in MiB.
def google(file, **sizes):
    url = "https://storage.googleapis.com/mixer_models"
    return {
        name: Release(f"{url}/{name}/Mixer-{file}.npz", mib, PREPROCESSING.cut("resmall_crop"))
        for name, mib in sizes.items()
    }


S32 = google("S_32", gsam=72.91)
S16 = google("S_16", gsam=70.71)
S8 = google("S_8", gsam=78.79)
B32 = google("B_32", sam=230.04, gsam=230.04)
B16 = google("B_16", imagenet1k=228.47, imagenet21k=289.61, sam=228.47, gsam=228.47)
L16 = google("L_16", imagenet1k=794.29, imagenet21k=875.78)
TI4 = {"cifar10": Shipped("mixer_ti4_cifar10.npz", PREPROCESSING)}

# The paper's table 1, with the exact number of parameters at 224 x 224 and 1,000 classes. Two are
# not in the paper. Google released weights of the size of S/8 with GSAM (Zhuang et al. 2022). Ti/4
# is our own, for images of 32 x 32: wide rather than deep, which a CPU computes faster.
# fmt: off
#                                           P     C   N  D_S   D_C   parameters
MixerS32 = variant("MixerS32", mlp_mixer,  32,  512,  8, 256, 2048, params= 19_104_624, weights=S32)
MixerS16 = variant("MixerS16", mlp_mixer,  16,  512,  8, 256, 2048, params= 18_528_264, weights=S16)
MixerS8  = variant("MixerS8",  mlp_mixer,   8,  512,  8, 256, 2048, params= 20_646_504, weights=S8)
MixerB32 = variant("MixerB32", mlp_mixer,  32,  768, 12, 384, 3072, params= 60_293_428, weights=B32)
MixerB16 = variant("MixerB16", mlp_mixer,  16,  768, 12, 384, 3072, params= 59_880_472, weights=B16)
MixerL32 = variant("MixerL32", mlp_mixer,  32, 1024, 24, 512, 4096, params=206_939_264)
MixerL16 = variant("MixerL16", mlp_mixer,  16, 1024, 24, 512, 4096, params=208_196_168, weights=L16)
MixerH14 = variant("MixerH14", mlp_mixer,  14, 1280, 32, 640, 5120, params=432_350_952)
MixerTi4 = variant("MixerTi4", mlp_mixer,   4,  192,  5, 192,  384, params=  1_070_952,
                   weights=TI4, input_shape=(32, 32, 3))
MlpMixer = variant("MlpMixer", mlp_mixer)  # sizes of one's own
# fmt: on
