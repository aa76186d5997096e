"""What the compiler says of every slice, as JSON: cores, and of each chip the memory.

python -m tests.tpu.topologies
"""

import json
import re

import jax
from jax.sharding import SingleDeviceSharding

from keras_mixer.tpu.compile import shardings
from keras_mixer.tpu.slices import CHIPS, SLICES


def devices(slice):
    whole, _ = shardings(slice)
    return whole.mesh.devices


def available(device):
    """GiB of memory, from the complaint of a program that needs much more."""
    much = jax.ShapeDtypeStruct((2**30, 40), "float32", sharding=SingleDeviceSharding(device))
    try:
        jax.jit(lambda x: x + 1).lower(much).compile()
    except jax.errors.JaxRuntimeError as error:
        return float(re.search(r"available HBM \(([\d.]+)G\)", str(error))[1])


if __name__ == "__main__":
    smallest = {slice.chip.name: slice for slice in reversed(SLICES.values())}
    print(
        json.dumps(
            {
                "cores": {name: len(devices(slice)) for name, slice in SLICES.items()},
                "memory": {chip: available(devices(smallest[chip])[0]) for chip in CHIPS},
            }
        )
    )
