"""The separate process of `preflight`: Keras on JAX, compiled by libtpu.

Reads a job as JSON from standard input, and writes JSON lines to standard output: `{"doing": ...}`
for each step, then `{"result": ...}` or `{"error": ...}`.
"""

import json
import os
import re
import sys
from functools import partial
from importlib import import_module
from inspect import signature

import jax
import keras
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from keras_mixer.models import create_model
from keras_mixer.tpu.hlo import by_layer, operations
from keras_mixer.tpu.slices import SLICES

COSTLIEST = 10
ROWS = 8  # images per core by which the batch is varied: a TPU's registers have so many rows
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
# The compiler's message if a program needs too much memory: "Used 20.05G of 15.75G hbm".
# If it needs far too much, it fails early: "memory required for HLO temporaries (320.00G)".
NEEDED = re.compile(r"(?:Used |required for [^(]*\()([\d.]+)([KMGT]?)")


def main():
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)  # other output goes to standard error

        def tell(kind, value):
            print(json.dumps({kind: value}), file=answers, flush=True)

        answer(json.load(sys.stdin), tell)


def answer(job, tell):
    """Calls `tell` with the kind and the value of each answer to a job."""
    try:
        tell("result", run(job, partial(tell, "doing")))
    except (ValueError, TypeError, ImportError) as error:
        # Keras puts the reason at the end, after the config of all layers.
        reason = str(error).rpartition("Exception encountered: ")[2]
        tell("error", reason.partition(" Full object config")[0])


def run(job, tell):
    """The result of a job: a dict for `keras_mixer.tpu.Preflight`."""
    tell("building the model")
    program = Program(job, tell)
    return program.compiled(job["batch"]) if job["batch"] else largest(program)


def largest(program):
    """The compiled program of the largest batch that fits, or of the smallest if none does."""
    cores, limit = program.slice.cores, program.slice.chip.memory
    found = {}  # images a core -> the compiled program
    low, high, grain = 0, None, ROWS
    while high is None or high - low > grain:
        images = _guess(found, limit, low, high, grain)
        found[images] = program.compiled(images * cores)
        if found[images]["fits"]:
            low = images
        else:
            high = images
            if images == grain:  # not one group of rows
                grain = 1
    return found[low or high]


