"""Compiles a model for a TPU, without one: memory, estimated time, costliest operations."""

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from textwrap import wrap
from typing import Any
from zipfile import BadZipFile, ZipFile

from keras_mixer._extras import install
from keras_mixer._text import listed
from keras_mixer.tpu.slices import GIB, find_slice

# Without these libtpu looks for a TPU, asks the machine's metadata server, refuses to be loaded
# twice on a machine, and writes logs.
ENVIRONMENT = {
    "KERAS_BACKEND": "jax",
    "JAX_PLATFORMS": "cpu",
    "JAX_ENABLE_COMPILATION_CACHE": "false",  # cached programs have no cost estimates
    "TPU_LOAD_LIBRARY": "1",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "true",
    "TPU_LOG_DIR": "disabled",
}
CALIBRATION = (
    "The compiler's own estimate of the time on one core, without communication between cores. "
    "For the forward passes of six official Mixers on v3 it is 1.20 to 1.30 times the images/s "
    "that the Mixer paper measured, for H/14 0.51 times."
)


@dataclass(frozen=True)
class Operation:
    """Operations of one kind, in layers whose names differ only in numbers.

    Attributes:
        layer: Path of the layer, with a `*` for the numbers: `"block_*/channel_mlp/expand"`. If XLA
            has fused several operations, it is the path of the last one.
        phase: `"forward"`, `"backward"`, `"recomputed"` or `"update"`.
        operation: JAX's name of the operation, such as `"dot_general"`.
        times: Number of these operations.
        cycles: Cycles of all of them.
        share: Their share of the program's cycles.
    """

    layer: str
    phase: str
    operation: str
    times: int
    cycles: int
    share: float


@dataclass(frozen=True)
class Preflight:
    """What `preflight` found. Bytes, operations and cycles are per core.

    Attributes:
        model: The model's name.
        tpu: The slice's name.
        cores: Number of cores; each computes an equal part of the batch.
        batch: Images per step, over all cores.
        step: `"train"` or `"predict"`.
        optimizer: The optimizer's name; `None` without training.
        precision: The dtype policy's name.
        fits: Whether the program fits the memory of a core. If not, the following attributes are
            `None`, except `memory_bytes` and `available_bytes`.
        memory_bytes: Memory that the program needs.
        available_bytes: Memory of a core that a program can use.
        arguments_bytes: Memory of the weights, the optimizer's state and the images.
        activations_bytes: Memory of activations and other intermediate results.
        code_bytes: Memory of the program itself.
        flops: Floating-point operations of a step, as XLA counts them.
        estimated_cycles: The compiler's estimate for a step.
        estimated_seconds: The same in seconds, at the chip's clock rate.
        images_per_second: Images per second of all cores together.
        images_per_second_per_core: Images per second of one core.
        share_of_peak: `flops` per estimated second, relative to the chip's published peak
            throughput in bfloat16.
        calibration: How the estimate compares with measured speeds.
        costliest: The ten costliest kinds of `Operation`.
    """

    model: str
    tpu: str
    cores: int
    batch: int
    step: str
    optimizer: str | None
    precision: str
    fits: bool
    memory_bytes: int
    available_bytes: int
    arguments_bytes: int | None = None
    activations_bytes: int | None = None
    code_bytes: int | None = None
    flops: int | None = None
    estimated_cycles: int | None = None
    estimated_seconds: float | None = None
    images_per_second: float | None = None
    images_per_second_per_core: float | None = None
    share_of_peak: float | None = None
    calibration: str = CALIBRATION
    costliest: tuple[Operation, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self):
        what = f"a train step with {self.optimizer}" if self.optimizer else "a forward pass"
        cores = f"{self.cores} cores, " if self.cores > 1 else ""
        lines = [
            f"{self.model} on {self.tpu}: {what} in {self.precision}, {cores}"
            f"{self.batch // self.cores:,} images a core"
        ]
        needed, available = self.memory_bytes / GIB, self.available_bytes / GIB
        memory = f"{needed:.2f} of {available:.2f} GiB of memory a core"
        if not self.fits:
            more = f"{needed - available:.2f} GiB too much"
            return "\n".join([*lines, f"does not fit: {memory}, {more}"])
        indent = " " * 10
        lines += [
            f"fits: {memory}: {self.arguments_bytes / GIB:.2f} arguments, "
            f"{self.activations_bytes / GIB:.2f} activations, {self.code_bytes / GIB:.2f} code",
            f"estimate: {self.estimated_cycles / 1e6:,.2f} million cycles or "
            f"{self.estimated_seconds * 1e3:,.2f} ms for {self.flops / 1e12:,.3f} TFLOP, "
            f"{self.share_of_peak:.0%} of the chip's peak",
            f"{indent}{self.images_per_second_per_core:,.0f} images/s a core, "
            f"{self.images_per_second:,.0f} in all",
            *wrap(self.calibration, 100, initial_indent=indent, subsequent_indent=indent),
            "costliest operations:",
            f"  {'layer':32} {'phase':10} {'operation':22} times  share",
        ]
        lines += [
            f"  {o.layer or '-':32} {o.phase:10} {o.operation:22} {o.times:5}  {o.share:5.1%}"
            for o in self.costliest
        ]
        return "\n".join(lines)


