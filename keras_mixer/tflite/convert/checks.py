"""Checks of weights and ranges: numbers that a recipe cannot store are refused.

LiteRT may abort the process that loads a quantised file whose scales are NaN or far too large.
"""

from itertools import chain

import numpy as np
from keras import ops

from keras_mixer._text import listed
from keras_mixer.tflite.convert.quantise import MATMULS
from keras_mixer.tflite.file.interpreter import every_tensor
from keras_mixer.tflite.file.ops import constants_of

FLOAT16 = float(np.finfo(np.float16).max)  # 65504
# Beyond it the product of two quantised numbers may overflow float32: 1e18 * 1e18 = 1e36.
LARGEST = 1e18


def check_weights(model, recipe, who):
    """Raises ValueError if a weight is NaN or infinite, or too large for integers."""
    limit = LARGEST if recipe.weights in ("int8", "int4") else np.inf
    wrong = []
    for weight in model.weights:
        values = ops.convert_to_numpy(weight)
        if "float" not in weight.dtype:
            continue
        if not np.isfinite(values).all():
            count = int(np.sum(~np.isfinite(values)))
            wrong.append(f"{weight.path}: {count} of {values.size} are NaN or infinite")
        elif values.size and np.abs(values).max() > limit:
            wrong.append(f"{weight.path}: up to {np.abs(values).max():.3g}, beyond {limit:.0g}")
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise ValueError(
            f"{who} needs weights that are finite numbers; '{model.name}' has "
            f"{'; '.join(wrong[:5])}{more}. Go back to a checkpoint from before training diverged."
        )


def check_float16(content, layers, kept, who):
    """Raises ValueError if a weight that is to be stored in float16 is beyond its range.

    Args:
        content: The float32 file.
        layers: Name of a tensor -> path of the layer that makes it.
        kept: Names of the tensors that stay in float32.
    """
    for name, values in constants_of(content, MATMULS):
        largest = np.abs(values).max(initial=0)
        if name not in kept and largest > FLOAT16:
            raise ValueError(
                f"{who} stores weights in float16, which ends at {FLOAT16:.0f}; layer "
                f"'{layers.get(name, name)}' has weights up to {largest:.3g}. Keep it in float32 "
                "with keep_float= (--keep-float), or take recipe 'float32' or 'dynamic_int8'."
            )


def check_float16_arithmetic(content, images, layers, who):
    """Raises ValueError if a number in a float32 file is beyond float16's range on some image.

    Args:
        content: The float32 file.
        images: Images as the file takes them.
        layers: Name of a tensor -> path of the layer that makes it.
    """
    beyond = {}  # layer -> its largest number
    constants = constants_of(content, MATMULS)
    tensors = (pair for found in every_tensor(content, images) for pair in found.items())
    for name, values in chain(constants, tensors):
        size = np.abs(values).max(initial=0)
        if not size <= FLOAT16:
            layer = f"'{layers.get(name, name)}'"
            beyond[layer] = np.fmax(beyond.get(layer, size), size)
    if beyond:
        found = [f"{layer} up to {size:.3g}" for layer, size in beyond.items()]
        raise ValueError(
            f"{who} makes a file that ARM CPUs compute in float16, whose largest number is "
            f"{FLOAT16:.0f}; on {len(images)} images numbers in layers are larger: "
            f"{listed(found[:5])}. Convert with float16_arithmetic=False "
            "(--no-float16-arithmetic) to have CPUs compute in float32; GPUs use float16 anyway."
        )


def check_ranges(found, layers, who):
    """Raises ValueError if an activation is not finite, or too large, on the calibration images.

    Args:
        found: Name of a tensor -> (minimum, maximum).
        layers: Name of a tensor -> path of the layer that makes it.
    """
    for name, (low, high) in found.items():
        if not (np.isfinite([low, high]).all() and max(-low, high) <= LARGEST):
            where = f"the output of layer '{layers[name]}'" if name in layers else f"'{name}'"
            raise ValueError(
                f"{who} cannot quantise {where}: on the calibration images it lies between "
                f"{low:.3g} and {high:.3g}, and integers need finite numbers up to {LARGEST:.0g}. "
                "Look at the calibration images, which must be scaled as the model takes them, and "
                "at that layer's weights."
            )
