"""Finds the layers whose quantisation changes the scores the most."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from numbers import Integral
from typing import Any

import keras
import numpy as np

from keras_mixer._keras import activation_of, last_operation
from keras_mixer._types import Images, InputRange
from keras_mixer.images import find_preprocessing
from keras_mixer.tasks import task_of
from keras_mixer.tflite.convert.calibration import calibration_images, checked_ranges
from keras_mixer.tflite.convert.checks import check_float16
from keras_mixer.tflite.convert.float_file import checked_float_file
from keras_mixer.tflite.convert.layer_names import layers_by_tensor
from keras_mixer.tflite.convert.model import check_backend, image_shape
from keras_mixer.tflite.convert.quantise import MATMULS, odd_widths, quantise
from keras_mixer.tflite.convert.recipes import find
from keras_mixer.tflite.examples import batches
from keras_mixer.tflite.file.interpreter import open_interpreter
from keras_mixer.tflite.file.ops import outputs_of
from keras_mixer.tflite.run.runner import Runner


@dataclass(frozen=True)
class LayerLoss:
    """The effect of quantising one layer alone.

    Attributes:
        layer: The layer's path, for `keep_float` of `convert`.
        error: Root mean square of the change of the scores, divided by that of the scores.
        agreement: Share of answers that stay the same, as in `verify`, 0 to 1; `None` with task
            `"regression"`.
    """

    layer: str
    error: float
    agreement: float | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def sensitivity(
    model: keras.Model,
    recipe: str,
    data: Images,
    *,
    calibration: Images | None = None,
    count: int = 64,
    progress: Callable = iter,
    input_range: InputRange | None = None,
    task: str | None = None,
) -> list[LayerLoss]:
    """Quantises one layer at a time, all others in float32, and measures the change of the scores.

    Args:
        model: The Keras model, `[B, H, W, C] -> [B, classes]`.
        recipe: Name of any recipe except `"float32"`.
        data: Images, as in `verify`; labels are ignored. Batches may be without end.
        calibration: Calibration images, for the recipes that need them.
        count: Maximum number of images: the first ones.
        progress: Wraps the iteration over layers, such as `tqdm.tqdm` to draw a bar.
        input_range: The values of a black and of a white pixel, if the model does not state them.
        task: As in `verify`.

    Returns:
        A list of `LayerLoss`, the largest error first. If the accuracy of the whole file is too
        low, keep the first layers in float32 with `keep_float` of `convert`.

    Raises:
        ValueError: As in `convert`; also for recipe `"float32"`, data of a wrong shape or scale, a
            task that the model cannot have, and a `count` below 1.
    """
    recipe = find(recipe)
    who = f"sensitivity to recipe '{recipe.name}'"
    if recipe.name == "float32":
        raise ValueError(f"{who}: nothing is quantised; choose another recipe.")
    if not isinstance(count, Integral) or count < 1:
        raise ValueError(f"{who} needs count to be a number of images from 1; got {count!r}.")
    shape = image_shape(model, "sensitivity")
    preprocessing = find_preprocessing(model, input_range)
    example = calibration_images(recipe, calibration, shape, who, preprocessing)
    found = batches(data, shape, who, preprocessing, most=count)
    images = [image for batch, _ in found for image in batch]
    units = model.outputs[0].shape[-1]
    of_model = task_of(activation_of(last_operation(model)), units, who, task=task)
    check_backend("sensitivity")

    content = checked_float_file(model, shape, recipe, who, example)
    layers = layers_by_tensor(open_interpreter(content), model)
    found = checked_ranges(content, example, recipe, layers, who)
    if recipe.weights == "float16":
        check_float16(content, layers, (), who)
    quantisable = outputs_of(content, None if recipe.every_op else MATMULS)
    if recipe.weights == "int4":
        quantisable -= set(odd_widths(content))
    by_layer = {}
    for name, layer in layers.items():
        if name in quantisable:
            by_layer.setdefault(layer, []).append(name)

    def scores(content):
        runner = Runner(content)
        return np.stack([runner(image) for image in images])

    expected = scores(content)
    losses = []
    for layer in progress([*by_layer]):
        others = [name for name in quantisable if name not in by_layer[layer]]
        got = scores(quantise(content, recipe, found, keep_float=others))
        losses.append(
            LayerLoss(
                layer,
                error=float(np.sqrt(np.square(got - expected).mean() / np.square(expected).mean())),
                agreement=of_model.agreement(got, expected, np.isfinite(got).all(-1)),
            )
        )
    return sorted(losses, key=lambda loss: -loss.error)
