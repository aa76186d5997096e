"""The ranges of a file's activations, read from calibration images."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from keras_mixer.tflite.convert.checks import check_ranges
from keras_mixer.tflite.examples import batches, in_memory
from keras_mixer.tflite.file.interpreter import every_tensor
from keras_mixer.tflite.file.ops import ops_of, parts_of

# The share of an activation's values that may lie outside its range on each side, and saturate.
# One in ten thousand: a few outliers would otherwise make the quantisation of all others coarse.
TAIL = 1e-4
# Images that are read from a data set or another stream of batches, which may have no end. The
# range of an activation is the widest over all images and hardly grows after some hundred;
# TensorFlow's guide to quantisation asks for 100 to 500.
MOST = 500


def calibration_images(recipe, calibration, shape, who, takes, optional=False):
    """The calibration images as a list; None for a recipe that does not use them.

    With `optional` a recipe without quantised activations may have them, to look at their range. Of
    arrays and files all are taken, of a folder, a data set or other batches `MOST`.
    """
    if not recipe.calibrated and (calibration is None or not optional):
        if calibration is not None:
            raise ValueError(
                f"{who} takes no calibration, because it needs no ranges of activations; leave "
                "calibration= (--calibration) out."
            )
        return None
    if calibration is None:
        raise ValueError(
            f"{who} needs calibration= (--calibration), about a hundred images as the model takes "
            "them, to read the ranges of its activations from; got none."
        )
    most = None if in_memory(calibration) else MOST
    found = batches(calibration, shape, who, takes, most=most)
    return [image for images, _ in found for image in images]


def checked_ranges(content, images, recipe, layers, who):
    """The ranges of a float32 file's activations on images; None for a recipe without ranges.

    Args:
        content: The float32 file.
        images: Images as the file takes them.
        recipe: The `QuantizationRecipe`.
        layers: Name of a tensor -> path of the layer that makes it.
        who: Who asks; errors begin with it.

    Raises:
        ValueError: An op that cannot be quantised, or a range that is not finite or too large.
    """
    if not recipe.calibrated:
        return None
    if "WHILE" in {kind for kind, _, _ in ops_of(content)}:
        raise ValueError(
            f"{who} cannot quantise a loop, in which a recurrent layer (LSTM, GRU, RNN) computes. "
            "Build that layer with unroll=True, or take recipe 'dynamic_int8' or 'float16'."
        )
    found = ranges(content, images)
    # Parts of a tensor keep its scale; with others each would be rounded once more.
    found |= {part: found[whole] for part, whole in parts_of(content).items() if whole in found}
    check_ranges(found, layers, who)
    return found


def ranges(content, images, tail=TAIL):
    """The ranges of a float32 file's activations: tensor name -> (minimum, maximum).

    In each image the share `tail` of the smallest and of the largest values is left out, which is
    no value of a tensor of less than 1 / `tail` values. The range over all images is the widest. It
    is (NaN, NaN) or infinite for a tensor that is not finite on some image.

    Args:
        content: The file's content.
        images: Images `[H, W, C]` as the file takes them.
        tail: A share from 0, for the true minimum and maximum, to 0.5.
    """
    found = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for tensors in every_tensor(content, images):
            cut = {name: int(values.size * tail) for name, values in tensors.items()}
            sorting = {
                name: pool.submit(_inner, tensors[name], outside)
                for name, outside in cut.items()
                if outside
            }
            for name, values in tensors.items():
                sorted_range = sorting.get(name)
                low, high = sorted_range.result() if sorted_range else (values.min(), values.max())
                if not np.isfinite(extremes := (values.min(), values.max())).all():
                    low, high = extremes  # also if it is in the tail only
                before = found.get(name, (low, high))
                # Unlike Python's min and max, these pass a NaN on.
                found[name] = float(np.minimum(before[0], low)), float(np.maximum(before[1], high))
    return found


def _inner(values, outside):
    """The smallest and largest value after the `outside` most extreme are left out on each side."""
    last = values.size - 1 - outside
    sorted_there = np.partition(values, (outside, last), axis=None)
    return sorted_there[outside], sorted_there[last]
