"""ResMLP: Feedforward networks for image classification with data-efficient training.

Touvron, Bojanowski, Caron, Cord, El-Nouby, Grave, Izacard, Joulin, Synnaeve, Verbeek, Jégou.
TPAMI 2022, https://arxiv.org/abs/2105.03404

Official code: facebookresearch/deit, resmlp_models.py.

    image        [B, H, W, 3]
    stem         [B, N^2, d]    N^2 = H W / P^2 patches, row by row
    block, x L   [B, N^2, d]    Z = X + g_1 * (A Aff(X)), A a linear layer over patches;
                                then Z + g_2 * MLP(Aff(Z)) over channels, width 4 d
    norm         [B, N^2, d]    Aff
    map          [B, H/P, W/P, d]
    pool, head   [B, classes]   mean over the map, then one dense layer

In the paper's equations 2 and 3 each branch ends in an affine layer; in its algorithm 1, in its
numbers of parameters, in the official code and here, it ends in a scale. As in the official code,
all blocks have the same rate of stochastic depth. Difference: the stem's bias starts at zero; in
the official code it is uniform within PyTorch's bounds.
"""

from functools import partial
from typing import ClassVar

import keras

from keras_mixer.images import IMAGENET, Preprocessing
from keras_mixer.layers import (
    Affine,
    LayerScale,
    Mlp,
    PatchEmbed,
    Residual,
    tokens_first_by_default,
)
from keras_mixer.layers.folding import affine_dense, affine_tokens_scale, dense_scale
from keras_mixer.models.architecture import Architecture
from keras_mixer.weights import Release, pytorch
from keras_mixer.weights.layouts import SAME, length_one

MEAN, STD = IMAGENET
PREPROCESSING = Preprocessing(MEAN, STD)
# The official README's evaluation, by torchvision; the shorter side becomes int(224 / 0.9) = 248.
EVALUATION = Preprocessing(MEAN, STD, None, "resmall_crop", 0.9, "bicubic", library="pillow")
# The official code's trunc_normal_ truncates at -2 and 2, a hundred standard deviations away.
NORMAL = {"class_name": "RandomNormal", "config": {"stddev": 0.02}}
# PyTorch's default for a convolution, as in the official code: uniform within 1 / sqrt(fan_in).
UNIFORM = {
    "class_name": "VarianceScaling",
    "config": {"scale": 1 / 3, "mode": "fan_in", "distribution": "uniform"},
}


def affine(theirs, conversion=SAME):
    return pytorch.parameters(conversion, alpha=f"{theirs}.alpha", beta=f"{theirs}.beta")


OFFICIAL = pytorch.layout(
    "official",
    {
        "stem": pytorch.conv("patch_embed.proj"),
        "block_{i}/token_affine": affine("blocks.{i}.norm1"),
        "block_{i}/token_dense": pytorch.dense("blocks.{i}.attn"),
        "block_{i}/token_scale": pytorch.parameters(gamma="blocks.{i}.gamma_1"),
        "block_{i}/channel_affine": affine("blocks.{i}.norm2"),
        "block_{i}/channel_mlp/expand": pytorch.dense("blocks.{i}.mlp.fc1"),
        "block_{i}/channel_mlp/project": pytorch.dense("blocks.{i}.mlp.fc2"),
        "block_{i}/channel_scale": pytorch.parameters(gamma="blocks.{i}.gamma_2"),
        "norm": affine("norm"),
        "head": pytorch.dense("head"),
    },
)
BROADCAST = length_one(0, 1)  # alpha and beta are [1, 1, C]
TIMM = pytorch.layout(
    "timm",
    {
        "stem": pytorch.conv("stem.proj"),
        "block_{i}/token_affine": affine("blocks.{i}.norm1", BROADCAST),
        "block_{i}/token_dense": pytorch.dense("blocks.{i}.linear_tokens"),
        "block_{i}/token_scale": pytorch.parameters(gamma="blocks.{i}.ls1"),
        "block_{i}/channel_affine": affine("blocks.{i}.norm2", BROADCAST),
        "block_{i}/channel_mlp/expand": pytorch.dense("blocks.{i}.mlp_channels.fc1"),
        "block_{i}/channel_mlp/project": pytorch.dense("blocks.{i}.mlp_channels.fc2"),
        "block_{i}/channel_scale": pytorch.parameters(gamma="blocks.{i}.ls2"),
        "norm": affine("norm", BROADCAST),
        "head": pytorch.dense("head"),
    },
)


