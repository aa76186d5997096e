"""How a model's numbers are stored and computed in a `.tflite` file: one row a recipe."""

from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True)
class Recipe:
    """One way to store and compute.

    Its name says it: what weights are stored in, with `x8` what activations are multiplied by where
    the two differ; before that which ops compute in integers. `dynamic`: dense layers and
    convolutions, which find the range of their input as they run. `static`: those, with ranges read
    from example images beforehand. Neither: every op.

    Attributes:
        name: The name under which `convert` knows it.
        weights: The type that kernels are stored in.
        activations: The type that they are multiplied by, `"float32"` where the file knows no
            ranges.
        every_op: Whether norms, GELUs and residuals are in integers as well.
        hardware: What it is for.
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
        """Whether it wants example images, to read the ranges of activations from."""
        return self.activations != "float32"


# fmt: off
_TABLE = (
    #      name            weights    activations  every op
    Recipe("float32",      "float32", "float32", False, "anything, to compare with",
           "the Keras model's own arithmetic"),
    Recipe("float16",      "float16", "float32", False, "GPUs",
           "half the size; GPUs compute in float16, CPUs in float32"),
    Recipe("dynamic_int8", "int8",    "float32", False, "CPUs",
           "int8 products; each row of activations is scaled as it comes"),
    Recipe("static_int8",  "int8",    "int8",    False, "CPUs",
           "int8 products, ranges known beforehand; norms, GELUs and residuals in float32"),
    Recipe("int8",         "int8",    "int8",    True,  "NPUs, microcontrollers",
           "every op in int8"),
    Recipe("int16x8",      "int8",    "int16",   True,  "NPUs that have int16",
           "every op in int16, with int8 weights; CPUs run it slowly"),
    Recipe("dynamic_int4", "int4",    "float32", False, "CPUs short of memory",
           "int4 weights of dense layers; products as in dynamic_int8"),
)
# fmt: on

RECIPES = {recipe.name: recipe for recipe in _TABLE}


def find(name):
    """The recipe called `name`, or a ValueError that says which there are."""
    if name not in RECIPES:
        close = get_close_matches(str(name), RECIPES, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        raise ValueError(f"There is no recipe {name!r}. {hint}Recipes: {', '.join(RECIPES)}.")
    return RECIPES[name]
