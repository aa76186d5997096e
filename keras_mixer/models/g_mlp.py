"""Pay Attention to MLPs.

Liu, Dai, So, Le. NeurIPS 2021, https://arxiv.org/abs/2105.08050

There is no official code. Reference: huggingface/pytorch-image-models, timm/models/mlp_mixer.py.

    image        [B, H, W, 3]
    stem         [B, n, d]      n = H W / P^2 tokens, row by row
    block, x L   [B, n, d]      X + (u * gate(v)) V, where u and v are the halves of GELU(LN(X) U);
                                gate(v) = W LN(v) + b, W a linear layer over tokens
    norm         [B, n, d]
    map          [B, H/P, W/P, d]
    pool, head   [B, classes]   mean over the map, then one dense layer

The paper says neither whether images have a class token nor whether there is a last norm, nor which
GELU it uses and how dense layers start. Here all of that is timm's: no class token, a last norm,
the exact GELU, Glorot's uniform initialisation of the dense layers over channels with biases near
zero (a deviation of 1e-6), and the same rate of stochastic depth in all blocks. So S and B have
0.4 % fewer parameters than the paper prints (19.5 and 73.4 million).
"""

from functools import partial
from typing import ClassVar

import keras
from keras import ops

from keras_mixer.images import Preprocessing
from keras_mixer.layers import LayerNorm, PatchEmbed, Residual, tokens_first_by_default
from keras_mixer.layers.gated_mlp import NEAR_ZERO
from keras_mixer.layers.gradients import gelu
from keras_mixer.models.architecture import Architecture
from keras_mixer.weights import Release, pytorch

EPSILON = 1e-6  # of all norms in timm but the gate's, which has PyTorch's default
GATE_EPSILON = 1e-5
PREPROCESSING = Preprocessing(mean=0.5, std=0.5)
EVALUATION = Preprocessing(0.5, 0.5, None, "resmall_crop", 0.875, "bicubic", library="pillow")

TIMM = pytorch.layout(
    "timm",
    {
        "stem": pytorch.conv("stem.proj"),
        "block_{i}/norm": pytorch.norm("blocks.{i}.norm"),
        "block_{i}/expand": pytorch.dense("blocks.{i}.mlp_channels.fc1"),
        "block_{i}/gate_norm": pytorch.norm("blocks.{i}.mlp_channels.gate.norm"),
        "block_{i}/token_dense": pytorch.dense("blocks.{i}.mlp_channels.gate.proj"),
        "block_{i}/project": pytorch.dense("blocks.{i}.mlp_channels.fc2"),
        "norm": pytorch.norm("norm"),
        "head": pytorch.dense("head"),
    },
)


@keras.saving.register_keras_serializable("keras_mixer")
class GMlpBlock(Residual):
    """One gMLP block: an MLP over channels with a gate over tokens, [B, n, d] -> [B, n, d].

        u, v = halves of Gelu(Dense(LayerNorm(X)))
        Y = X + Dense(u * (W LayerNorm(v) + b))

    `W` [n, n] mixes tokens and is the same for all channels; it starts near 0 and `b` at 1, so that
    the gate starts at 1.

    Args:
        hidden_dim: Width of `u` and `v` together, `d_ffn` in the paper; even.
        drop_path_rate, remat, tokens_first: See `keras_mixer.layers.Residual`.

    Input shape: `[B, n, d]`; `n` and `d` static.
    Output shape: as the input.

    Source: gMLP paper, figure 1 and eq. 1 to 4; `SpatialGatingBlock` in timm.
    """

    token_axes: ClassVar = {
        "token_dense/kernel": ("tokens", "tokens"),
        "token_dense/bias": ("tokens",),
    }

    def __init__(self, hidden_dim, drop_path_rate=0.0, remat=False, tokens_first=False, **kwargs):
        super().__init__(drop_path_rate, remat, tokens_first, **kwargs)
        if hidden_dim % 2:
            raise ValueError(
                f"GMlpBlock '{self.name}' halves its hidden width, so it needs hidden_dim to be "
                f"even; got {hidden_dim}."
            )
        self.hidden_dim = hidden_dim
        self.activation = partial(gelu, approximate=False)

    def build(self, input_shape):
        batch, tokens, width = input_shape
        half = self.hidden_dim // 2
        dense = partial(keras.layers.Dense, bias_initializer=NEAR_ZERO)
        token_dense = partial(
            keras.layers.Dense, kernel_initializer=NEAR_ZERO, bias_initializer="ones"
        )
        self.norm = self.sublayer(LayerNorm, "norm", input_shape, EPSILON)
        self.expand = self.sublayer(dense, "expand", input_shape, self.hidden_dim)
        gated = batch, tokens, half
        self.gate_norm = self.sublayer(LayerNorm, "gate_norm", gated, GATE_EPSILON)
        self.token_dense = self.sublayer(token_dense, "token_dense", (batch, half, tokens), tokens)
        self.project = self.sublayer(dense, "project", gated, width)
        super().build(input_shape)

    def branches(self):
        return (self.gated_mlp,)

    def gated_mlp(self, x):
        u, v = ops.split(self.activation(self.norm_dense(self.norm, self.expand, x)), 2, axis=-1)
        return self.project(u * self.across_tokens(self.token_dense, self.gate_norm(v)))

    @property
    def token_kernel(self):
        return self.token_dense.kernel


