"""What images a model takes: how a picture is cut to their size, and the scale of their pixels.

A model says it in its first layer, a `keras_mixer.layers.ImagePreprocessing`, and everything that
feeds the model asks `preprocessing(model)`: training, evaluation, export, `verify`, `Classifier`.
"""

from dataclasses import dataclass, replace
from numbers import Real

import keras
import numpy as np

from keras_mixer._keras import calls_of, graph_of, inner_layers

# How a picture of any size becomes an image of the model's, and how it is interpolated then.
CROPS = {
    "resize": "bilinear",  # the whole picture, squeezed
    "resize_crop": "bilinear",  # the same, larger, then its centre
    "resmall_crop": "area",  # its shorter side made larger than the image's, then the centre
}
# Bilinear, but a pixel of the result lies at the corner of what it stands for, not at the centre.
# OpenCV's warpPerspective does so as MediaPipe calls it; it was TensorFlow 1's way, too.
MEDIAPIPE = "bilinear_from_corners"
# Those that leave a picture of the right size as it is.
INTERPOLATIONS = (*("area", "bicubic", "bilinear", "lanczos3", "lanczos5", "nearest", MEDIAPIPE),)
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean and deviation of its pixels / 255


@dataclass(frozen=True)
class Preprocessing:
    """What images a model takes: `(pixels / 255 - mean) / std` of a picture that was cut to size.

    Attributes:
        mean, std: Of the pixels over 255: a number, or one a channel. 0.5 and 0.5 make [-1, 1] of
            them, 0 and 1 make [0, 1], 0 and 1 / 255 leave them as they are.
        size: Height and width of an image in pixels; `None` where that is not fixed.
        crop: `"resize"`, the whole picture squeezed; `"resize_crop"`, the same and then its centre;
            `"resmall_crop"`, the centre with the picture's proportions kept.
        crop_share: The share of its sides that the centre has; 224 of 256 in the Mixer paper.
        interpolation: A method of `tf.image.resize`, or `"bilinear_from_corners"`, MediaPipe's; by
            default `"area"` for `"resmall_crop"` and `"bilinear"` for the others.
        antialias: Whether a picture is smoothed before it is made smaller.

    Raises:
        ValueError: A value out of its range.
    """

    mean: float | tuple[float, ...] = 0.5
    std: float | tuple[float, ...] = 0.5
    size: tuple[int, int] | None = None
    crop: str = "resize"
    crop_share: float = 224 / 256
    interpolation: str | None = None
    antialias: bool = False

    def __post_init__(self):
        def put(name, value):
            object.__setattr__(self, name, value)

        for name in ("mean", "std"):
            put(name, _numbers(getattr(self, name), name))
        counts = {len(value) for value in (self.mean, self.std) if isinstance(value, tuple)}
        if len(counts) > 1:
            raise ValueError(
                f"Preprocessing needs one mean and one std a channel; got {self.mean} and "
                f"{self.std}."
            )
        if not np.asarray(self.std).all():
            raise ValueError(
                f"Preprocessing needs std to be above 0, or below if inverted; got {self.std}."
            )
        if self.crop not in CROPS:
            raise ValueError(f"Preprocessing crops by {', '.join(CROPS)}; got {self.crop!r}.")
        if not isinstance(self.crop_share, Real) or not 0 < self.crop_share <= 1:
            raise ValueError(
                f"Preprocessing needs crop_share above 0 and up to 1; got {self.crop_share!r}."
            )
        if self.interpolation is None:
            put("interpolation", CROPS[self.crop])
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"Preprocessing interpolates by {', '.join(INTERPOLATIONS)}; got "
                f"{self.interpolation!r}."
            )
        if self.size is not None:
            size = tuple(np.broadcast_to(self.size, 2).tolist())
            if not all(isinstance(n, int) and n > 0 for n in size):
                raise ValueError(
                    f"Preprocessing needs size to be a height and a width in pixels; got "
                    f"{self.size!r}."
                )
            put("size", size)

    @property
    def scale(self):
        """What a pixel is multiplied by, float32: a number or one a channel."""
        return np.float32(1 / (255 * np.asarray(self.std)))

    @property
    def offset(self):
        """What is added then, float32: a number or one a channel."""
        return np.float32(-np.asarray(self.mean) / np.asarray(self.std))

    @property
    def input_range(self):
        """What black and white are to the model: two numbers, or two tuples of one a channel."""
        black = -np.asarray(self.mean) / np.asarray(self.std)
        ends = black, black + 1 / np.asarray(self.std)
        # Twelve digits, so that 255 is 255.
        return tuple(_plain(np.array([float(f"{v:.12g}") for v in np.ravel(e)])) for e in ends)

    def scaled(self, pixels):
        """Pixels from 0 to 255, an array of any shape `[..., C]` and type -> float32."""
        return np.asarray(pixels, np.float32) * self.scale + self.offset

    def pixels(self, images):
        """The inverse of `scaled`."""
        return (np.asarray(images, np.float32) - self.offset) / self.scale

    def ranging(self, input_range):
        """The same for a model that takes other numbers for black and for white.

        Raises:
            ValueError: They are not two different numbers, or two tuples of one a channel.
        """
        try:
            black, white = (np.asarray(end, float) for end in input_range)
            good = np.isfinite(black).all() and np.isfinite(white).all() and (black != white).all()
        except (TypeError, ValueError):
            good = False
        if not good:
            raise ValueError(
                "input_range needs to be two different numbers, what the model takes for black and "
                f"for white, or two tuples of one a channel; got {input_range!r}."
            )
        std = 1 / (white - black)
        return replace(self, mean=_plain(-black * std), std=_plain(std))

    def cut(self, crop):
        """The same with another crop, interpolated as the paper of that crop does."""
        cut = Preprocessing(crop=crop)
        return replace(
            self,
            crop=crop,
            crop_share=cut.crop_share,
            interpolation=cut.interpolation,
            antialias=cut.antialias,
        )

    def on_device(self):
        """As MediaPipe's image classifier does it, and nearly as most apps: squeezed whole.

        Source: image_to_tensor_converter_opencv.cc in google-ai-edge/mediapipe.
        """
        return replace(self.cut("resize"), interpolation=MEDIAPIPE)

    def as_dict(self):
        """Field -> value, as JSON has them; `size` is left out, which the model itself knows."""
        return {
            "mean": list(self.mean) if isinstance(self.mean, tuple) else self.mean,
            "std": list(self.std) if isinstance(self.std, tuple) else self.std,
            "crop": self.crop,
            "crop_share": self.crop_share,
            "interpolation": self.interpolation,
            "antialias": self.antialias,
        }


