"""From pixels to tokens."""

import keras
from keras import ops

from keras_mixer._checks import check_multiples, check_whole
from keras_mixer.layers.windows import convolve_windows


@keras.saving.register_keras_serializable("keras_mixer")
class PatchEmbed(keras.layers.Layer):
    """Cuts an image into square patches and projects each to a token, [B, H, W, C_in] -> [B, S, C].

    `S = (H / patch_size) * (W / patch_size)`, tokens row by row. It is a convolution with bias
    whose stride is its kernel size, without a norm or position embedding.

    Args:
        width: Channels `C` of a token.
        patch_size: Side of a patch in pixels.
        tokens_first: Whether to compute in [S, B, C], as the following blocks do, see `Residual`.
        kernel_initializer, bias_initializer: By name or a Keras initializer; by default LeCun's
            truncated normal of variance 1 / fan_in, and zeros, as in Flax.
        as_map: Whether tokens stay a map.

    Input shape: `[B, H, W, C_in]`, channels last for any image data format of Keras; `H` and `W`
    static multiples of `patch_size`.
    Output shape: `[B, S, width]`, or, as a map, `[B, H / patch_size, W / patch_size, width]`.

    Weights: `kernel` [patch_size, patch_size, C_in, width], `bias` [width].

    Source: `stem` in vit_jax/models_mixer.py. Flax pads an image whose size is not a multiple
    of the patch size; here that is an error, because border patches would be partly zeros.
    """

    def __init__(
        self,
        width,
        patch_size,
        tokens_first=False,
        kernel_initializer="lecun_normal",
        bias_initializer="zeros",
        as_map=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_whole(f"PatchEmbed '{self.name}'", 1, width=width, patch_size=patch_size)
        self.width = width
        self.patch_size = patch_size
        self.tokens_first = tokens_first
        self.as_map = as_map
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)

    def build(self, input_shape):
        self._check(input_shape)
        patch = self.patch_size
        self.kernel = self.add_weight(
            shape=(patch, patch, input_shape[-1], self.width),
            initializer=self.kernel_initializer,
            name="kernel",
        )
        self.bias = self.add_weight(
            shape=(self.width,), initializer=self.bias_initializer, name="bias"
        )

    def call(self, image):
        x = convolve_windows(image, self.kernel) + self.bias
        if self.as_map:
            return x
        tokens = x.shape[1] * x.shape[2]
        if not self.tokens_first:
            return ops.reshape(x, (-1, tokens, self.width))  # [B, h, w, C] -> [B, S, C]
        # Through [h, w, B, C] and [S, B, C]: reshaping first would cost a TPU one more pass over
        # the activations.
        x = ops.reshape(ops.transpose(x, (1, 2, 0, 3)), (tokens, -1, self.width))
        return ops.transpose(x, (1, 0, 2))

    def grid(self, input_shape):
        """Height and width of the grid of tokens that images `[B, H, W, C_in]` are cut into."""
        self._check(input_shape)
        return input_shape[1] // self.patch_size, input_shape[2] // self.patch_size

    def compute_output_shape(self, input_shape):
        height, width = self.grid(input_shape)
        grid = (height, width) if self.as_map else (height * width,)
        return input_shape[0], *grid, self.width

    def get_config(self):
        return super().get_config() | {
            "width": self.width,
            "patch_size": self.patch_size,
            "tokens_first": self.tokens_first,
            "as_map": self.as_map,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }

    def _check(self, shape):
        patch = self.patch_size
        if len(shape) != 4 or None in shape[1:]:
            raise ValueError(
                f"PatchEmbed '{self.name}' needs images [batch, height, width, channels] of a "
                f"fixed size; got shape {tuple(shape)}."
            )
        cuts = f"PatchEmbed '{self.name}' cuts images into {patch} x {patch} patches"
        check_multiples(cuts, shape[1:3], patch)