def g_mlp(
    image,
    *,
    patch_size: int,
    width: int,
    depth: int,
    hidden_dim: int,
    drop_path_rate: float = 0.0,
    remat: bool = False,
    tokens_first: bool | None = None,
):
    """Image [B, H, W, C_in] -> feature map [B, H/P, W/P, width].

    The gates work for one image size only; `keras_mixer.resize` makes a model for larger images,
    and `keras_mixer.resize_by_interpolation` for any. The released weights were trained on images
    in [-1, 1].

    Args:
        patch_size: Side `P` of a patch in pixels; it divides the image's height and width.
        width: Channels `d` of a token.
        depth: Number of blocks.
        hidden_dim: Width of the two halves of the gated MLP together, even; `6 d` in the paper.
        drop_path_rate: Stochastic depth: the probability in [0, 1) with which each block's branch
            is dropped in training. The paper trains Ti with 0, S with 0.05 and B with 0.2.
        remat: Rematerialisation: the backward pass recomputes the activations inside the blocks
            instead of storing them, for a larger batch in the same memory.
        tokens_first: Whether to compute in [S, B, C] instead of [B, S, C]: the same function,
            faster on TPUs. `None` for models that compute in bfloat16.
    """
    tokens_first = tokens_first_by_default(tokens_first)
    x = PatchEmbed(width, patch_size, tokens_first, name="stem")(image)
    for i in range(depth):
        x = GMlpBlock(hidden_dim, drop_path_rate, remat, tokens_first, name=f"block_{i}")(x)
    x = LayerNorm(EPSILON, tokens_first=tokens_first, name="norm")(x)
    rows, columns = image.shape[1] // patch_size, image.shape[2] // patch_size
    return keras.layers.Reshape((rows, columns, width), name="map")(x)


def parameters(image, patch_size, width, depth, hidden_dim):
    height, columns, channels = image
    tokens = (height // patch_size) * (columns // patch_size)
    return patch_size**2 * channels * width + depth * (tokens**2 + 3 * width * hidden_dim // 2)


G_MLP = Architecture(
    g_mlp,
    paper=__doc__,
    layouts=(TIMM,),
    preprocessing=PREPROCESSING,
    parameters=parameters,
    imagenet=("ra3_in1k",),
    top1={"GMlpTi": 72.3, "GMlpS": 79.6, "GMlpB": 81.6},  # table 2
)

# timm's own training; it has released no other weights, and the authors none.
URL = "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-weights"
S = {"ra3_in1k": Release(f"{URL}/gmlp_s16_224_raa-10536d42.pth", None, EVALUATION)}

# The paper's table 1, with the exact number of parameters at 224 x 224 and 1,000 classes.
# fmt: off
#                                  P    d   L  d_ffn  parameters
GMlpTi = G_MLP.variant("GMlpTi",  16, 128, 30,  768, params= 5_867_328)
GMlpS  = G_MLP.variant("GMlpS",   16, 256, 30, 1536, params=19_422_656, releases=S)
GMlpB  = G_MLP.variant("GMlpB",   16, 512, 30, 3072, params=73_075_392)
GMlp   = G_MLP.variant("GMlp")  # any sizes
# fmt: on
