"""The file `keras_mixer/models/counted.csv`: what is counted of each model's graph.

`keras-mixer models` prints it; to build all models there would take a minute. A test compares the
file with the models. To write it anew:

    python -m tests.counted
"""

import csv
import math

import keras

import keras_mixer
from keras_mixer._keras import inner_layers
from keras_mixer.layers import PatchEmbed, Residual
from keras_mixer.models import BUILDERS
from keras_mixer.models.architecture import COUNTED


def counted(name):
    """A model's row."""
    with keras.StatelessScope(initialize_variables=False):  # the largest has 432 million weights
        model = keras_mixer.create_model(name)
    keras.utils.clear_session(free_memory=False)  # or they are initialised later
    return {
        "model": name,
        "macs": keras_mixer.count_macs(model),
        "image_sizes": image_sizes(model, BUILDERS[name]),
    }


def image_sizes(model, builder):
    """The sides of square images that the model's weights fit, by `keras_mixer.resize`."""
    layers = inner_layers(model)
    blocks = [layer for layer in layers if isinstance(layer, Residual)]
    side = builder.input_shape[0]
    if any(block.size_is_fixed for block in blocks):
        return str(side)
    if any(block.of_one_size for block in blocks):
        return f"{side} k"
    if builder.architecture.padded_stem:
        return "any"
    return f"{math.prod(x.patch_size for x in layers if isinstance(x, PatchEmbed))} k"


if __name__ == "__main__":
    with COUNTED.open("w", newline="") as file:
        table = csv.DictWriter(file, ["model", "macs", "image_sizes"], lineterminator="\n")
        table.writeheader()
        table.writerows(map(counted, keras_mixer.list_models()))
