"""What the compiler says of every slice, as JSON: cores, and of each chip the memory.

python -m tests.tpu.topologies
"""

import json
import re

import jax
from jax.experimental import topologies
from jax.sharding import SingleDeviceSharding

from keras_mixer.tpu.slices import CHIPS, SLICES


def devices(slice):
    return topologies.get_topology_desc(
        platform="tpu",
        topology_name=f"{slice.chip.name}:{slice.shape}",
        chip_config_name=slice.chip.config,
        chips_per_host_bounds=slice.host,
        num_slices=1,
        wrap=(False,) * 3,
    ).devices


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