def _guess(found, limit, low, high, grain):
    """The number of images to try next, between one that fits and one that does not."""
    if high is None and len(found) < 2:
        guess = 4 * low
    elif high is None or (low and len(found) % 2):
        # Memory grows about linearly, so extrapolate from two programs.
        n, m = sorted(found)[-2:] if high is None else (low, high)
        used, more = found[n]["memory_bytes"], found[m]["memory_bytes"]
        guess = m + int((limit - more) * (m - n) / max(more - used, 1))
        if high is None:  # Near the limit the compiler saves memory, so more may fit.
            farthest = 16 * m if 2 * more < limit else 3 * m // 2
            guess = min(max(guess, 3 * m // 2), farthest)
    else:  # sometimes bisect, because memory is not exactly linear
        guess = (low + high) // 2
    guess = guess // grain * grain
    return max(min(guess, high - grain) if high else guess, low + grain)


def shardings(slice):
    """Shardings for a slice: replicated on every core, and divided along the first axis."""
    described = topologies.get_topology_desc(
        platform="tpu",
        topology_name=f"{slice.chip.name}:{slice.shape}",
        chip_config_name=slice.chip.config,
        chips_per_host_bounds=slice.host,
        num_slices=1,
        wrap=(False,) * 3,
    )
    mesh = Mesh(np.array(described.devices), ("batch",))
    return NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("batch"))


def measured(lowered, train):
    """Compiles a JAX program; returns the compiler's figures as a dict."""
    try:
        program = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        needed = NEEDED.search(str(error))
        if "RESOURCE_EXHAUSTED" not in str(error) or not needed:
            raise
        return {"fits": False, "memory_bytes": int(float(needed[1]) * UNITS[needed[2]])}
    memory = program.memory_analysis()
    results = memory.output_size_in_bytes - memory.alias_size_in_bytes
    parts = {
        "arguments_bytes": memory.argument_size_in_bytes,
        "activations_bytes": memory.temp_size_in_bytes + results,
        "code_bytes": memory.generated_code_size_in_bytes,
    }
    costs = operations(program.as_text())
    return {
        "fits": True,
        "memory_bytes": sum(parts.values()),
        **parts,
        "flops": int(program.cost_analysis()["flops"]),
        "estimated_cycles": sum(cycles for _, cycles in costs),
        "costliest": by_layer(costs, train)[:COSTLIEST],
    }


class Program:
    """A train step or forward pass, ready to be compiled for any batch.

    Args:
        job: What to compile: `name` and `options`, or `config` and `classes`, of a model; `tpu`,
            `train`, `precision` and `optimizer`.
        tell: Called with a short text at each step.
    """

    def __init__(self, job, tell):
        self.slice = SLICES[job["tpu"]]
        self.train = job["train"]
        self.tell = tell
        self.model = _model(job)
        self.inputs = _inputs(self.model)
        self.outputs = self.model.compute_output_spec(self.inputs)
        if self.train:
            loss = keras.losses.CategoricalCrossentropy(from_logits=True)
            losses = keras.tree.map_structure(lambda _: loss, self.outputs)
            self.model.compile(_optimizer(job["optimizer"]), losses)
            with keras.StatelessScope(initialize_variables=False):
                self.model.optimizer.build(self.model.trainable_variables)
        self.whole, self.divided = shardings(self.slice)

    def compiled(self, batch):
        """Compiles it for a batch over all cores; returns the compiler's figures as a dict."""
        self.tell(f"compiling for {self.slice.name}, {batch:,} images")
        found = {"batch": batch, "precision": self.model.dtype_policy.name}
        return found | measured(self.lowered(batch), self.train)

    def lowered(self, batch):
        """The JAX program for a batch, before it is compiled."""
        model = self.model

        def of_batch(tensor, dtype=None):
            shape = (batch, *tensor.shape[1:])
            return jax.ShapeDtypeStruct(shape, dtype or tensor.dtype, sharding=self.divided)

        x = keras.tree.map_structure(of_batch, self.inputs)
        trainable, others = map(
            self._state, (model.trainable_variables, model.non_trainable_variables)
        )
        if not self.train:
            # A `call` of one's own need not take it.
            mode = {"training": False} if "training" in signature(model.call).parameters else {}

            def predict(trainable, others, x):
                return model.stateless_call(trainable, others, x, **mode)[0]

            return jax.jit(predict).lower(trainable, others, x)

        def step(state, x, y):
            return model.train_step(state, (x, y))

        y = keras.tree.map_structure(partial(of_batch, dtype="float32"), self.outputs)
        optimizer = self._state(model.optimizer.variables)
        metrics = self._state(model.metrics_variables)
        state = (trainable, others, optimizer, metrics)
        return jax.jit(step, donate_argnums=0).lower(state, x, y)

    def _state(self, variables):
        return [jax.ShapeDtypeStruct(v.shape, v.dtype, sharding=self.whole) for v in variables]


def _model(job):
    """The model, without values of its weights, which are not needed."""
    if "config" in job:
        classes = {
            name: getattr(import_module(module), kind)
            for name, (module, kind) in job["classes"].items()
        }
        build = partial(keras.models.model_from_json, job["config"], custom_objects=classes)
    else:
        keras.config.set_dtype_policy(job["precision"])
        options = {"classifier_activation": None} if job["train"] else {}
        build = partial(create_model, job["name"], **options | job["options"])
    try:
        with keras.StatelessScope(initialize_variables=False):
            return build()
    except ValueError:  # some layers need values; any other error is raised again
        return build()


def _inputs(model):
    """The model's inputs, as Keras tensors with a batch of one."""
    try:
        taken = model.input
    except AttributeError:  # a subclassed model, of which Keras stores only the shape
        shape = (model.get_build_config() or {}).get("input_shape")
        if shape is None:
            raise ValueError(
                f"preflight needs a built model, to know its input shape; '{model.name}' was never "
                "built. Call it once, or make it a functional model."
            ) from None
        taken = keras.KerasTensor(shape)
    for tensor in keras.tree.flatten(taken):
        if None in tensor.shape[1:]:
            raise ValueError(
                f"preflight needs fixed shapes, because the TPU compiler does; "
                f"'{model.name}' takes {list(tensor.shape)}. Only the batch may be None: build it "
                "for one size, with input_shape or keras.Input."
            )
    return keras.tree.map_structure(
        lambda tensor: keras.KerasTensor((1, *tensor.shape[1:]), tensor.dtype), taken
    )


def _optimizer(wanted):
    try:
        return keras.optimizers.get(wanted)
    except (ValueError, TypeError, KeyError):  # OptimizerMap and LossScaleOptimizer hold others
        known = sorted(
            name.lower()
            for name, value in vars(keras.optimizers).items()
            if isinstance(value, type) and not name.endswith(("Optimizer", "Map"))
        )
        raise ValueError(f"Keras has no optimizer {wanted!r}. It has {', '.join(known)}.") from None


if __name__ == "__main__":
    main()
