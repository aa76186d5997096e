"""The images of a model: how pictures are cropped to their size, and the scale of their pixels.

A model stores this in its first layer, a `keras_mixer.layers.ImagePreprocessing`. Training,
evaluation, export, `verify` and `Classifier` all read it with `preprocessing(model)`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_mixer._checks import check_model
from keras_mixer._keras import calls_of, graph_of, inner_layers
from keras_mixer._types import InputRange

# How a picture of any size is cropped to the model's size, and with which interpolation.
CROPS = {
    "resize": "bilinear",  # the whole picture, its proportions not kept
    "resize_crop": "bilinear",  # the same, larger, then its centre
    "resmall_crop": "area",  # its shorter side made larger than the image's, then the centre
}
# Bilinear with pixels aligned at their corners instead of their centres, as OpenCV's
# warpPerspective does in MediaPipe and as TensorFlow 1 did.
MEDIAPIPE = "bilinear_from_corners"
# The methods that do not change a picture of the right size.
INTERPOLATIONS = (*("area", "bicubic", "bilinear", "lanczos3", "lanczos5", "nearest", MEDIAPIPE),)
# Library whose rules of resizing are followed -> the interpolations that it has.
LIBRARIES = {
    "tensorflow": INTERPOLATIONS,
    "pillow": ("bicubic", "bilinear", "lanczos3", "nearest"),
}
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean and deviation of its pixels / 255


@dataclass(frozen=True)
class Preprocessing:
    """The images of a model: a picture cropped to size, then `(pixels / 255 - mean) / std`.

    Attributes:
        mean, std: Mean and standard deviation of `pixels / 255`: a number, or one for each channel.
            The model's input is in [-1, 1] for 0.5 and 0.5, in [0, 1] for 0 and 1, and the pixels
            themselves for 0 and 1 / 255.
        size: Height and width of an image in pixels; `None` if they are not fixed.
        crop: `"resize"`: the whole picture, its proportions not kept. `"resize_crop"`: the centre
            of that. `"resmall_crop"`: the centre of the picture, its proportions kept.
        crop_share: Side of the centre over the side of the resized picture; 224 / 256 in the Mixer
            paper.
        interpolation: A method of `tf.image.resize`, or `"bilinear_from_corners"` as in MediaPipe;
            by default `"area"` for `"resmall_crop"` and `"bilinear"` for the others. Pillow has
            `"bicubic"`, its default, `"bilinear"`, `"lanczos3"` and `"nearest"`.
        antialias: Whether a picture is smoothed before it is made smaller; Pillow always does.
        library: Whose rules pictures are resized by: `"tensorflow"`, as in Google's code, or
            `"pillow"`, as in torchvision and timm. They round pixels, the sides of the resized
            picture and the place of the centre differently, see `keras_mixer.data.resmall_crop`.

    Raises:
        ValueError: A value is out of range.
    """

    mean: float | tuple[float, ...] = 0.5
    std: float | tuple[float, ...] = 0.5
    size: tuple[int, int] | None = None
    crop: str = "resize"
    crop_share: float = 224 / 256
    interpolation: str | None = None
    antialias: bool = False
    library: str = "tensorflow"

    def __post_init__(self):
        def put(name, value):
            object.__setattr__(self, name, value)

        for name in ("mean", "std"):
            put(name, _numbers(getattr(self, name), name))
        counts = {len(value) for value in (self.mean, self.std) if isinstance(value, tuple)}
        if len(counts) > 1:
            raise ValueError(
                f"Preprocessing needs one mean and one std for each channel; got {self.mean} and "
                f"{self.std}."
            )
        if not np.asarray(self.std).all():
            raise ValueError(
                f"Preprocessing needs std to be above 0, or below if inverted; got {self.std}."
            )
        for name in ("crop", "interpolation", "library"):
            value = getattr(self, name)
            if not isinstance(value, str | None):
                raise ValueError(f"Preprocessing needs {name} to be a string; got {value!r}.")
        if not isinstance(self.antialias, bool | np.bool_):
            raise ValueError(
                f"Preprocessing needs antialias to be True or False; got {self.antialias!r}."
            )
        if self.crop not in CROPS:
            raise ValueError(f"Preprocessing crops by {', '.join(CROPS)}; got {self.crop!r}.")
        if not isinstance(self.crop_share, Real) or not 0 < self.crop_share <= 1:
            raise ValueError(
                f"Preprocessing needs crop_share above 0 and up to 1; got {self.crop_share!r}."
            )
        put("crop_share", float(self.crop_share))
        if self.library not in LIBRARIES:
            raise ValueError(
                f"Preprocessing needs library to be {' or '.join(map(repr, LIBRARIES))}; got "
                f"{self.library!r}."
            )
        pillow = self.library == "pillow"
        if self.interpolation is None:
            put("interpolation", "bicubic" if pillow else CROPS[self.crop])
        if self.interpolation not in LIBRARIES[self.library]:
            by = "with Pillow interpolates" if pillow else "interpolates"
            raise ValueError(
                f"Preprocessing {by} by {', '.join(LIBRARIES[self.library])}; got "
                f"{self.interpolation!r}."
            )
        put("antialias", bool(self.antialias or pillow))
        if self.size is not None:
            sides = np.asarray(self.size, object)
            size = tuple(np.broadcast_to(sides, 2)) if sides.shape in ((), (1,), (2,)) else ()
            whole = [isinstance(n, Integral) and not isinstance(n, bool) and n > 0 for n in size]
            if not size or not all(whole):
                raise ValueError(
                    f"Preprocessing needs size to be a height and a width in pixels; got "
                    f"{self.size!r}."
                )
            put("size", tuple(map(int, size)))

    @property
    def scale(self):
        """The factor of a pixel, float32: a number, or one for each channel."""
        return np.float32(1 / (255 * np.asarray(self.std)))

    @property
    def offset(self):
        """The term added after `scale`, float32: a number, or one for each channel."""
        return np.float32(-np.asarray(self.mean) / np.asarray(self.std))

    @property
    def input_range(self):
        """Input values for black and for white: numbers, or tuples with one for each channel."""
        black = -np.asarray(self.mean) / np.asarray(self.std)
        ends = black, black + 1 / np.asarray(self.std)
        # Twelve digits, so that 255 is 255.
        ends = [tuple(float(f"{v:.12g}") + 0.0 for v in np.ravel(end)) for end in ends]
        same = all(len(set(end)) == 1 for end in ends)
        return tuple(end[0] if same else end for end in ends)

    def scaled(self, pixels: ArrayLike) -> np.ndarray:
        """Pixels from 0 to 255, an array of any shape `[..., C]` and type -> float32."""
        return np.asarray(pixels, np.float32) * self.scale + self.offset

    def pixels(self, images: ArrayLike) -> np.ndarray:
        """The inverse of `scaled`."""
        return (np.asarray(images, np.float32) - self.offset) / self.scale

    def ranging(self, input_range: InputRange) -> "Preprocessing":
        """The same with other input values for black and for white.

        Raises:
            ValueError: They are not two different numbers, or tuples with one for each channel.
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

    def grey(self) -> "Preprocessing":
        """The same for images of one channel: the mean over the channels of `mean` and `std`."""
        return replace(self, mean=float(np.mean(self.mean)), std=float(np.mean(self.std)))

    def cut(self, crop: str) -> "Preprocessing":
        """The same with another crop and its default interpolation."""
        cut = Preprocessing(crop=crop)
        return replace(
            self,
            crop=crop,
            crop_share=cut.crop_share,
            interpolation=cut.interpolation,
            antialias=cut.antialias,
            library=cut.library,
        )

    def enlarged(self, size: Sequence[int]) -> list[int]:
        """The sides of the resized picture from whose centre an image of `size` is cut."""
        return enlarged(size, self.crop_share, self.library)

    def on_device(self) -> "Preprocessing":
        """The same, cropped as by MediaPipe's image classifier: the whole picture is resized.

        Source: image_to_tensor_converter_opencv.cc in google-ai-edge/mediapipe.
        """
        return replace(self.cut("resize"), interpolation=MEDIAPIPE)

    def as_dict(self) -> dict[str, Any]:
        """Field -> value, for JSON; without `size`, which the model's input has."""
        return {
            "mean": list(self.mean) if isinstance(self.mean, tuple) else self.mean,
            "std": list(self.std) if isinstance(self.std, tuple) else self.std,
            "crop": self.crop,
            "crop_share": self.crop_share,
            "interpolation": self.interpolation,
            "antialias": self.antialias,
            "library": self.library,
        }


