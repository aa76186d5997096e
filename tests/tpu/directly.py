"""Compiles a train step for a TPU as JAX's documentation has it, with nothing of `preflight`.

    python -m tests.tpu.directly TOPOLOGY CORES BATCH MODEL OPTION...

Prints what the compiler says, as JSON. `TOPOLOGY` is such as v3:2x2, `MODEL` a builder's name, an
`OPTION` one of its arguments, such as depth=2.
"""

import json
import re
import sys

import jax
import keras
import numpy as np
from jax.experimental.topologies import get_topology_desc
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import keras_mixer
from keras_mixer._text import option

if __name__ == "__main__":
    topology, cores, batch, name, *options = sys.argv[1:]
    cores, batch = int(cores), int(batch)
    keras.config.set_dtype_policy("mixed_bfloat16")
    options = dict(map(option, options))
    model = keras_mixer.create_model(name, classifier_activation=None, **options)
    model.compile("adamw", keras.losses.CategoricalCrossentropy(from_logits=True))
    model.optimizer.build(model.trainable_variables)
    state = (
        [v.value for v in model.trainable_variables],
        [v.value for v in model.non_trainable_variables],
        [v.value for v in model.optimizer.variables],
        [v.value for v in model.metrics_variables],
    )
    described = get_topology_desc(topology, "tpu", chips_per_host_bounds=(2, 2, 1), num_slices=1)
    mesh = Mesh(np.array(described.devices), ("data",))
    assert mesh.size == cores
    everywhere = NamedSharding(mesh, PartitionSpec())
    divided = NamedSharding(mesh, PartitionSpec("data"))
    x, y = (
        jax.ShapeDtypeStruct((batch, *shape[1:]), np.float32, sharding=divided)
        for shape in (model.input_shape, model.output_shape)
    )
    state = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=everywhere), state
    )
    step = jax.jit(lambda state, x, y: model.train_step(state, (x, y)), donate_argnums=0)
    compiled = step.lower(state, x, y).compile()
    cycles = re.findall(r'"estimated_cycles":"(\d+)"', compiled.as_text())
    found = {
        "flops": int(compiled.cost_analysis()["flops"]),
        "estimated_cycles": sum(map(int, cycles)),
        "arguments_bytes": compiled.memory_analysis().argument_size_in_bytes,
        "code_bytes": compiled.memory_analysis().generated_code_size_in_bytes,
    }
    print(json.dumps(found))
