"""The stub `keras_mixer/__init__.pyi`, which shows editors the signatures of the model builders.

Builders are made when the package is imported, so that editors, which only read, do not see them.
A test compares the stub with the package. To write it anew:

    python -m tests.stub
"""

import inspect
import re

import keras_mixer
from keras_mixer.models import BUILDERS
from tests.conftest import ROOT

PATH = ROOT / "keras_mixer" / "__init__.pyi"
# Names that are loaded when they are first touched, or whose module is not where they are from.
ELSEWHERE = {"show_weights": "keras_mixer.visualize"}
HEAD = """\
# Written by `python -m tests.stub`; a test compares it with the package.
import collections.abc
import os
from typing import Literal, Optional

import keras

"""


def text():
    """The stub as it should be."""
    imports = []
    for name in sorted({*keras_mixer.__all__} - {*BUILDERS}):
        value = getattr(keras_mixer, name)
        module = "keras_mixer" if inspect.ismodule(value) else value.__module__
        imports.append(f"from {ELSEWHERE.get(name, module)} import {name} as {name}\n")
    return (
        HEAD
        + "".join(sorted(imports))
        + "\n__version__: str\n\n"
        + "\n".join(f"def {name}{_signature(builder)}: ..." for name, builder in BUILDERS.items())
        + "\n"
    )


def _signature(builder):
    """A signature over several lines, with Keras's classes by their public names."""
    parameters = [*inspect.signature(builder).parameters.values()]
    lines = [*map(str, parameters)]
    first = next(i for i, p in enumerate(parameters) if p.kind is p.KEYWORD_ONLY)
    lines.insert(first, "*")
    written = "(\n" + "".join(f"    {line},\n" for line in lines) + ") -> keras.Model"
    written = re.sub(r"keras\.src(\.\w+)+\.(\w+)", r"keras.\2", written)
    written = written.replace("keras_mixer.images.Preprocessing", "Preprocessing")
    return written


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
