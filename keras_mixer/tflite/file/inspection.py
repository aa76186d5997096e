"""The result of `inspect`, and its text of 80 columns."""

from collections import Counter
from dataclasses import asdict, dataclass
from textwrap import wrap
from typing import Any

from keras_mixer._text import listed, printable
from keras_mixer.tflite.file.metadata import Metadata
from keras_mixer.tflite.file.runtimes import Runtimes

WIDTH = 80  # columns
CUT = "..."


@dataclass(frozen=True)
class Tensor:
    """An input or output tensor.

    Attributes:
        name: Its name in the file.
        dtype: Its type, such as `"float32"`.
        shape: Its shape; -1 for a dynamic size.
        scale, zero_point: Quantisation parameters, `value = (stored - zero_point) * scale`; `None`
            if the tensor is not quantised.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    scale: float | None
    zero_point: int | None


@dataclass(frozen=True)
class Op:
    """A kind of op.

    Attributes:
        name: LiteRT's name, such as `"FULLY_CONNECTED"`, or that of a custom op.
        dtype: Type of its input.
        weights: Type of its stored weights, if it is not `dtype`.
        count: Number of these ops.
        outside: Number of them that LiteRT runs instead of XNNPACK; `None` if unknown.
    """

    name: str
    dtype: str
    weights: str | None
    count: int
    outside: int | None


@dataclass(frozen=True)
class Weights:
    """Constants of the same type and quantisation.

    Attributes:
        dtype: Type of the stored numbers.
        quantised: `"per tensor"`, `"per channel"`, `"in blocks of 32"`, or `None`.
        tensors: Number of tensors.
        bytes: Their total size.
    """

    dtype: str
    quantised: str | None
    tensors: int
    bytes: int


FLOAT16 = "ARM CPUs that have float16 arithmetic compute it in float16, others in float32."


@dataclass(frozen=True)
class Inspection:
    """The result of `inspect`. `str()` shows it in 80 columns.

    Attributes:
        bytes: Size of the file.
        inputs, outputs: `Tensor`s of the main subgraph.
        subgraphs: Number of subgraphs; more than one if there are conditions or loops.
        ops: `Op`s of all subgraphs, the most frequent first.
        partitions: Number of ops in each XNNPACK partition of the main subgraph; `None` if LiteRT
            does not run the file on this machine or does not list partitions.
        problem: LiteRT's message if it does not run the file on this machine; otherwise `None`.
        weights: `Weights`, the largest first.
        metadata: A `Metadata`, or `None`.
        files: Names of the files in its ZIP, such as `labels.txt`.
        runtimes: The `Runtimes` that it needs, as far as its ops tell, and what older ones compute
            wrongly.
        float16: Whether CPUs that have float16 arithmetic compute its float ops in it.
    """

    bytes: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    subgraphs: int
    ops: tuple[Op, ...]
    partitions: tuple[int, ...] | None
    problem: str | None
    weights: tuple[Weights, ...]
    metadata: Metadata | None
    files: tuple[str, ...]
    runtimes: Runtimes
    float16: bool

    @property
    def counts(self):
        """Op name -> number of these ops."""
        counts = Counter()
        for op in self.ops:
            counts[op.name] += op.count
        return counts

    @property
    def outside(self):
        """Op name -> number of ops that LiteRT runs instead of XNNPACK; empty if unknown."""
        counts = Counter()
        for op in self.ops:
            counts[op.name] += op.outside or 0
        return +counts

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"outside": dict(self.outside)}

    def __str__(self):
        tensors = [
            *(("input", tensor) for tensor in self.inputs),
            *(("output", tensor) for tensor in self.outputs),
        ]
        ops = [
            (op.name, op.dtype, op.weights or "", f"{op.count}", f"{op.outside or ''}")
            for op in self.ops
        ]
        weights = [
            (w.dtype, w.quantised or "", f"{w.tensors}", f"{w.bytes:,}") for w in self.weights
        ]
        sections = [
            [_size(self.bytes) + self._in_subgraphs()],
            _columns([_cells(role, tensor) for role, tensor in tensors], "<<<<<", cut=1),
            self._about(),
            _wrapped(self._xnnpack()),
            _wrapped(FLOAT16 if self.float16 else ""),
            _wrapped(str(self.runtimes)),
            _columns([("op", "input", "weights", "number", "outside"), *ops], "<<<>>"),
            _columns([("constants", "quantised", "number", "bytes"), *weights], "<<>>"),
        ]
        return "\n\n".join("\n".join(lines) for lines in sections if lines)

    def _in_subgraphs(self):
        return f", {self.subgraphs} subgraphs" if self.subgraphs > 1 else ""

    def _about(self):
        if self.metadata is None:
            return ["no metadata"]
        rows = [
            (key, f"{value}")
            for key, value in asdict(self.metadata).items()
            if value and key not in ("labels", "input_range")
        ]
        if self.metadata.input_range:
            black, white = self.metadata.input_range
            rows.append(("black, white", f"{_number(black)}, {_number(white)}"))
        if self.metadata.labels:
            some = ", ".join(self.metadata.labels[:5])
            more = ", ..." if len(self.metadata.labels) > 5 else ""
            rows.append(("labels", f"{len(self.metadata.labels):,}: {some}{more}"))
        if self.files:
            rows.append(("files", ", ".join(self.files)))
        return _columns(rows, "<<", cut=1) or ["metadata without content"]

    def _xnnpack(self):
        if self.problem:
            return f"LiteRT does not run the file on this machine: {self.problem}"
        if self.partitions is None:
            return "This version of LiteRT does not list the ops that XNNPACK runs."
        count, inside, outside = len(self.partitions), sum(self.partitions), self.outside
        total = inside + sum(outside.values())
        if not count:
            return f"XNNPACK runs none of the {total} ops."
        partitions = "1 partition" if count == 1 else f"{count} partitions"
        if not outside:
            return f"XNNPACK runs all {total} ops in {partitions}."
        others = listed(f"{n} {name}" for name, n in outside.most_common())
        return f"XNNPACK runs {inside} of {total} ops in {partitions}. LiteRT runs {others}."


def _size(count):
    """A number of bytes, in MB or KB."""
    return f"{count / 1e6:.2f} MB" if count >= 1e6 else f"{count / 1e3:.1f} KB"


def _cells(role, tensor):
    shape = ", ".join("?" if n < 0 else str(n) for n in tensor.shape)
    quantised = (
        ""
        if tensor.scale is None
        else f"(zero point {tensor.zero_point}, scale {tensor.scale:.4g})"
    )
    return role, tensor.name, tensor.dtype, f"[{shape}]", quantised


def _number(value):
    return ", ".join(f"{n:g}" for n in value) if isinstance(value, tuple) else f"{value:g}"


def _columns(rows, sides, cut=0):
    """Lines of columns, aligned left (`<`) or right (`>`), in 80 characters, for which one is cut.

    Args:
        rows: Sequences of cells.
        sides: A character for each column.
        cut: The number of the column whose cells are cut if need be.
    """
    if not rows:
        return []
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    beyond = sum(widths) + 2 * (len(widths) - 1) - WIDTH
    if beyond > 0:
        widths[cut] = max(widths[cut] - beyond, len(CUT))
    lines = []
    for row in rows:
        cells = zip(map(_cut, row, widths), widths, sides, strict=True)
        lines.append("  ".join(f"{cell:{side}{width}}" for cell, width, side in cells).rstrip())
    return lines


def _cut(text, width):
    return text if len(text) <= width else text[: width - len(CUT)] + CUT


def _wrapped(text):
    return wrap(printable(text), WIDTH, break_on_hyphens=False)
