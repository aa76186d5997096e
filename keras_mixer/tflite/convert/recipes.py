"""Quantization recipes: how a `.tflite` file stores and computes its numbers, one row each."""

from dataclasses import dataclass

from keras_mixer._text import did_you_mean


@dataclass(frozen=True)
class QuantizationRecipe:
    """How a `.tflite` file stores its weights and computes.

    The name gives the weight type, or with `x8` the types of activations and weights where both are
    integers that differ. A prefix says which ops compute in integers. `dynamic_`: dense layers and
    convolutions, which find the range of their input as they run. `static_`: the same ops, with
    ranges from calibration images. No prefix: every op.

    Attributes:
        name: The name under which `convert` knows it.
        weights: The type in which kernels are stored.
        activations: The type in which activations are stored; `"float32"` where the file has no
            ranges for them.
        every_op: Whether norms, GELUs and residuals compute in integers as well.
        hardware: The hardware that it is for.
        summary: What it does, in a line.
    """

    name: str
    weights: str
    activations: str
    every_op: bool
    hardware: str
    summary: str

    @property
    def calibrated(self):
        """Whether it needs calibration images, from which the ranges of activations are read."""
        return self.activations != "float32"

    @property
    def arithmetic(self):
        """What it computes in: `"integer"`, `"float16"` where a CPU has it, or `"float32"`.

        Integer matrix multiplications between float ops count as `"float32"`.
        """
        if self.every_op:
            return "integer"
        return "float16" if self.weights == "float16" else "float32"


# fmt: off
_TABLE = (
    #  name            weights    activations  every op
    ("float32",      "float32", "float32", False, "anything, to compare with",
     "the Keras model's own arithmetic"),
    ("float16",      "float16", "float32", False, "GPUs, ARM CPUs",
     "half the size; GPUs compute in float16, ARM CPUs too unless it is turned off"),
    ("dynamic_int8", "int8",    "float32", False, "CPUs",
     "int8 matrix multiplications; activations are quantised row by row at run time"),
    ("static_int8",  "int8",    "int8",    False, "CPUs",
     "int8 matrix multiplications with calibrated ranges; norms, GELUs and residuals in float32"),
    ("int8",         "int8",    "int8",    True,  "NPUs, microcontrollers",
     "every op in int8"),
    ("int16x8",      "int8",    "int16",   True,  "NPUs that have int16",
     "every op in int16, with int8 weights; CPUs run it slowly"),
    ("dynamic_int4", "int4",    "float32", False, "CPUs short of memory",
     "int4 weights of dense layers; matrix multiplications as in dynamic_int8"),
)
# fmt: on

RECIPES = {row[0]: QuantizationRecipe(*row) for row in _TABLE}


def find(name):
    """The recipe called `name`, or a ValueError that says which there are."""
    if name not in RECIPES:
        hint = f"{did_you_mean(name, RECIPES)} Recipes: {', '.join(RECIPES)}.".lstrip()
        raise ValueError(f"There is no recipe {name!r}. {hint}")
    return RECIPES[name]
