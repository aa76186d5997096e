"""Devices to train on: a TPU, GPUs or the CPU, of one machine or of several."""

import contextlib
import os
import warnings
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_mixer._accelerators import gpus, tpu_address, tpu_chips
from keras_mixer._backend import is_for_tpus, jit_compile
from keras_mixer._extras import install
from keras_mixer._keras import inner_layers
from keras_mixer._text import listed, say
from keras_mixer.layers import BatchNorm

KINDS = ("auto", "tpu", "gpu", "cpu")
PLAIN_TENSORFLOW = (
    "The installed TensorFlow has no TPU support. "
    "`pip uninstall -y tensorflow tensorflow-cpu`, then "
    f"{install('tpu')}, installs one that has. "
)
TOO_LATE = (
    "The CPU can be divided into {} only before the first computation of {}. Start Python again "
    "(in a notebook, its kernel) and call keras_mixer.training.strategy before anything else."
)


def strategy(
    kind: str = "auto",
    *,
    replicas: int | None = None,
    tpu: str | None = None,
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
) -> Any:
    """Finds the devices to train on, and prints them.

    Build and train models in its scope, `with strategy().scope(): ...`, as
    `keras_mixer.training.train` does.

    Several machines train together on the JAX backend: run the same command on each of them, with
    its own `process`. On Cloud TPU slices JAX finds the other machines by itself; leave out
    `coordinator`, `processes` and `process` there.
    TensorFlow's own MultiWorkerMirroredStrategy does not work with `fit` in Keras 3.15.

    Args:
        kind: `"tpu"`, `"gpu"`, `"cpu"`, or `"auto"` for the first of them that this machine has.
        replicas: With `"cpu"`: the number of devices to divide the CPU into. Each has a copy of
            the model and processes its share of every batch, as TPU cores and GPUs do. This is
            for tests: it is not faster than one device.
        tpu: Name or address of a TPU that is not in this machine (TensorFlow only).
        coordinator: `ADDRESS:PORT` of the first of several machines (JAX only).
        processes: Number of machines.
        process: Number of this machine, from 0.

    Returns:
        A `tf.distribute.Strategy`; on the JAX backend a `keras.distribution.DataParallel`.

    Raises:
        RuntimeError: There is no such device, or the installed packages cannot use it.
        ValueError: Arguments that exclude each other.
    """
    if kind not in KINDS:
        raise ValueError(f"strategy takes {', '.join(KINDS)}; got {kind!r}.")
    backend = keras.backend.backend()
    several = (coordinator, processes, process)
    if replicas is not None and (kind != "cpu" or replicas < 1):
        raise ValueError(
            "replicas divides a CPU into 1 or more devices, so it needs kind 'cpu'; "
            f"got replicas={replicas} with {kind!r}. A TPU's cores and GPUs are all used."
        )
    if any(part is not None for part in several) and None in several:
        raise ValueError(
            "Several machines need coordinator, processes and process; got "
            f"coordinator={coordinator!r}, processes={processes}, process={process}."
        )
    if backend == "jax":
        if tpu:
            raise ValueError("tpu= is for TensorFlow; JAX uses the TPU of this machine.")
        return _on_jax(kind, replicas, *several)
    if backend != "tensorflow":
        raise RuntimeError(f"Training needs Keras on TensorFlow or JAX; it runs on {backend}.")
    if coordinator:
        raise RuntimeError(
            "Several machines work together on Keras's JAX backend only: set KERAS_BACKEND=jax. "
            "TensorFlow's MultiWorkerMirroredStrategy does not work with fit in Keras 3.15."
        )
    return _on_tensorflow(kind, tpu or tpu_address(), replicas)


def replicas(strategy):
    """The number of devices, each of which holds a copy of the model."""
    if isinstance(strategy, keras.distribution.DataParallel):
        return strategy.device_mesh.devices.size
    return strategy.num_replicas_in_sync


def warn_of_batch_norms(model, replicas):
    """Says which batch norms of Keras keep other statistics on each replica.

    TensorFlow's replicas each have a part of the batch. A file gets what the first one keeps, and
    an evaluation on all of them uses all.
    """
    if replicas == 1 or keras.backend.backend() != "tensorflow":
        return
    names = [
        layer.name
        for layer in inner_layers(model)
        if isinstance(layer, keras.layers.BatchNormalization)
        and not isinstance(layer, BatchNorm)
        and not layer.synchronized
    ]
    if names:
        some = f"{listed(names[:3])}{' and more' if names[3:] else ''}"
        warnings.warn(
            f"train: batch norms of '{model.name}' ({some}) keep other statistics on each of "
            f"{replicas} replicas, of which the saved model gets the first one's. Build them with "
            "synchronized=True, or as keras_mixer.layers.BatchNorm.",
            stacklevel=3,
        )


def on_a_tpu(strategy):
    """Whether TensorFlow trains on a TPU. On JAX steps are dispatched asynchronously anyway."""
    return isinstance(strategy, tf.distribute.TPUStrategy)


def on_the_cpu(strategy):
    """Whether a model trains in the machine's own memory; False on a CPU beside a GPU."""
    if isinstance(strategy, keras.distribution.DataParallel):
        return "cpu" in str(strategy.device_mesh.devices.flat[0])
    return not (on_a_tpu(strategy) or tf.config.list_physical_devices("GPU"))


