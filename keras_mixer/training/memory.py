"""Whether a training step fits into the memory of a machine, estimated before it is taken."""

import math

from keras_mixer._keras import inner_layers
from keras_mixer._memory import machine_memory
from keras_mixer._text import say
from keras_mixer.layers import Residual

# A step on a CPU took 1.6 to 3.2 times the outputs of all layers: MixerTi4 with 96 pixels, MixerS16
# and ResMlpS12 with 224, with and without XLA. This is to be no more than what is needed.
COPIES = 1.5
STATES = 4  # weights, gradients and two moments


def warn(model, batch_size, memory=None):
    """Prints a warning with the cure if a train step needs more memory than there can be.

    Args:
        model: The model to train.
        batch_size: Images a step.
        memory: Bytes that there are; by default those of this machine.
    """
    there = memory or machine_memory()
    needed = COPIES * batch_size * outputs(model) + STATES * 4 * model.count_params()
    if there and needed > there:
        _, height, width, _ = model.input_shape
        say(
            f"Warning: a step of {batch_size:,} images of {height} x {width} pixels needs at least "
            f"{needed / 1e9:,.0f} GB of memory; this machine has {there / 1e9:,.0f}. A smaller "
            "batch needs less (--set batch_size=), or one in parts (--set accumulate=), smaller "
            "images (--set image_size=) or --model-option remat=true.",
        )


def outputs(model):
    """Bytes of the outputs of a model's layers for one image, which the gradient needs.

    A block that is computed again for the gradient keeps its own output only.
    """
    return sum(_bytes(layer) for layer in _kept(model))


def _kept(layer):
    inner = inner_layers(layer, recursive=False)
    if not inner or (isinstance(layer, Residual) and layer.remat):
        yield layer
    else:
        for each in inner:
            yield from _kept(each)


def _bytes(layer):
    """Of a layer's output for one image; 0 where its shape is not known."""
    taken = (layer.get_build_config() or {}).get("input_shape")
    try:
        shape = layer.compute_output_shape(tuple(taken))
        size = 2 if layer.compute_dtype in ("bfloat16", "float16") else 4
        return size * math.prod(side for side in shape if side is not None)
    except (TypeError, ValueError, NotImplementedError):
        return 0
