"""The same model for images of another size."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, partial
from inspect import signature
from numbers import Integral

import keras
import numpy as np

from keras_mixer._keras import calls_of, fresh_operation, graph_of, inner_layers, is_quantised
from keras_mixer._text import listed
from keras_mixer.layers import PatchEmbed, Residual
from keras_mixer.weights.names import paths_within

# Layers that are told the size of an image.
SIZED = keras.layers.CenterCrop, keras.layers.RandomCrop, keras.layers.Resizing


@dataclass(frozen=True)
class Tiles:
    """A grid of tokens made of equal tiles, each as large as the grid before.

    Attributes:
        height, width: Size of a tile, in tokens.
        rows, columns: How many tiles the grid has vertically and horizontally.
    """

    height: int
    width: int
    rows: int
    columns: int

    @property
    def count(self):
        return self.rows * self.columns

    def grown(self, array, axes):
        """The weight for all tiles, from the weight of one tile.

        Every tile has a copy of its own. So an array with two axes that depend on the tile becomes
        block-diagonal.

        Args:
            array: The weight.
            axes: The kind of each axis: `"tokens"`, one for each position of the grid, in its
                order; or `"units"`, tile by tile.
        """
        entries = [
            self._entries(kind, length) for kind, length in zip(axes, array.shape, strict=True)
        ]
        large = array[np.ix_(*(within for _, within in entries))]
        tiles = np.ix_(*(tile for tile, _ in entries))
        same = np.all([tile == tiles[0] for tile in np.broadcast_arrays(*tiles)], axis=0)
        return np.where(same, large, 0).astype(array.dtype)

    def _entries(self, kind, length):
        """For every entry of a grown axis: its tile, and its index on the axis of one tile."""
        if kind == "tokens":
            return self._positions()
        return np.repeat(np.arange(self.count), length), np.tile(np.arange(length), self.count)

    def _positions(self):
        """For every token of the grid, row by row: its tile, and its index within the tile."""
        y, x = np.divmod(
            np.arange(self.count * self.height * self.width), self.columns * self.width
        )
        tile = y // self.height * self.columns + x // self.width
        return tile, y % self.height * self.width + x % self.width


@dataclass(frozen=True)
class Interpolation:
    """A grid of tokens that is stretched over the same image in another resolution.

    Attributes:
        old, new: Height and width of the grid before and after, in tokens.
    """

    old: tuple[int, int]
    new: tuple[int, int]
    count = 1  # hidden units stay as many as they are

    def grown(self, array, axes):
        """The weight for the new grid.

        The last axis of a weight is what it gives: there every new token gets what the old grid
        has at its place. Over the other axes a layer sums: there the interpolated weights are
        divided by the number of new tokens to an old one, and a constant is added to each unit's,
        small for smooth weights, so that the sum over a constant map stays exactly as it was.

        Args:
            array, axes: As for `Tiles.grown`.
        """
        if self.old == self.new:
            return array
        for axis, kind in enumerate(axes):
            if kind == "tokens":
                given = axis == len(axes) - 1
                matrix = self._at_new_places if given else self._summed
                array = np.moveaxis(np.tensordot(matrix, array, (1, axis)), 0, axis)
        return array.astype(np.float32)

    @cached_property
    def _at_new_places(self):
        """[new tokens, old tokens]: bilinear interpolation at the new tokens' centres."""
        return np.kron(*map(_linear, self.old, self.new))

    @cached_property
    def _summed(self):
        """[new tokens, old tokens]: the same, such that each column's sum is 1."""
        new, old = self._at_new_places.shape
        divided = self._at_new_places * old / new
        return divided + (1 - divided.sum(0)) / new


def _linear(old, new):
    """[new, old]: the values at `new` centres, linear between those at `old` centres."""
    places = (np.arange(new) + 0.5) * old / new - 0.5
    return np.stack([np.interp(places, np.arange(old), unit) for unit in np.eye(old)], axis=1)


