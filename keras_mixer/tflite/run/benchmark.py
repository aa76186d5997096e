"""Times a `.tflite` file, relative to this machine's peak throughput."""

import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from dataclasses import asdict, dataclass
from functools import cache
from numbers import Integral
from pathlib import Path
from time import perf_counter
from typing import Any

import keras
import numpy as np

from keras_mixer._types import Tflite
from keras_mixer.tflite.convert.calibration import ranges
from keras_mixer.tflite.convert.float_file import to_float
from keras_mixer.tflite.convert.model import check_backend
from keras_mixer.tflite.convert.quantise import MATMULS, quantise
from keras_mixer.tflite.convert.recipes import find
from keras_mixer.tflite.file.inspect import inspect
from keras_mixer.tflite.file.interpreter import default_threads, open_interpreter
from keras_mixer.tflite.file.ops import ops_of
from keras_mixer.tflite.run.runner import Runner

SIDE, CHAIN = 1024, 8  # peak throughput: eight matrix multiplications of 1024 x 1024 in sequence
BURST = 5  # consecutive runs of one file, because a change of files empties the caches


@dataclass(frozen=True)
class Timing:
    """The result of `benchmark`.

    Attributes:
        ms: Median wall-clock time of one run, in milliseconds.
        quartiles: First and third quartile of those times, in milliseconds.
        runs: Number of timed runs.
        threads: CPU threads.
        bytes: Size of the file.
        peak_memory: Memory in bytes that loading and running the file adds to a process that has
            only LiteRT; `None` where the system does not report it.
        partitions: Number of parts of the graph that XNNPACK runs; fewer parts need less copying.
        ops: Number of ops.
        outside: The ops that run in LiteRT's own kernels instead of XNNPACK: kind -> count.
        matmuls: Multiplications and additions of its dense layers and convolutions, in units of
            10^9, by the type in which they are computed.
        peak: This machine's peak throughput for each type: multiplications and additions in large
            matrix multiplications in LiteRT, in 10^9 per second.
        share: The time that `matmuls` would take at peak throughput, divided by `ms`; at most
            about 1.
    """

    ms: float
    quartiles: tuple[float, float]
    runs: int
    threads: int
    bytes: int
    peak_memory: int | None
    partitions: int
    ops: int
    outside: dict[str, int]
    matmuls: dict[str, float]
    peak: dict[str, float]
    share: float

    @property
    def products(self):
        """Deprecated name of `matmuls`."""
        return self._renamed("products", "matmuls")

    @property
    def roof(self):
        """Deprecated name of `peak`."""
        return self._renamed("roof", "peak")

    def _renamed(self, old, new):
        warnings.warn(
            f"Timing.{old} is deprecated; use Timing.{new}.", DeprecationWarning, stacklevel=3
        )
        return getattr(self, new)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self):
        low, high = self.quartiles
        memory = "not known" if self.peak_memory is None else f"{self.peak_memory / 1e6:.1f} MB"
        outside = ", ".join(f"{n} {kind}" for kind, n in self.outside.items()) or "none"
        peak = ", ".join(
            f"{self.matmuls[kind]:.2f} G {kind} at {rate:,.0f} G/s"
            for kind, rate in self.peak.items()
        )
        return "\n".join(
            [
                f"{self.ms:.2f} ms an image, quartiles {low:.2f} to {high:.2f}, {self.runs} runs, "
                f"{self.threads} threads",
                f"{self.share:.0%} of this machine's peak throughput: {peak}",
                f"{self.partitions} XNNPACK partitions of {self.ops} ops; outside: {outside}",
                f"{self.bytes / 1e6:.2f} MB; peak memory {memory}",
            ]
        )