def mirrored(strategy):
    """Whether TensorFlow trains on several GPUs, or several parts of a CPU."""
    return isinstance(strategy, tf.distribute.MirroredStrategy)


def jit_compile_for_training(model):
    """The argument `jit_compile` of `compile` for a model that will be trained.

    By default Keras does not use XLA on a CPU. A small Mixer's step is faster with it there, too;
    see benchmarks/training_step.py.
    """
    chosen = jit_compile()
    if chosen != "auto" or keras.backend.backend() != "tensorflow":
        return chosen
    elsewhere = tf.distribute.has_strategy() or tf.config.list_physical_devices("GPU")
    able = all(layer.supports_jit for layer in [model, *inner_layers(model)])
    return True if able and not elsewhere else chosen


def process():
    """`(number of this process, number of processes)`."""
    if keras.backend.backend() != "jax":
        return 0, 1
    import jax

    return jax.process_index(), jax.process_count()


def batch_share():
    """This process's share of every batch, as `data.training_batches` takes it."""
    number, count = process()
    return {"process": number, "processes": count}


def largest(*numbers):
    """The maximum of each number over all processes. All of them must call this together."""
    if process()[1] == 1:
        return numbers
    from jax.experimental import multihost_utils

    return tuple(multihost_utils.process_allgather(np.array(numbers)).max(0).tolist())


def wait_for_all():
    """Returns when every process has called this: none may exit while another still needs it."""
    if process()[1] > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices("keras_mixer")


def _on_tensorflow(kind, address, replicas):
    if kind == "tpu" or (kind == "auto" and (address or tpu_chips())):
        if not address and not tpu_chips():
            raise RuntimeError(
                "A TPU was asked for, but there is none in this machine and neither tpu= nor the "
                "environment (TPU_NAME) names one. On Colab or Kaggle choose a TPU runtime first."
            )
        return _tpu(address)
    found = tf.config.list_physical_devices("GPU")
    if kind == "gpu" and not found:
        there = gpus()
        cure = (
            " `pip uninstall -y tensorflow-cpu` and then "
            f"{install('gpu')} installs TensorFlow for GPUs."
        )
        cure = cure if there else ""
        raise RuntimeError(
            f"A GPU was asked for. TensorFlow finds none; the machine has {len(there)}.{cure}"
        )
    if found and kind != "cpu":
        say(f"Running on {len(found)} GPU{'s' * (len(found) > 1)} with TensorFlow.")
        return tf.distribute.MirroredStrategy() if len(found) > 1 else tf.distribute.get_strategy()
    if (replicas or 1) > 1:
        return _on_parts_of_the_cpu(replicas)
    say("Running on the CPU with TensorFlow.")
    return tf.distribute.OneDeviceStrategy("/cpu:0") if found else tf.distribute.get_strategy()


def _on_parts_of_the_cpu(count):
    [cpu] = tf.config.list_physical_devices("CPU")
    if len(tf.config.get_logical_device_configuration(cpu) or [cpu]) != count:
        parts = [tf.config.LogicalDeviceConfiguration()] * count
        try:
            tf.config.set_logical_device_configuration(cpu, parts)
        except RuntimeError as error:
            raise RuntimeError(TOO_LATE.format(count, "TensorFlow")) from error
    say(f"Running on {count} parts of the CPU with TensorFlow.")
    return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(count)])


def _tpu(address):
    where = address or "local"
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=where)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        found = tf.distribute.TPUStrategy(resolver)
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise RuntimeError(
            f"The TPU {where!r} cannot be used: {reason}. "
            f"{'' if is_for_tpus() else PLAIN_TENSORFLOW}Or train on Keras's JAX backend: "
            "`pip install jax[tpu]` and KERAS_BACKEND=jax."
        ) from error
    cores = found.num_replicas_in_sync
    say(f"Running on {cores} TPU core{'s' * (cores > 1)} ({where}) with TensorFlow.")
    return found


def _on_jax(kind, replicas, coordinator, processes, process):
    import jax

    if replicas:
        try:
            jax.config.update("jax_num_cpu_devices", replicas)
        except RuntimeError as error:
            raise RuntimeError(TOO_LATE.format(replicas, "JAX")) from error
    if coordinator or _on_a_tpu_slice():
        with contextlib.suppress(AttributeError):  # how CPUs communicate, in tests
            jax.config.update("jax_cpu_collectives_implementation", "gloo")
        keras.distribution.initialize(coordinator, processes, process)
    platform = jax.default_backend()
    if kind not in ("auto", platform):
        there = tpu_chips() if kind == "tpu" else gpus() if kind == "gpu" else []
        extra = {"tpu": "jax[tpu]", "gpu": "jax[cuda12]", "cpu": "jax"}[kind]
        raise RuntimeError(
            f"A {kind.upper()} was asked for. JAX runs on the {platform.upper()}; the machine has "
            f"{len(there)}. `pip install {extra}` installs JAX for it, JAX_PLATFORMS={kind} "
            "chooses it."
        )
    found = keras.distribution.DataParallel(auto_shard_dataset=False)
    count = jax.device_count()
    hosts = f" on {jax.process_count()} machines" if jax.process_count() > 1 else ""
    say(f"Running on {count} {platform.upper()} device{'s' * (count > 1)}{hosts} with JAX.")
    return found


def _on_a_tpu_slice():
    """Whether the environment says that this is one of several machines of a TPU slice."""
    return "," in os.environ.get("TPU_WORKER_HOSTNAMES", "")