def preflight(
    model: Any,
    tpu: str,
    batch: int | None = None,
    *,
    train: bool = True,
    optimizer: Any = "adamw",
    precision: str | None = None,
    image_size: int | None = None,
    options: dict[str, Any] | None = None,
    progress: Callable[[str], Any] | None = None,
) -> Preflight:
    """Compiles a model for a TPU that this machine need not have.

    It compiles the program that `model.fit` would run: Keras's own train step with a cross-entropy
    over the last axis of each output, or the forward pass, with the batch divided over all cores.
    Keras on JAX and the TPU compiler run in a separate process; no network is used. It takes
    seconds for a small model and some minutes for a very large one.

    Args:
        model: A Keras model, of this package or any other; a `.keras` file; or the name of a
            builder, such as `"MixerB16"`.
        tpu: The slice, one of `keras_mixer.tpu.SLICES`: `"v5e-1"`.
        batch: Images per step, over all cores, a multiple of their number; `None` for the largest
            batch that fits, to the nearest 8 images per core.
        train: Whether to compile a train step, or the forward pass.
        optimizer: For training: a Keras optimizer or its name.
        precision: For a model by name: its dtype policy, by default `"mixed_bfloat16"`. Any other
            model has one already.
        image_size: For a model by name: side of its images in pixels.
        options: For a model by name: further arguments of its builder, as a dict.
        progress: A function that is called with a short text at each step.

    Returns:
        A `Preflight`.

    Raises:
        ValueError: The TPU is unknown, or the model, optimizer or batch cannot be compiled.
        ImportError: The packages of the extra `[preflight]` are not installed.
        RuntimeError: The compiler failed; its message is passed on.
    """
    target = find_slice(tpu)
    if batch is not None and (batch < 1 or batch % target.cores):
        raise ValueError(
            f"{target.name} has {target.cores} cores, which divide the batch among them, so it "
            f"must be a multiple of {target.cores}; got {batch}."
        )
    _check_installed()
    name, described = _described(model, precision, image_size, options or {})
    if not isinstance(optimizer, str):
        import keras

        optimizer = keras.optimizers.serialize(optimizer)
    job = {"tpu": target.name, "batch": batch, "train": train, "optimizer": optimizer, **described}
    found = _in_a_process(job, progress or (lambda doing: None))
    if isinstance(optimizer, dict):
        optimizer = optimizer["class_name"].lower()
    return _report(found, name, target, optimizer if train else None)


