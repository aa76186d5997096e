"""The same model for larger images."""

from dataclasses import dataclass
from numbers import Integral

import keras
import numpy as np

from keras_mixer._text import listed


@dataclass(frozen=True)
class Tiles:
    """A grid of tokens made of equal tiles, each as large as the grid before.

    Attributes:
        height, width: Size of a tile, in tokens.
        rows, columns: How many tiles stand below and beside one another.
    """

    height: int
    width: int
    rows: int
    columns: int

    @property
    def count(self):
        return self.rows * self.columns

    def rows_of(self, kernel):
        """[S, D] -> [K S, K D], block-diagonal: each of the K tiles has the kernel to itself."""
        tile, place = self._places()
        blocks = np.zeros((len(tile), self.count, kernel.shape[1]), kernel.dtype)
        blocks[np.arange(len(tile)), tile] = kernel[place]
        return blocks.reshape(len(tile), -1)

    def columns_of(self, kernel):
        """[D, S] -> [K D, K S], in the same way."""
        return self.rows_of(kernel.T).T

    def tokens(self, values):
        """[S] -> [K S]: what belongs to a token of a tile, for every token of the grid."""
        return values[self._places()[1]]

    def units(self, values):
        """[D] -> [K D]: what belongs to a hidden unit, once a tile."""
        return np.tile(values, self.count)

    def _places(self):
        """Of every token of the grid, row by row: its tile, and its place within the tile."""
        y, x = np.divmod(
            np.arange(self.count * self.height * self.width), self.columns * self.width
        )
        tile = y // self.height * self.columns + x // self.width
        return tile, y % self.height * self.width + x % self.width


def resize(model, size):
    """A new model for larger images, in which every tile of the image is mixed as before.

    The image is cut into K x K tiles of the old size, and the token-mixing MLPs become
    block-diagonal: one copy of the old one a tile, so that their hidden width grows with the number
    of tokens. The zeros between tiles are weights like others, and fine-tuning fills them. Tokens
    stay in the order of the image, row by row, so the rows and columns of the blocks are
    interleaved accordingly.

    Right after it, the feature map is that of the old model on each tile, side by side, and the
    scores before the activation are the mean of the tiles'.

    Args:
        model: A functional model for images of a fixed size, whose layers mix tokens in the ways of
            this package. It stays as it is.
        size: Height and width in pixels, or a pair `(height, width)`, each a whole multiple of the
            model's.

    Returns:
        A new `keras.Model`, not compiled, of the same name and data type.

    Raises:
        ValueError: A factor that is not a whole number, or a model that cannot grow; the message
            says what would work.

    Source: Mixer paper, section 3 and appendix C. Interpolating the token MLPs, as is done with
    position embeddings, is not in the paper and not done here.
    """
    old = _image_size(model)
    new = tuple(size) if isinstance(size, tuple | list) else (size, size)
    rows, columns = _factors(model, old, new)
    weights = {}

    def clone(layer):
        config, weights[layer.name] = layer.get_config(), layer.get_weights()
        if hasattr(layer, "tiled"):
            tokens = layer.input.shape[1]
            height = round((tokens * old[0] / old[1]) ** 0.5)
            tiles = Tiles(height, tokens // height, rows, columns)
            config, weights[layer.name] = layer.tiled(tiles)
        elif isinstance(layer, keras.layers.Reshape) and len(layer.target_shape) == 3:
            height, width, channels = layer.target_shape  # tokens -> map
            config["target_shape"] = height * rows, width * columns, channels
        return type(layer).from_config(config)

    before = model.inputs[0]
    image = keras.Input(
        (rows * old[0], columns * old[1], before.shape[-1]), dtype=before.dtype, name=before.name
    )
    inputs = keras.tree.map_structure(lambda _: image, model.input)  # a tensor, a list or a dict
    resized = keras.models.clone_model(model, input_tensors=inputs, clone_function=clone)
    for layer in resized.layers:
        arrays = weights.get(layer.name, [])
        if [tuple(w.shape) for w in layer.weights] != [array.shape for array in arrays]:
            raise ValueError(
                f"resize knows no way to enlarge layer '{layer.name}' "
                f"({type(layer).__name__}), whose weights depend on the image's size."
            )
        layer.set_weights(arrays)
    return resized


def _image_size(model):
    inner = [layer.name for layer in getattr(model, "layers", ()) if isinstance(layer, keras.Model)]
    if inner:
        raise ValueError(
            f"resize takes models without models within; '{model.name}' contains "
            f"{listed(inner)}. Resize that and build the rest on it again."
        )
    if isinstance(model, keras.Sequential) or not getattr(model, "inputs", None):
        raise ValueError(f"resize needs a functional Keras model; got {type(model).__name__}.")
    shapes = [tuple(image.shape) for image in model.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or None in shapes[0][1:]:
        raise ValueError(
            f"resize needs a model of one image of a fixed size; '{model.name}' takes "
            f"{', '.join(map(str, shapes))}."
        )
    return shapes[0][1:3]


def _factors(model, old, new):
    numbers = len(new) == 2 and all(isinstance(n, Integral) and n > 0 for n in new)
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
        f"{' x '.join(map(str, new))}."
    )