def benchmark(tflite: Tflite, *, threads: int | None = None, runs: int = 50) -> Timing:
    """Times a `.tflite` classifier on this machine's CPU, relative to its peak throughput.

    Peak throughput is that of LiteRT in large square matrix multiplications of the same type. Its
    runs and the file's are interleaved, so that a change of the machine's speed affects both.

    Args:
        tflite: Path of the file, or its content as bytes.
        threads: CPU threads; by default one per core, at most four.
        runs: Number of timed runs, rounded up to a multiple of 5.

    Returns:
        A `Timing`.

    Raises:
        FileNotFoundError, ValueError: The file is missing, damaged or not a classifier, or `runs`
            is below 1.
        RuntimeError: Keras does not run on TensorFlow, which is needed to measure peak throughput.
    """
    if not isinstance(runs, Integral) or runs < 1:
        raise ValueError(f"benchmark needs runs to be 1 or more; got {runs!r}.")
    check_backend("benchmark")

    runner = Runner(tflite, threads)
    threads = threads or default_threads()
    runner(np.zeros(runner.shape, np.float32))  # a file that does not run is an error of one line
    matmuls = _matmuls(runner.content)
    interpreters = {kind: open_interpreter(matmul_file(kind), threads) for kind in matmuls}
    interpreters["file"] = runner.interpreter
    times = {name: [] for name in interpreters}
    for burst in range(-1, -(-runs // BURST)):  # the first is a warm-up and is not counted
        for name, interpreter in interpreters.items():
            seconds = [_seconds(interpreter.invoke) for _ in range(BURST)]
            times[name] += seconds if burst >= 0 else []
    median = {name: float(np.median(seconds)) for name, seconds in times.items()}
    rates = {kind: 2 * CHAIN * SIDE**3 / 1e9 / median[kind] for kind in matmuls}
    found = inspect(runner.content)
    return Timing(
        ms=median["file"] * 1e3,
        quartiles=tuple(float(q) * 1e3 for q in np.percentile(times["file"], (25, 75))),
        runs=len(times["file"]),
        threads=threads,
        bytes=len(runner.content),
        peak_memory=_peak_memory(runner.content, threads),
        partitions=len(found.partitions),
        ops=found.counts.total(),
        outside=dict(found.outside),
        matmuls=matmuls,
        peak=rates,
        share=sum(work / rates[kind] for kind, work in matmuls.items()) / median["file"],
    )


@cache
def matmul_file(kind):
    """A `.tflite` of `CHAIN` large matrix multiplications, for peak throughput.

    Args:
        kind: Name of a recipe.
    """
    layers = [keras.layers.Dense(SIDE, use_bias=False) for _ in range(CHAIN)]
    model = keras.Sequential([keras.Input((SIDE,)), *layers])
    content = to_float(model, (SIDE,), batch=SIDE)
    if kind == "float32":
        return content
    recipe = find(kind)
    example = np.random.default_rng(0).normal(size=(SIDE, SIDE)).astype(np.float32)
    found = ranges(content, [example]) if recipe.calibrated else None
    return quantise(content, recipe, found, integer_io=recipe.every_op)


def _matmuls(content):
    """10^9 multiplications and additions of a file, by type; a type is named by a recipe."""
    found = Counter()
    for kind, output, inputs in ops_of(content):
        if kind in MATMULS:
            x, weights, *_ = inputs
            # Weights are [out, in] or [out, height, width, in].
            per_output = 1 if kind == "DEPTHWISE_CONV_2D" else weights["shape"][-1]
            per_output *= np.prod(weights["shape"][1:-1], dtype=int)
            # One multiplication and one addition each.
            found[_type(x, weights)] += 2e-9 * float(np.prod(output["shape"]) * per_output)
    return dict(found)


def _type(x, weights):
    if x["dtype"] in (np.int8, np.int16):
        return "int8"  # LiteRT has no fast int16 matmul, so int16 is compared with int8 too
    return "float32" if weights["dtype"] in (np.float32, np.float16) else "dynamic_int8"


def _seconds(function):
    start = perf_counter()
    function()
    return perf_counter() - start


MEMORY = """
import sys
from ai_edge_litert.interpreter import Interpreter

def peak():
    with open("/proc/self/status") as file:
        [line] = [line for line in file if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024

before = peak()
interpreter = Interpreter(model_path=sys.argv[1], num_threads=int(sys.argv[2]))
interpreter.allocate_tensors()
interpreter.invoke()
print(peak() - before)
"""


def _peak_memory(content, threads):
    """Peak memory of a new process that runs a file once, in bytes; None except on Linux."""
    if not Path("/proc/self/status").exists():
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(content)
        command = [sys.executable, "-c", MEMORY, str(path), str(threads)]
        done = subprocess.run(command, capture_output=True, text=True)
    return int(done.stdout) if done.returncode == 0 else None
