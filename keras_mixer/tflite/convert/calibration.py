"""The range of every activation, read from example images."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from keras_mixer.tflite.file.interpreter import every_tensor

# The share of an activation's values that may lie outside its range, on either side, and saturate.
# One in ten thousand: a few outliers would otherwise make the steps of all the others coarse.
TAIL = 1e-4


def ranges(content, images, tail=TAIL):
    """What a float32 file's activations lie between: tensor name -> (minimum, maximum).

    Of each image the `tail` smallest and largest values are left out, which is none of a tensor of
    less than 1 / `tail` values; then the widest range of all images counts. A tensor that is not
    finite on some image has the range (NaN, NaN) or an infinite one.

    Args:
        content: The file's content.
        images: Images `[H, W, C]` as the file takes them.
        tail: A share from 0, the true minimum and maximum, to 0.5.
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
                in_time = sorting.get(name)
                low, high = in_time.result() if in_time else (values.min(), values.max())
                if not np.isfinite(ends := (values.min(), values.max())).all():
                    low, high = ends  # also where it is in the tail only
                before = found.get(name, (low, high))
                # Unlike Python's min and max, these pass a NaN on.
                found[name] = float(np.minimum(before[0], low)), float(np.maximum(before[1], high))
    return found


def _inner(values, outside):
    """The smallest and largest value but for so many on either side."""
    last = values.size - 1 - outside
    sorted_there = np.partition(values, (outside, last), axis=None)
    return sorted_there[outside], sorted_there[last]