def resize(model: keras.Model, size: int | Sequence[int]) -> keras.Model:
    """A new model for larger images, in which every tile of the image is mixed as before.

    The image is cut into K x K tiles of the old size, and the token-mixing MLPs become
    block-diagonal: one copy of the old one a tile, so that their hidden width grows with the number
    of tokens. The zeros between tiles are weights like others, and fine-tuning fills them. Tokens
    stay in the order of the image, row by row, so the rows and columns of the blocks are
    interleaved accordingly.

    Right after it, the feature map is that of the old model on each tile, side by side, and the
    scores before the activation are the mean of the tiles'.

    A model whose blocks have no weights of their own for each token, such as an S2-MLP, is rebuilt
    with the same weights for any size that its layers take.

    Layers in front of the stem come along with their state: rescaling, an adapted `Normalization`,
    augmentation, `Resizing` to a size that grows with the image's.

    Args:
        model: A functional model for images of a fixed size, whose layers mix tokens in the ways of
            this package. It stays as it is.
        size: Height and width in pixels, or a pair `(height, width)`, each a whole multiple of the
            model's if its blocks have weights for each token.

    Returns:
        A new `keras.Model`, not compiled, of the same name and data type.

    Raises:
        ValueError: A factor that is not a whole number, or a model that cannot grow; the message
            says what would work.

    Source: Mixer paper, section 3 and appendix C. For other sizes there is
    `resize_by_interpolation`, which is not in the paper.
    """
    old = _image_size(model, "resize")
    new = _pair(size)
    if not any(block.of_one_size for block in _blocks(model)):
        return _rebuilt("resize", model, _pixels(size, "resize"), Interpolation)
    rows, columns = _factors(model, old, new)
    return _rebuilt("resize", model, new, lambda grid, _: Tiles(*grid, rows, columns))


def resize_by_interpolation(model: keras.Model, size: int | Sequence[int]) -> keras.Model:
    """A new model for images of any size, larger or smaller, with interpolated token mixing.

    This is not in the papers. It is what others do with position embeddings: the weights of each
    token-mixing layer are seen as maps over the grid of tokens and stretched over the new grid,
    bilinearly. So a hidden unit looks at the same part of the image as before, in another
    resolution, and there are as many hidden units as before. Kernels that sum over tokens are
    divided among the new ones, so that a constant map gives the same sums.

    The scores are near those of the old model if the image shows the same in another resolution,
    but they are not the same, and for sizes far from the old one they may be useless until the
    model is fine-tuned. docs/models.md says how accurate one model was. Where the size is a whole
    multiple, `resize` does what the Mixer paper does.

    Args:
        model: As for `resize`.
        size: Height and width in pixels, or a pair `(height, width)`, each a multiple of the side
            of a patch.

    Returns:
        A new `keras.Model`, not compiled, of the same name and data type. For the old size its
        weights are the old ones.

    Raises:
        ValueError: A size that the patches do not divide, or a model that cannot be resized; the
            message says what would work.
    """
    who = "resize_by_interpolation"
    _image_size(model, who)
    return _rebuilt(who, model, _pixels(size, who), Interpolation)