def _report(found, name, target, optimizer):
    chip, known = target.chip, {}
    if found["fits"]:
        cycles = found["estimated_cycles"]
        seconds = cycles / chip.clock
        speed = found["batch"] / target.cores / seconds
        known = {
            "estimated_seconds": seconds,
            "images_per_second": speed * target.cores,
            "images_per_second_per_core": speed,
            "share_of_peak": found["flops"] / (seconds * chip.peak),
            "costliest": tuple(
                Operation(**kind, share=kind["cycles"] / cycles) for kind in found.pop("costliest")
            ),
        }
    return Preflight(
        model=name,
        tpu=target.name,
        cores=target.cores,
        step="train" if optimizer else "predict",
        optimizer=optimizer,
        available_bytes=chip.memory,
        **found,
        **known,
    )


def _check_installed():
    missing = [package for package in ("jax", "libtpu") if find_spec(package) is None]
    if not missing:
        return
    if not sys.platform.startswith("linux") or platform.machine() != "x86_64":
        raise ImportError(
            "preflight needs libtpu, the TPU compiler, which exists for Linux on x86-64 only; "
            f"this is {platform.system()} on {platform.machine()}. A notebook on Colab has it."
        )
    raise ImportError(f"preflight needs {listed(missing)}: {install('preflight')}")


def _described(model, precision, image_size, options):
    """A model's name, and its description for the other process."""
    if isinstance(model, str | os.PathLike) and Path(model).suffix != ".keras":
        if image_size is not None:
            options = {"input_shape": (image_size, image_size, 3), **options}
        precision = precision or "mixed_bfloat16"
        return str(model), {"name": str(model), "options": options, "precision": precision}
    if precision or image_size or options:
        raise ValueError(
            "preflight takes precision, image_size and options with a model's name; any other "
            f"model is compiled as it is. Got {model!r}."
        )
    if isinstance(model, str | os.PathLike):
        return Path(model).stem, {"config": _config_in(Path(model)), "classes": {}}
    if not hasattr(model, "to_json"):
        raise ValueError(
            "preflight compiles a Keras model, a .keras file or a model by name; got "
            f"{type(model).__name__}."
        )
    config = model.to_json()
    return model.name, {"config": config, "classes": _classes(config)}


def _config_in(file):
    try:
        with ZipFile(file) as content:
            return content.read("config.json").decode()
    except (BadZipFile, KeyError):
        raise ValueError(f"{file} is not a Keras model.") from None


def _classes(config):
    """The custom classes in a model's config: registered name -> module and class."""
    found, here = {}, set()

    def collect(node):
        module, name = node.get("module"), node.get("registered_name")
        if name and module is None:  # which is how Keras writes __main__
            here.add(node["class_name"])
        elif name and module != "builtins":
            found[name] = module, node["class_name"]
        return node

    json.loads(config, object_hook=collect)
    if here:
        raise ValueError(
            "preflight compiles in a process of its own, which cannot import "
            f"{listed(sorted(here))} from a notebook or a script; move the code to a module, a "
            "file that both can import."
        )
    return found


def _in_a_process(job, progress):
    # The process can import what this one can, from any working directory.
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    with (
        tempfile.TemporaryFile() as chatter,
        subprocess.Popen(
            [sys.executable, "-m", "keras_mixer.tpu.compile"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=chatter,
            env=os.environ | ENVIRONMENT | {"PYTHONPATH": path},
            text=True,
            encoding="utf-8",
        ) as process,
    ):
        try:
            with process.stdin as jobs:
                json.dump(job, jobs)
            for line in process.stdout:
                ((kind, value),) = json.loads(line).items()
                if kind == "result":
                    return value
                if kind == "error":
                    raise ValueError(value)
                progress(value)
            process.wait()  # until its error message is complete
        finally:
            process.kill()  # after the result, or if this function is interrupted
        chatter.seek(0)
        said = chatter.read().decode(errors="replace").strip()
    raise RuntimeError(f"The TPU's compiler failed:\n{said[-3000:]}")