def enlarged(size: Sequence[int], share: float, library: str) -> list[int]:
    """Sides divided by a share: rounded to the nearest, or down as torchvision's users do.

    Source: `transforms_imagenet_eval` in timm/data/transforms_factory.py.
    """
    return [
        math.floor(side / share) if library == "pillow" else round(side / share) for side in size
    ]


def preprocessing(model: keras.Model, *, input_range: InputRange | None = None) -> Preprocessing:
    """The images that a model takes, found in its first layers.

    Every model of this package begins with a `keras_mixer.layers.ImagePreprocessing`, which stores
    them. Layers before it may keep the values of pixels, such as augmentation and `Resizing`, or
    scale them, such as `Rescaling`, `Normalization` and arithmetic, which is taken into account.

    In a model of another package only such scaling layers can tell. Their output is computed for
    inputs of 0 to 255, [0, 1] and [-1, 1]; if it is a usual network input for only one of these
    ranges, the model takes that range.

    Args:
        model: A built functional or Sequential model of one image, `[B, H, W, C]`.
        input_range: Input values for black and for white: two numbers, or two tuples with one for
            each channel. It is needed if nothing is found in the model, and has precedence.

    Returns:
        A `Preprocessing` whose `size` is the model's.

    Raises:
        ValueError: Nothing is found and no `input_range` is given; or `input_range` is no range.
    """
    check_model(model, "preprocessing")
    found = find_preprocessing(model, input_range)
    if found is None:
        raise ValueError(
            f"Nothing in '{model.name}' says what it takes for black and for white. Pass "
            "input_range= (--input-range), such as (0, 255), (0, 1) or (-1, 1); or begin the model "
            "with a keras_mixer.layers.ImagePreprocessing or a keras.layers.Rescaling."
        )
    return found