def _rebuilt(who, model, size, mixing):
    """The model for images of another size.

    Args:
        who: The name of the caller.
        size: The new height and width.
        mixing: A function from the grids of tokens before and after to `Tiles` or `Interpolation`.
    """
    before = model.inputs[0]
    ratio = tuple(Fraction(int(new), old) for new, old in zip(size, before.shape[1:3], strict=True))
    image = keras.Input((*map(int, size), before.shape[-1]), dtype=before.dtype, name=before.name)
    tensors = {id(before): image}
    copies: dict = {}  # layer -> its copy, and the arrays of its weights

    def changed(structure):
        """A structure of arguments with the new model's tensors."""
        return keras.tree.map_structure(
            lambda x: tensors[id(x)] if keras.utils.is_keras_tensor(x) else x, structure
        )

    grid = before.shape[1:3]  # height and width of the map, or grid of tokens, that comes in
    for operation, arguments, outputs in calls_of(model):
        shape = next(x.shape for x in keras.tree.flatten(arguments) if id(x) in tensors)
        if not isinstance(operation, keras.layers.Layer):
            copy = fresh_operation(operation)
        elif operation in copies:  # a layer that is called more than once
            copy, _ = copies[operation]
        else:
            if len(shape) == 4:
                grid = operation.grid(shape) if isinstance(operation, PatchEmbed) else shape[1:3]
            copy, _ = copies[operation] = _changed(
                operation, shape, grid, ratio, mixing, partial(_unknown, who, operation)
            )
        args, kwargs = changed(arguments)
        try:
            results = keras.tree.flatten(copy(*args, **kwargs))
        except (ValueError, TypeError) as error:
            raise ValueError(
                _unknown(who, operation, f"It does not take an image of that size: {error}")
            ) from None
        tensors |= zip(map(id, outputs), results, strict=True)
    inputs, outputs = changed(model.input), changed(model.output)
    try:
        resized = type(model)(inputs, outputs, name=model.name)
    except TypeError:  # a class that is built from something else
        if graph_of(model) is None:
            raise ValueError(
                f"{who} cannot build another {type(model).__name__}, whose call is its own. "
                "Resize a functional model and build the rest on that again."
            ) from None
        resized = keras.Model(inputs, outputs, name=model.name)
    if not _keeps_images_apart(resized):
        raise ValueError(
            f"{who} cannot resize '{model.name}': a reshape within it to a fixed shape, such as "
            "ops.reshape(x, (-1, 768)), does not give one result for one image of that size. "
            "Take a layer, such as keras.layers.Reshape or Flatten, which keeps images apart."
        )
    for layer, (copy, arrays) in copies.items():
        _set_state(copy, layer, arrays, partial(_unknown, who, layer))
    return resized


def _keeps_images_apart(model):
    one = keras.tree.map_structure(
        lambda x: keras.KerasTensor((1, *x.shape[1:]), x.dtype), model.input
    )
    try:
        outputs = keras.tree.flatten(model.compute_output_spec(one))
    except ValueError:  # a reshape that does not go up
        return False
    return all(x.shape[0] == 1 for x in outputs)


def _changed(layer, input_shape, grid, ratio, mixing, unknown):
    """A new layer for images of another size, not built yet, and its weights."""
    config, arrays = layer.get_config(), layer.get_weights()

    def times(sides):
        products = [side * factor for side, factor in zip(sides, ratio, strict=True)]
        if any(product.denominator > 1 for product in products):
            needed = listed(f"multiples of {factor.denominator}" for factor in ratio)
            raise ValueError(
                unknown(f"Its {sides[0]} x {sides[1]} would need to be {needed} for that size.")
            )
        return tuple(map(int, products))

    if isinstance(layer, Residual) and layer.token_axes:
        if input_shape[1] != grid[0] * grid[1]:
            found = (
                f"It mixes {input_shape[1]} tokens, and the map before it is {grid[0]} x {grid[1]}."
            )
            raise ValueError(unknown(found))
        mixed = mixing(tuple(grid), times(grid))
        config |= {name: config[name] * mixed.count for name in layer.token_sizes}
        arrays = [
            mixed.grown(array, layer.token_axes[path]) if path in layer.token_axes else array
            for path, array in zip(paths_within(layer), arrays, strict=True)
        ]
    elif isinstance(layer, keras.layers.Reshape) and len(layer.target_shape) == 3:
        *sides, channels = layer.target_shape  # tokens -> map
        config["target_shape"] = *times(sides), channels
    elif isinstance(layer, SIZED):
        config |= zip(("height", "width"), times((config["height"], config["width"])), strict=True)
    return _made(layer, config, unknown), arrays


def _made(layer, config, unknown):
    """A layer of the same class from a config."""
    kind = type(layer)
    try:
        return kind.from_config(config)
    except (TypeError, ValueError):
        # A function that nobody registered, or a class that does not take all that Keras notes.
        wanted = signature(kind.__init__).parameters
        keywords = any(parameter.kind is parameter.VAR_KEYWORD for parameter in wanted.values())
        arguments = {
            key: live if callable(live := getattr(layer, key, None)) else value
            for key, value in config.items()
            if keywords or key in wanted
        }
        try:
            copy = kind(**arguments)
        except (TypeError, ValueError) as error:
            raise ValueError(
                unknown(f"Its get_config() is not what its class takes: {error}")
            ) from None
        copy.name = layer.name
        copy.dtype_policy = layer.dtype_policy
        return copy


