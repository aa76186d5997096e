"""Times a `.tflite` file, and this machine's peak throughput beside it."""

import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from time import perf_counter

import keras
import numpy as np

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
BURST = 5  # runs of one file before it is the next one's turn, because each turn empties caches


@dataclass(frozen=True)
class Timing:
    """What `benchmark` found.

    Attributes:
        ms: Median wall-clock time of one run, in milliseconds.
        quartiles: First and third quartile of those times, in milliseconds.
        runs: How many were counted.
        threads: CPU threads.
        bytes: Size of the file.
        peak_memory: What loading and running it adds to a process that has only LiteRT, in bytes;
            `None` where the system does not say.
        partitions: How many parts of the graph XNNPACK runs; fewer mean less copying between.
        ops: How many ops there are.
        outside: The ops that LiteRT's own kernels run and XNNPACK does not: kind -> count.
        products: Multiplications and additions of its dense layers and convolutions, in units of
            10^9, by the type in which they are computed.
        roof: This machine's peak throughput for each type: multiplications and additions in large
            matrix multiplications in LiteRT, 10^9 a second.
        share: The time that `products` would take at peak throughput, over `ms`; at most about 1.
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
    products: dict[str, float]
    roof: dict[str, float]
    share: float

    def as_dict(self):
        return asdict(self)

    def __str__(self):
        low, high = self.quartiles
        memory = "not known" if self.peak_memory is None else f"{self.peak_memory / 1e6:.1f} MB"
        outside = ", ".join(f"{n} {kind}" for kind, n in self.outside.items()) or "none"
        roof = ", ".join(
            f"{self.products[kind]:.2f} G {kind} at {rate:,.0f} G/s"
            for kind, rate in self.roof.items()
        )
        return "\n".join(
            [
                f"{self.ms:.2f} ms an image, quartiles {low:.2f} to {high:.2f}, {self.runs} runs, "
                f"{self.threads} threads",
                f"{self.share:.0%} of this machine's roof: {roof}",
                f"{self.partitions} XNNPACK partitions of {self.ops} ops; outside: {outside}",
                f"{self.bytes / 1e6:.2f} MB; peak memory {memory}",
            ]
        )


def benchmark(tflite, *, threads=None, runs=50):
    """Times a `.tflite` classifier on this machine's CPU, beside the machine's peak throughput.

    Peak throughput is that of LiteRT in large square matrix multiplications of the same type. Its
    runs and the file's are interleaved, so that a change of the machine's speed affects both.

    Args:
        tflite: Path of the file, or its content as bytes.
        threads: CPU threads; by default one a core, four at most.
        runs: How many runs to count, rounded up to a multiple of 5.

    Returns:
        A `Timing`.

    Raises:
        FileNotFoundError, ValueError: A missing, damaged or foreign file, or `runs` below 1.
        RuntimeError: Keras runs on another backend than TensorFlow, which makes the file of matrix
            multiplications.
    """
    if runs < 1:
        raise ValueError(f"benchmark needs runs to be 1 or more; got {runs}.")
    check_backend("benchmark")

    threads = threads or default_threads()
    runner = Runner(tflite, threads)
    products = _products(runner.content)
    interpreters = {kind: open_interpreter(matmul_file(kind), threads) for kind in products}
    interpreters["file"] = runner.interpreter
    times = {name: [] for name in interpreters}
    for burst in range(-1, -(-runs // BURST)):  # the first, not counted, warms up
        for name, interpreter in interpreters.items():
            seconds = [_seconds(interpreter.invoke) for _ in range(BURST)]
            times[name] += seconds if burst >= 0 else []
    median = {name: float(np.median(seconds)) for name, seconds in times.items()}
    rates = {kind: 2 * CHAIN * SIDE**3 / 1e9 / median[kind] for kind in products}
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
        products=products,
        roof=rates,
        share=sum(work / rates[kind] for kind, work in products.items()) / median["file"],
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
    return quantise(content, recipe, found, integer_ends=recipe.every_op)


def _products(content):
    """10^9 multiplications and additions of a file, by the recipe that computes in that type."""
    found = Counter()
    for kind, made, inputs in ops_of(content):
        if kind in MATMULS:
            given, weights, *_ = inputs
            # [out, in], or [out, height, width, in]; one multiplication and one addition for each.
            each = 1 if kind == "DEPTHWISE_CONV_2D" else weights["shape"][-1]
            each *= np.prod(weights["shape"][1:-1], dtype=int)
            found[_type(given, weights)] += 2e-9 * float(np.prod(made["shape"]) * each)
    return dict(found)


def _type(given, weights):
    if given["dtype"] in (np.int8, np.int16):
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