@keras.saving.register_keras_serializable("keras_mixer")
class ResMlpBlock(Residual):
    """One ResMLP layer: patches interact, then channels, [B, S, C] -> [B, S, C].

        Z = X + token_scale * Linear(Aff(X)^T)^T
        Y = Z + channel_scale * Mlp(Aff(Z))

    Args:
        channel_mlp_dim: Hidden width of the MLP over channels.
        layer_scale: The initial value of `token_scale` and `channel_scale`.
        drop_path_rate, remat, tokens_first: See `keras_mixer.layers.Residual`.

    Input shape: `[B, S, C]`; `S` and `C` static.
    Output shape: as the input.

    Source: ResMLP paper, algorithm 1; `layers_scale_mlp_blocks` in the official code.
    """

    token_axes: ClassVar = {
        "token_dense/kernel": ("tokens", "tokens"),
        "token_dense/bias": ("tokens",),
    }

    def __init__(
        self,
        channel_mlp_dim,
        layer_scale,
        drop_path_rate=0.0,
        remat=False,
        tokens_first=False,
        **kwargs,
    ):
        super().__init__(drop_path_rate, remat, tokens_first, **kwargs)
        self.channel_mlp_dim = channel_mlp_dim
        self.layer_scale = layer_scale

    def build(self, input_shape):
        batch, tokens, width = input_shape
        self.token_affine = self.sublayer(Affine, "token_affine", input_shape)
        self.token_dense = self.sublayer(
            partial(keras.layers.Dense, kernel_initializer=NORMAL),
            "token_dense",
            (batch, width, tokens),
            tokens,
        )
        self.token_scale = self.sublayer(LayerScale, "token_scale", input_shape, self.layer_scale)
        self.channel_affine = self.sublayer(Affine, "channel_affine", input_shape)
        self.channel_mlp = self.sublayer(
            Mlp, "channel_mlp", input_shape, self.channel_mlp_dim, "erf", NORMAL
        )
        self.channel_scale = self.sublayer(
            LayerScale, "channel_scale", input_shape, self.layer_scale
        )
        super().build(input_shape)

    def branches(self):
        return self.mix_tokens, self.mix_channels

    def mix_tokens(self, x):
        if self.tokens_first:
            return affine_tokens_scale(x, self.token_affine, self.token_dense, self.token_scale)
        return self.token_scale(self.across_tokens(self.token_dense, self.token_affine(x)))

    def mix_channels(self, x):
        mlp = self.channel_mlp
        if not self.tokens_first:
            return self.channel_scale(mlp(self.channel_affine(x)))
        with keras.name_scope(mlp.name):
            y = mlp.activation(affine_dense(x, self.channel_affine, mlp.expand))
            return dense_scale(y, mlp.project, self.channel_scale)

    @property
    def token_kernel(self):
        return self.token_dense.kernel