def _set_state(copy, layer, arrays, unknown):
    """Gives a built copy of a layer its weights, and what else the layer has besides its config."""
    if [tuple(weight.shape) for weight in copy.weights] != [array.shape for array in arrays]:
        if any(getattr(inner, "lora_enabled", False) for inner in inner_layers(layer)):
            raise ValueError(
                unknown(
                    "Layers within have LoRA updates. Save the model as .keras and load it, which "
                    "merges them into the kernels, and resize that."
                )
            )
        raise ValueError(unknown("Its weights depend on the image's size."))
    copy.set_weights(arrays)
    for ours, theirs in zip(
        (copy, *inner_layers(copy)), (layer, *inner_layers(layer)), strict=True
    ):
        ours.trainable = theirs.trainable
        if hasattr(ours, "finalize_state"):  # Normalization computes from copies of its weights
            ours.finalize_state()


def _unknown(who, operation, why):
    kind = type(operation).__name__
    return f"{who} cannot resize '{operation.name}' ({kind}). {why}"


def _pair(size):
    return tuple(size) if isinstance(size, tuple | list) else (size, size)


def _pixels(size, who):
    pair = _pair(size)
    if len(pair) != 2 or not all(map(_is_whole, pair)):
        raise ValueError(f"{who} needs size to be a height and a width in pixels; got {size!r}.")
    return pair


def _is_whole(number):
    return isinstance(number, Integral) and not isinstance(number, bool) and number > 0


def _blocks(model):
    return [layer for layer in inner_layers(model) if isinstance(layer, Residual)]


def _image_size(model, who):
    inner = [layer.name for layer in getattr(model, "layers", ()) if isinstance(layer, keras.Model)]
    if inner:
        raise ValueError(
            f"{who} takes models without models within; '{model.name}' contains "
            f"{listed(inner)}. Resize that and build the rest on it again."
        )
    if isinstance(model, keras.Sequential) or not getattr(model, "inputs", None):
        raise ValueError(f"{who} needs a functional Keras model; got {type(model).__name__}.")
    shapes = [tuple(image.shape) for image in model.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or None in shapes[0][1:]:
        raise ValueError(
            f"{who} needs a model of one image of a fixed size; '{model.name}' takes "
            f"{', '.join(map(str, shapes))}."
        )
    quantised = [layer.name for layer in inner_layers(model) if is_quantised(layer)]
    if quantised:
        raise ValueError(
            f"{who} needs weights in floating point; model.quantize has made integers of those of "
            f"'{model.name}', in {listed(quantised[:3])}. Resize the model first, then quantise it."
        )
    for block in _blocks(model):
        if block.size_is_fixed:
            raise ValueError(_unknown(who, block, block.size_is_fixed))
    return shapes[0][1:3]


def _factors(model, old, new):
    numbers = len(new) == 2 and all(map(_is_whole, new))
    if numbers and not any(n % o for n, o in zip(new, old, strict=True)):
        return [int(n // o) for n, o in zip(new, old, strict=True)]
    factors = [(2, 2), (3, 3)]
    if numbers:
        nearest = tuple(max(round(n / o), 1) for n, o in zip(new, old, strict=True))
        factors = sorted({*factors, nearest} - {(1, 1)})
    fits = " or ".join(f"{k * old[0]} x {m * old[1]}" for k, m in factors)
    raise ValueError(
        f"resize multiplies the image's height and width by whole numbers, as the paper does: "
        f"'{model.name}' takes {old[0]} x {old[1]}, so {fits} would do; got "
        f"{' x '.join(map(str, new))}. For any multiple of the patches there is "
        "keras_mixer.resize_by_interpolation, which is not the paper's."
    )