def carrier(model):
    """The layer, at any depth, that stores a model's `Preprocessing`; None without one."""
    for layer in inner_layers(model):
        if isinstance(getattr(layer, "preprocessing", None), Preprocessing):
            return layer
    return None


def find_preprocessing(model, input_range=None):
    """As `preprocessing`, but returns None if nothing is found."""
    found = _found_in(model)
    if input_range is None:
        return found
    ranging = (found or Preprocessing(size=_size(model))).ranging(input_range)
    check_channels(ranging, model.inputs[0].shape[-1], model.name)
    return ranging


def check_channels(preprocessing, channels, who):
    """Raises ValueError if input values by channel are those of another number of channels."""
    black, white = preprocessing.input_range
    if isinstance(black, tuple) and len(black) != channels:
        raise ValueError(
            f"input_range needs numbers for the {channels} channels that '{who}' takes; got "
            f"{(black, white)}."
        )


def _found_in(model):
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
RANGES = PIXELS, (0.0, 1.0), (-1.0, 1.0), (-0.5, 0.5)  # the usual inputs of models


class _Front:
    """Output of a model's first operations for black, grey and white images of several ranges.

    Attributes:
        layer: The `ImagePreprocessing` that was found, or None.
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
        """Follows the operations of a model; returns whether its end was reached."""
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
        """The only range that becomes `takes`; None for none, or for several."""
        tolerance = 1e-3 * np.abs(takes).max()
        found = [given for given, made in self._made() if _near(made, takes, tolerance)]
        return found[0] if len(found) == 1 else None

    def guessed(self):
        """The only range that becomes a usual network input; None for none, or for several.

        Usual inputs are [0, 1], [-1, 1], [-0.5, 0.5], ImageNet's normalisation, pixels minus their
        mean, and otherwise numbers with a mean near 0 and a deviation near 1.
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
        # "caffe" in keras.applications: only the mean is subtracted.
        caffe = [
            given
            for given, black, white in three
            if ((np.abs(white - black - 255) < 1) & (black < -50)).all()
        ]
        # Wide bounds: while a second range is possible, none is chosen.
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
        """Each range that is still linear: the range, and its black and white now, [C]."""
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
    """Whether black and white are those wanted, a number or one for each channel."""
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
    """The result of an operation that scales pixels; None for any other operation."""
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
            f"Preprocessing needs {name} to be a number, or one for each channel; got {values!r}."
        )
    return _plain(numbers)


def _plain(numbers):
    """An array as a float, or as a tuple of several that differ."""
    values = [float(n) + 0.0 for n in np.ravel(numbers)]  # no -0.0
    return values[0] if len(set(values)) == 1 else tuple(values)