def res_mlp(
    image,
    *,
    patch_size: int,
    width: int,
    depth: int,
    channel_mlp_dim: int,
    layer_scale: float,
    drop_path_rate: float = 0.0,
    remat: bool = False,
    tokens_first: bool | None = None,
):
    """Image [B, H, W, C_in] -> feature map [B, H/P, W/P, width].

    The token-mixing layers work for one image size only; `keras_mixer.resize` makes a model for
    larger images, and `keras_mixer.resize_by_interpolation` for any. The released weights were
    trained on images normalised by ImageNet's mean and standard deviation.

    Args:
        patch_size: Side `P` of a patch in pixels; it divides the image's height and width.
        width: Channels `d` of a token.
        depth: Number of blocks.
        channel_mlp_dim: Hidden width of the MLPs over channels; `4 d` in the paper.
        layer_scale: The initial scale of the residual branches, smaller for deeper models.
        drop_path_rate: Stochastic depth: the probability in [0, 1) with which each branch of each
            block is dropped in training; the authors trained S12 with 0.05.
        remat: Rematerialisation: the backward pass recomputes the activations inside the blocks
            instead of storing them, for a larger batch in the same memory.
        tokens_first: Whether to compute in [S, B, C] instead of [B, S, C]: the same function,
            faster on TPUs. `None` for models that compute in bfloat16.
    """
    tokens_first = tokens_first_by_default(tokens_first)
    x = PatchEmbed(width, patch_size, tokens_first, UNIFORM, name="stem")(image)
    for i in range(depth):
        x = ResMlpBlock(
            channel_mlp_dim,
            layer_scale,
            drop_path_rate,
            remat and ("nested" if i == depth - 1 else True),
            tokens_first,
            name=f"block_{i}",
        )(x)
    x = Affine(name="norm")(x)
    rows, columns = image.shape[1] // patch_size, image.shape[2] // patch_size
    return keras.layers.Reshape((rows, columns, width), name="map")(x)


def parameters(image, patch_size, width, depth, channel_mlp_dim, layer_scale):
    height, columns, channels = image
    tokens = (height // patch_size) * (columns // patch_size)
    block = tokens**2 + 2 * width * channel_mlp_dim
    return patch_size**2 * channels * width + depth * block


RES_MLP = Architecture(
    res_mlp,
    paper=__doc__,
    layouts=(OFFICIAL, TIMM),
    preprocessing=PREPROCESSING,
    parameters=parameters,
    head_initializer=NORMAL,
    # Table 1 and, for B24 at patch 8, table 2; with labels alone.
    top1={"ResMlpS12": 76.6, "ResMlpS24": 79.4, "ResMlpS36": 79.7, "ResMlpB24": 81.0},
)


# Released weights, trained on ImageNet-1k: with its labels, by distillation, and without labels.
# "imagenet22k" was trained on ImageNet-22k and then fine-tuned on ImageNet-1k. The official code
# loads "dino" into a model with a head for 1,000 classes, but DINO does not train this head.
def deit(**files):
    url = "https://dl.fbaipublicfiles.com/deit"
    return {name: Release(f"{url}/{file}.pth", None, EVALUATION) for name, file in files.items()}


S12 = deit(imagenet1k="resmlp_12_no_dist", distilled="resmlp_12_dist", dino="resmlp_12_dino")
S24 = deit(imagenet1k="resmlp_24_no_dist", distilled="resmlp_24_dist", dino="resmlp_24_dino")
S36 = deit(imagenet1k="resmlp_36_no_dist", distilled="resmlp_36_dist")
B24 = deit(
    imagenet1k="resmlpB_24_no_dist",
    distilled="resmlpB_24_dist",
    imagenet22k="resmlpB_24_22k",
)

# The paper's models, with the exact number of parameters at 224 x 224 and 1,000 classes. The layer
# scale is the official code's; timm starts S12's at 1e-4.
# fmt: off
#                                          P    d   L   4 d  scale   parameters
ResMlpS12 = RES_MLP.variant("ResMlpS12",  16, 384, 12, 1536,  0.1, params= 15_350_872, releases=S12)
ResMlpS24 = RES_MLP.variant("ResMlpS24",  16, 384, 24, 1536, 1e-5, params= 30_020_680, releases=S24)
ResMlpS36 = RES_MLP.variant("ResMlpS36",  16, 384, 36, 1536, 1e-6, params= 44_690_488, releases=S36)
ResMlpB24 = RES_MLP.variant("ResMlpB24",   8, 768, 24, 3072, 1e-6, params=129_138_280, releases=B24)
ResMlp    = RES_MLP.variant("ResMlp")  # any sizes
# fmt: on
