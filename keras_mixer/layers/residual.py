"""The residual block: what every block of this family does around its branches."""

from itertools import zip_longest
from typing import ClassVar

import keras
from keras import ops

from keras_mixer._keras import autocast, in_training, inner_layers, is_quantised
from keras_mixer.layers.drop_path import DropPath
from keras_mixer.layers.gradients import norm_dense
from keras_mixer.layers.sublayer import sublayer


class Residual(keras.layers.Layer):
    """`x = x + branch(x)` for each branch of a block in turn, [B, S, C] -> [B, S, C].

    Stochastic depth, rematerialisation and the order of the axes are here; a subclass makes its
    layers, builds them, and says what its branches are:

        class MixerBlock(Residual):
            def branches(self):
                return self.mix_tokens, self.mix_channels

    A branch takes and gives [B, S, C], or [S, B, C] with `tokens_first`. `across_tokens`,
    `norm_dense` and `norm_mlp` are the same for both.

    Args:
        drop_path_rate: Probability with which each branch is dropped in training, in [0, 1).
        remat: Whether training computes the block a second time for the gradient, instead of
            keeping its activations. `"nested"`: also rematerialise all branches but the last
            separately, so that their activations are not live during the last branch's backward
            pass. That is for a model's last block, whose gradient comes first, while the inputs of
            all blocks are still in memory.
        tokens_first: Whether to compute in [S, B, C], in which a TPU needs no transposes around a
            product over channels. The function is the same.

    Input shape: `[B, S, C]`; `S` and `C` static.
    Output shape: the input's.

    Attributes:
        token_axes: Path of each weight whose shape depends on the number of tokens -> what its axes
            are, `"tokens"` or `"units"`: hidden units of which every tile of a larger image has its
            own. `keras_mixer.resize` follows it.
        token_sizes: Arguments of the block that count such units.
        size_is_fixed: Why there is no block for another number of tokens, in a sentence; empty
            where there is.
        folds: Name of a batch norm whose output several layers take -> path of the kernel
            [..., C, D] of each of them and of the weight [D] that holds its offset: a bias, or the
            moving mean of the batch norm behind it. The converter for LiteRT folds the norm into
            these weights.
    """

    token_axes: ClassVar[dict[str, tuple[str, ...]]] = {}
    token_sizes: ClassVar[tuple[str, ...]] = ()
    size_is_fixed: ClassVar[str] = ""
    folds: ClassVar[dict[str, dict[str, str]]] = {}

    def __init__(self, drop_path_rate=0.0, remat=False, tokens_first=False, **kwargs):
        super().__init__(**kwargs)
        self.drop_path_rate = drop_path_rate
        self.remat = remat
        self.tokens_first = tokens_first

    def branches(self):
        """The functions that the block adds to its input, one after the other."""
        raise NotImplementedError

    @property
    def of_one_size(self):
        """Whether weights of the block belong to positions of tokens."""
        return bool(self.token_axes or self.size_is_fixed)

    @property
    def token_kernel(self):
        """How strongly each unit that mixes tokens weighs each token, [S, units]; or None."""
        return None

    def build(self, input_shape):
        # Last, behind the layers of the subclass: the order of variables is that of saved runs.
        self.drop_path = DropPath(
            self.drop_path_rate,
            batch_axis=int(self.tokens_first),
            dtype=self.dtype_policy,
            name="drop_path",
        )
        self.drop_path.build(input_shape)  # `Model.quantize` refuses a layer that is not built
        self.built = True

    def get_build_config(self):
        """Besides the shape, which layers inside are frozen or quantised, unlike the block."""
        config, inner = super().get_build_config(), dict(layers_inside(self))
        if any(layer.trainable != self.trainable for layer in inner.values()):
            config["trainable"] = {path: layer.trainable for path, layer in inner.items()}
        quantised = {path: layer for path, layer in inner.items() if is_quantised(layer)}
        if quantised:
            config["quantised"] = {
                path: [layer.quantization_mode, layer.get_config().get("quantization_config")]
                for path, layer in quantised.items()
            }
        return config

    def build_from_config(self, config):
        super().build_from_config(config)
        inner = dict(layers_inside(self))
        for path, (mode, settings) in config.get("quantised", {}).items():
            given = {"config": keras.saving.deserialize_keras_object(settings)} if settings else {}
            inner[path].quantize(mode, **given)
        for path, trainable in config.get("trainable", {}).items():  # outer layers come first
            inner[path].trainable = trainable

    def sublayer(self, kind, name, shape, *arguments):
        """A built layer of the block, of the block's data type: `kind(*arguments)`."""
        return sublayer(self, kind, name, shape, *arguments)

    def call(self, x, training=False):
        if self.tokens_first:
            x = ops.transpose(x, (1, 0, 2))  # [B, S, C] -> [S, B, C]
        branches = self.branches()
        drops = training and self.drop_path_rate
        factors = [self.drop_path.draw(x) for _ in branches] if drops else []
        if self.remat == "nested" and training:
            *most, last = branches
            branches = *map(self._rematerialised, most), last

        def mix(x, *factors):
            for branch, factor in zip_longest(branches, factors):
                y = branch(x)
                x = x + (y if factor is None else factor * y)
            return x

        x = (self._rematerialised(mix) if self.remat and training else mix)(x, *factors)
        if self.tokens_first:
            x = ops.transpose(x, (1, 0, 2))  # and back, which the next block undoes
        return x

    def _rematerialised(self, function):
        """`keras.remat(function)`, which updates the statistics of batch norms only once."""
        updated = [
            variable
            for layer in inner_layers(self)
            if isinstance(layer, keras.layers.BatchNormalization)
            for variable in (layer.moving_mean, layer.moving_variance)
        ]
        if not updated:
            return keras.remat(function)
        # TensorFlow finds the gradients of the variables that are read within. JAX has their values
        # in a scope of the caller's, which the scope here would hide.
        read = self.variables if keras.backend.backend() == "jax" else updated

        def pure(*arguments):
            with autocast(None):  # the variables themselves, in their own type
                values = [(v, v.value) for v in read]
            with in_training(), keras.StatelessScope(values) as scope:
                y = function(*arguments)
            return y, [scope.get_current_value(v) for v in updated]

        def call(*arguments):
            y, values = keras.remat(pure)(*arguments)
            for variable, value in zip(updated, values, strict=True):
                variable.assign(value)
            return y

        return call

    def across_tokens(self, function, x):
        """Applies a function of [B, C, S] to each channel's tokens; `x` keeps its order of axes."""
        there, back = ((1, 2, 0), (2, 0, 1)) if self.tokens_first else ((0, 2, 1), (0, 2, 1))
        return ops.transpose(function(ops.transpose(x, there)), back)

    def norm_dense(self, norm, dense, x):
        """`dense(norm(x))`; with tokens first as one matrix multiplication."""
        return norm_dense(x, norm, dense) if self.tokens_first else dense(norm(x))

    def norm_mlp(self, norm, mlp, x):
        """`mlp(norm(x))`; with tokens first the norm is part of the MLP's first product."""
        if not self.tokens_first:
            return mlp(norm(x))
        with keras.name_scope(mlp.name):
            return mlp.project(mlp.activation(self.norm_dense(norm, mlp.expand, x)))

    def compute_output_shape(self, input_shape):
        return input_shape


def layers_inside(layer, prefix=""):
    """Pairs of a path and a layer for the layers within, `"token_mlp/expand"`."""
    for inner in inner_layers(layer, recursive=False):
        yield f"{prefix}{inner.name}", inner
        yield from layers_inside(inner, f"{prefix}{inner.name}/")


def tokens_first_by_default(tokens_first):
    """A model's option `tokens_first`, in which None means: where it computes in bfloat16.

    That is what TPUs train in; in this order their compiler makes a faster program.
    """
    if tokens_first is None:
        return keras.config.dtype_policy().compute_dtype == "bfloat16"
    return tokens_first
