"""How a model's numbers are stored and computed in a `.tflite` file: one row a recipe."""

from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True)
class Recipe:
    """What the converter is told.

    Attributes:
        name: The name under which `convert` knows it.
        quantise: Whether weights are stored in fewer bits than 32.
        weights: Name of the TensorFlow type of stored weights, where it is not int8.
        calibrated: Whether activations are quantised too, with ranges seen on example images.
        summary: What it is for, in a line.
    """

    name: str
    quantise: bool
    weights: str | None
    calibrated: bool
    summary: str


# fmt: off
_TABLE = (
    #       name          quantise  weights  calibrated
    Recipe("float32",      False,  None,      False,
           "the Keras model's own arithmetic"),
    Recipe("float16",      True,   "float16", False,
           "half the size; computes in float32 on CPUs, in float16 on GPUs"),
    Recipe("dynamic_int8", True,   None,      False,
           "a quarter of the size, int8 products between float activations: for CPUs"),
    Recipe("int8",         True,   None,      True,
           "every op in int8 between float32 ends: for NPUs; wants example images"),
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
