"""Which runtimes a `.tflite` file needs, as far as its ops tell.

A runtime refuses a file with a version of an op that it does not have. `op_versions.csv` lists
which runtime has which; `python -m benchmarks.runtimes` measures it. That is not enough:
litert-quantizer writes version 1 of whatever it quantises, and older runtimes compute some of it
wrongly instead of refusing it. `FAULTS` lists those, found by running each op of MixerTi4's files
alone; `tests/tflite/test_runtimes.py` runs the files.
"""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from keras_mixer._text import listed
from keras_mixer.tflite.file.graphs import UNKNOWN, graphs_in

TABLE = Path(__file__).with_name("op_versions.csv")
# Older ones than these were not tried. LiteRT is what TensorFlow Lite is called since 2.17.
OLDEST = {"tensorflow": "2.9", "litert": "1.0"}
NAMES = {"tensorflow": "TensorFlow Lite", "litert": "LiteRT"}


@dataclass(frozen=True)
class Fault:
    """An op of certain types that older runtimes compute wrongly, or refuse whatever its version.

    Attributes:
        op: LiteRT's name of the op.
        input, weights: Types of its input and of its weights; `None` for any.
        per_channel: Whether only weights with a scale for each channel are meant.
        tensorflow, litert: The oldest version of each that computes it rightly.
        silent: Whether older ones answer wrongly instead of refusing the file.
        gate: An op and the version of it that keeps the file out of the runtimes that would answer
            wrongly; `None` if there is none without a price.
    """

    op: str
    input: str
    weights: str | None
    per_channel: bool
    tensorflow: str
    litert: str
    silent: bool
    gate: tuple[str, int] | None = None

    def __str__(self):
        channels = " per channel" if self.per_channel else ""
        weights = f" and {self.weights} weights{channels}" if self.weights else ""
        return f"{self.op} with {self.input} input{weights}"


FAULTS = (
    # A tensor with several scales has 0 as its only one for older kernels: what is left is the
    # bias. Version 12 stands for scales by channel, and is what TensorFlow's own converter writes.
    Fault(
        *("FULLY_CONNECTED", "float32", "int8", True, "2.16", "1.0", True),
        gate=("FULLY_CONNECTED", 12),
    ),
    # 2.13 gives NaN or crashes, older ones have no int4. 2.14 has it and no newer version of the
    # op than 2.13.
    Fault(
        *("FULLY_CONNECTED", "float32", "int4", True, "2.14", "1.0", True),
        gate=("FULLY_CONNECTED", 11),
    ),
    # No gate: 2.9 and 2.10 differ in no version of these ops, and a delegate for an NPU, such as
    # that for NNAPI, leaves ops of newer versions than it knows to the CPU.
    Fault("FULLY_CONNECTED", "int8", "int8", True, "2.10", "1.0", True),
    # Scales that the kernel has not set. No version of FULLY_CONNECTED tells LiteRT 1.0 from 2.0;
    # this one of TRANSPOSE, which every Mixer has, came with LiteRT 1.2.
    Fault(
        *("FULLY_CONNECTED", "int16", "int8", True, "2.19", "1.1.1", True),
        gate=("TRANSPOSE", 7),
    ),
    Fault("RSQRT", "int16", None, False, "2.15", "1.0", False),
)


@dataclass(frozen=True)
class Runtimes:
    """The oldest runtimes in which a file works, as far as its ops tell. `str()` says it.

    Attributes:
        tensorflow: The oldest version of TensorFlow Lite, such as `"2.17"`; `None` if the file
            needs LiteRT.
        litert: The oldest version of LiteRT; `None` if it has a version of an op that is newer than
            LiteRT 2.3.
        wrong: What older versions compute wrongly without an error, in words: one text an op.
    """

    tensorflow: str | None
    litert: str | None
    wrong: tuple[str, ...] = ()

    @property
    def names(self):
        """Both runtimes in a few words."""
        found = {key: getattr(self, key) for key in NAMES}
        return " or ".join(f"{NAMES[key]} {value}" for key, value in found.items() if value)

    def __str__(self):
        if not self.names:
            return "Needs a newer runtime than LiteRT 2.3."
        untried = self.tensorflow == OLDEST["tensorflow"]
        needs = f"Needs {self.names}{'; older ones were not tried' if untried else ''}."
        return " ".join([needs, *(f"{text}." for text in self.wrong)])


def runtimes_of(content):
    """The `Runtimes` that a file's content needs."""
    return needed_by(graphs_in(content))


def needed_by(graphs):
    """The `Runtimes` that the `Graph`s of a file need."""
    faults = faults_of(graphs)
    loads = {key: _latest(_versions(graphs, key), OLDEST[key]) for key in NAMES}
    for fault in faults:
        if not fault.silent:
            loads = {key: _latest([getattr(fault, key)], loads[key]) for key in NAMES}
    needs, wrong = dict(loads), []
    for fault in filter(lambda fault: fault.silent, faults):
        right = {key: getattr(fault, key) for key in NAMES}
        open_to = [
            f"{NAMES[key]} before {right[key]}"
            for key in NAMES
            if loads[key] and _number(loads[key]) < _number(right[key])
        ]
        if open_to:
            verb = "computes" if len(open_to) == 1 else "compute"
            wrong.append(f"{listed(open_to)} {verb} {fault} wrongly, without an error")
        needs = {key: _latest([right[key]], needs[key]) for key in NAMES}
    return Runtimes(**needs, wrong=tuple(wrong))


def faults_of(graphs):
    """The `FAULTS` whose ops are in the `Graph`s of a file."""
    return [
        fault
        for fault in FAULTS
        if any(
            name == fault.op and _meets(graph, inputs, fault)
            for graph in graphs
            for name, _, inputs in graph.ops
        )
    ]


def _meets(graph, inputs, fault):
    """Whether an op with these inputs has the types of a fault."""
    first, *others = inputs
    if graph.dtype(first) != fault.input or not fault.weights:
        return graph.dtype(first) == fault.input
    weights = others[0]
    by_channel = graph.quantised(weights) == "per channel"
    return graph.dtype(weights) == fault.weights and (by_channel or not fault.per_channel)


def _versions(graphs, key):
    """The versions of a runtime that brought the versions of ops in a file; None if none did."""
    table = _table()
    for name, version in {op[:2] for graph in graphs for op in graph.ops}:
        newer = table.get(name, {})
        if name == UNKNOWN.format(name[3:]) or version > max(newer, default=version):
            yield None
        elif version >= min(newer, default=version + 1):
            yield newer[min(of_op for of_op in newer if of_op >= version)][key]


@cache
def _table():
    """Op -> version -> runtime -> its oldest version that has it, None if none does."""
    table = {}
    with TABLE.open(newline="") as file:
        for row in csv.DictReader(file):
            versions = {key: row[key] or None for key in NAMES}
            table.setdefault(row["op"], {})[int(row["version"])] = versions
    return table


def _latest(versions, least):
    """The latest of some versions of a runtime; None, which none satisfies, if one of them is."""
    found = [least, *versions]
    return None if None in found else max(found, key=_number)


def _number(version):
    return tuple(map(int, version.split(".")))