def preprocessing(model, *, input_range=None):
    """What images a model takes.

    The model's first layers tell it. A `keras_mixer.layers.ImagePreprocessing`, with which every
    model of this package begins, says all. Layers in front of it that keep the values of pixels,
    such as augmentation and `Resizing`, change nothing. Those that scale pixels, a `Rescaling`, a
    `Normalization` or arithmetic, are taken into account. In a model of another package they alone
    can tell: if their output is a usual network input for one of the ranges 0 to 255, [0, 1] and
    [-1, 1] only, the model takes that range.

    Args:
        model: A built functional or Sequential model of one image, `[B, H, W, C]`.
        input_range: What it takes for black and for white: two numbers, or two tuples of one a
            channel. For models that do not say; what a model says otherwise is overruled.

    Returns:
        A `Preprocessing` whose `size` is the model's.

    Raises:
        ValueError: Nothing in the model says it, and no `input_range` is given; or it is none.
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"preprocessing needs a Keras model; got {type(model).__name__}.")
    found = said(model, input_range)
    if found is None:
        raise ValueError(
            f"Nothing in '{model.name}' says what it takes for black and for white. Pass "
            "input_range= (--input-range), such as (0, 255), (0, 1) or (-1, 1); or begin the model "
            "with a keras_mixer.layers.ImagePreprocessing or a keras.layers.Rescaling."
        )
    return found


def carrier(model):
    """The layer in which a model carries its `Preprocessing`, also one within; None without one."""
    for layer in inner_layers(model):
        if isinstance(getattr(layer, "preprocessing", None), Preprocessing):
            return layer
    return None


def said(model, input_range=None):
    """As `preprocessing`, but None where nothing says it."""
    found = _said(model)
    if input_range is None:
        return found
    told = (found or Preprocessing(size=_size(model))).ranging(input_range)
    counts = {len(end) for end in told.input_range if isinstance(end, tuple)}
    if counts - {model.inputs[0].shape[-1]}:
        raise ValueError(
            f"input_range needs numbers for the {model.inputs[0].shape[-1]} channels that "
            f"'{model.name}' takes; got {input_range!r}."
        )
    return told


def _said(model):
    if not getattr(model, "inputs", None) or len(model.inputs[0].shape) != 4:
        return None
    front = _Front(*(n or 64 for n in model.inputs[0].shape[1:]))
    front.walk(model)
    layer = front.layer
    base = replace(layer.preprocessing if layer else Preprocessing(), size=_size(model))
    if model.inputs[0].dtype == "uint8":
        return base.ranging(PIXELS)
    if layer and not front.scaled:
        return base.ranging(PIXELS) if layer.rescale else base
    found = layer and front.source_of(PIXELS if layer.rescale else base.input_range)
    found = found or front.guessed()
    return found and base.ranging(found)


PIXELS = (0.0, 255.0)
RANGES = PIXELS, (0.0, 1.0), (-1.0, 1.0), (-0.5, 0.5)  # that people feed models


class _Front:
    """What the first operations of a model make of black, grey and white images of several ranges.

    Attributes:
        layer: The `ImagePreprocessing` that was met, or None.
        scaled: Whether something before it changes values.
    """

    def __init__(self, height, width, channels):
        means, stds = ([value[i % 3] for i in range(channels)] for value in IMAGENET)
        imagenet = Preprocessing(means, stds).input_range
        self.ranges = [*RANGES, imagenet]
        shape = height, width, channels
        shades = [
            np.broadcast_to(np.float32(shade), shape)
            for black, white in self.ranges
            for shade in (black, np.add(black, white) / 2, white)
        ]
        self.values = keras.ops.convert_to_tensor(np.stack(shades))  # [3 ranges, H, W, C]
        self.layer, self.scaled = None, False

    def walk(self, model):
        """Goes on through a model; returns whether its end was reached."""
        graph = graph_of(model)
        if graph is None:
            return False
        known = {id(graph.inputs[0]): self.values}
        for operation, arguments, outputs in calls_of(graph):
            tensors = [x for x in keras.tree.flatten(arguments) if keras.utils.is_keras_tensor(x)]
            if not tensors or any(id(x) not in known for x in tensors):
                return False
            self.values = known[id(tensors[0])]
            if isinstance(getattr(operation, "preprocessing", None), Preprocessing):
                self.layer = operation
                return False
            if graph_of(operation) is not None:
                if not self.walk(operation):
                    return False
            elif not _keeps(operation):
                made = _result(operation, arguments, known)
                if made is None:
                    return False
                self.scaled = True
                known |= zip(map(id, outputs), made, strict=True)
                continue
            known[id(outputs[0])] = self.values
        self.values = known[id(graph.outputs[0])]
        return True

    def source_of(self, takes):
        """The only range of which `takes` is made; None for none, or for several."""
        tolerance = 1e-3 * np.abs(takes).max()
        found = [given for given, made in self._made() if _near(made, takes, tolerance)]
        return found[0] if len(found) == 1 else None

    def guessed(self):
        """The only range of which a network's usual input is made; None for none, or for several.

        Usual is [0, 1], [-1, 1], [-0.5, 0.5], ImageNet's normalisation, with the mean taken off or
        not; else what has a mean near 0 and a deviation near 1.
        """
        if not self.scaled:
            return None
        every = self._made()
        known = [
            given
            for given, made in every
            for wanted in self.ranges
            if _near(made, wanted, 2e-3 * np.ptp(wanted))
        ]
        if known:
            return known[0] if len(known) == 1 else None
        three = [(given, *made) for given, made in every if given in self.ranges[:3]]
        # What keras.applications calls "caffe": the mean is taken off, and no more.
        caffe = [
            given
            for given, black, white in three
            if ((np.abs(white - black - 255) < 1) & (black < -50)).all()
        ]
        # Wide bounds: a range that is not quite out of the question leaves another in doubt.
        possible = [
            (given, black, white)
            for given, black, white in three
            if ((white - black > 0.5) & (white - black < 60) & (black > -40)).all()
        ]
        like = [
            given
            for given, black, white in possible
            if ((white - black > 0.9) & (white - black < 12) & (black > -6)).all()
            and ((black < 0.6) & (white > 0.4)).all()
        ]
        found = caffe or (like if len(possible) == 1 else [])
        return found[0] if len(found) == 1 else None

    def _made(self):
        """Of each range that is still a straight line: the range, and black and white now, [C]."""
        values = keras.ops.convert_to_numpy(keras.ops.cast(self.values, "float32"))
        if values.ndim != 4 or len(values) != 3 * len(self.ranges):
            return []
        shades = values.mean(axis=(1, 2)).reshape(len(self.ranges), 3, -1)
        return [
            (given, (black, white))
            for given, (black, grey, white) in zip(self.ranges, shades, strict=True)
            if (np.abs(grey - (black + white) / 2) <= 1e-3 * np.abs(white - black) + 1e-6).all()
        ]


def _near(made, wanted, tolerance):
    """Whether black and white are what is wanted, a number or one a channel."""
    wanted = [np.ravel(end) for end in wanted]
    return all(
        end.size in (1, now.size) and np.allclose(now, end, rtol=0, atol=tolerance)
        for now, end in zip(made, wanted, strict=True)
    )


_layers = keras.layers
# Keras's layers whose output is their input in inference. RandomCrop cuts in inference too.
INACTIVE = {
    *(getattr(_layers, name) for name in dir(_layers) if name.startswith("Random")),
    *(_layers.AugMix, _layers.CutMix, _layers.MixUp, _layers.RandAugment, _layers.Identity),
    *(_layers.Dropout, _layers.SpatialDropout1D, _layers.SpatialDropout2D, _layers.AlphaDropout),
    *(_layers.GaussianDropout, _layers.GaussianNoise, _layers.ActivityRegularization),
} - {_layers.RandomCrop}
# Those and the layers that leave the values of pixels as they are, or nearly, in inference.
KEEPS = INACTIVE | {
    *(_layers.InputLayer, _layers.AutoContrast, _layers.RandomCrop, _layers.Resizing),
    *(_layers.CenterCrop, _layers.Cropping2D, _layers.UpSampling2D),
}
SCALES = (_layers.Rescaling, _layers.Normalization)
# Operations by the names of their classes, which Keras does not export.
ARITHMETIC = {
    *("Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Negative", "Cast", "Clip"),
    *("GetItem", "Flip", "Split", "Stack", "Concatenate"),
}


def _keeps(operation):
    return type(operation) in KEEPS  # a subclass may do more


def _result(operation, arguments, known):
    """What an operation that scales pixels makes of what is known; None for any other operation."""
    arithmetic = type(operation).__name__ in ARITHMETIC and not isinstance(operation, _layers.Layer)
    if not arithmetic and type(operation) not in SCALES:
        return None
    args, kwargs = keras.tree.map_structure(
        lambda x: known[id(x)] if keras.utils.is_keras_tensor(x) else x, arguments
    )
    return keras.tree.flatten(operation.call(*args, **kwargs))


def _size(model):
    shape = tuple(model.inputs[0].shape) if getattr(model, "inputs", None) else ()
    return shape[1:3] if len(shape) == 4 and None not in shape[1:3] else None


def _numbers(values, name):
    try:
        numbers = np.asarray(values, float)
    except (TypeError, ValueError):
        numbers = np.array(np.nan)
    if numbers.ndim > 1 or not numbers.size or not np.isfinite(numbers).all():
        raise ValueError(
            f"Preprocessing needs {name} to be a number, or one a channel; got {values!r}."
        )
    return _plain(numbers)


def _plain(numbers):
    """An array as a float, or as a tuple of several that differ."""
    values = [float(n) + 0.0 for n in np.ravel(numbers)]  # no -0.0
    return values[0] if len(set(values)) == 1 else tuple(values)
