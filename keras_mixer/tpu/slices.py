"""TPU slices, as data: their names, the topology of their chips, the peak of a core."""

from dataclasses import dataclass

from keras_mixer._text import did_you_mean

GIB = 2**30


@dataclass(frozen=True)
class Chip:
    """A generation of TPUs.

    A core is one device of a framework. On v4 and v5p it is the whole chip, whose two halves work
    together.

    Attributes:
        name: Such as `"v5e"`.
        cores: Cores of a chip.
        teraflops: Google's published peak of a chip in bfloat16.
        products: Multiplications per cycle of a core's matrix units.
        memory: Bytes of a core's memory that a program can use: a little less than all of it, by
            the compiler's messages.
        config: The chip's configuration for the compiler.
    """

    name: str
    cores: int
    teraflops: float
    products: int
    memory: int
    config: str = "default"

    @property
    def peak(self):
        """Peak floating-point operations of a core per second."""
        return self.teraflops * 1e12 / self.cores

    @property
    def clock(self):
        """Clock rate in Hz at which the matrix units reach the published peak."""
        return self.peak / (2 * self.products)


@dataclass(frozen=True)
class Slice:
    """Chips that train one model together.

    Attributes:
        name: Such as `"v5e-8"`.
        chip: Its `Chip`.
        shape: Topology of its chips, such as `"2x4"`.
    """

    name: str
    chip: Chip
    shape: str

    @property
    def cores(self):
        """Number of cores; a batch is divided among them."""
        count = self.chip.cores
        for side in self.shape.split("x"):
            count *= int(side)
        return count

    @property
    def host(self):
        """Chips of one machine, in each direction."""
        sides = [min(int(side), 2) for side in self.shape.split("x")]
        return (*sides[:2], 1)


def find_slice(name: str) -> "Slice":
    """The slice of that name: `"v5e-8"`, or `"v5litepod-8"` as Google Cloud has it.

    Raises:
        ValueError: There is none.
    """
    known = str(name).lower().replace("v5litepod-", "v5e-")
    if known not in SLICES:
        hint = f"{did_you_mean(known, SLICES)} There are {', '.join(SLICES)}.".lstrip()
        raise ValueError(f"There is no TPU {name!r}. {hint}")
    return SLICES[known]


# Peaks: cloud.google.com/tpu/docs/{v2,v3,v4,v5e,v5p,v6e}. Matrix units: 128 x 128, of which a core
# has 1 (v2), 2 (v3), 4 (v5e), and 8 where two halves work as one (v4, v5p); v6e has 4 of 256 x 256.
# Memory: from the compiler's message when a program needs more.
# fmt: off
#                  cores TFLOP/s  products        memory
_CHIPS = [
    Chip("v2",         2,   45.9, 1 * 128**2, int( 7.48 * GIB)),
    Chip("v3",         2,  123.0, 2 * 128**2, int(15.48 * GIB)),
    Chip("v4",         1,  275.0, 8 * 128**2, int(30.75 * GIB), "megacore"),
    Chip("v5e",        1,  197.0, 4 * 128**2, int(15.75 * GIB)),
    Chip("v5p",        1,  459.0, 8 * 128**2, int(95.74 * GIB), "megacore"),
    Chip("v6e",        1,  918.0, 4 * 256**2, int(31.25 * GIB)),
]
# fmt: on
CHIPS = {chip.name: chip for chip in _CHIPS}

# Google counts v2 to v5p by halves of a chip, v5e and v6e by chips.
_SHAPES = {
    "v2": {8: "2x2", 32: "4x4", 128: "8x8", 256: "8x16", 512: "16x16"},
    "v3": {
        **{8: "2x2", 32: "4x4", 64: "4x8", 128: "8x8", 256: "8x16", 512: "16x16"},
        **{1024: "16x32", 2048: "32x32"},
    },
    "v4": {
        **{8: "2x2x1", 16: "2x2x2", 32: "2x2x4", 64: "2x4x4", 128: "4x4x4", 256: "4x4x8"},
        **{512: "4x8x8", 1024: "8x8x8"},
    },
    "v5e": {
        **{1: "1x1", 4: "2x2", 8: "2x4", 16: "4x4", 32: "4x8", 64: "8x8", 128: "8x16"},
        **{256: "16x16"},
    },
    "v5p": {8: "2x2x1", 16: "2x2x2", 32: "2x2x4", 64: "2x4x4", 128: "4x4x4"},
    "v6e": {
        **{1: "1x1", 4: "2x2", 8: "2x4", 16: "4x4", 32: "4x8", 64: "8x8", 128: "8x16"},
        **{256: "16x16"},
    },
}
SLICES = {
    f"{chip}-{count}": Slice(f"{chip}-{count}", CHIPS[chip], shape)
    for chip, shapes in _SHAPES.items()
    for count, shape in shapes.items()
}
