"""Which tensor of a `.tflite` file comes from which layer of the Keras model."""

import re
from fnmatch import fnmatchcase

import keras

from keras_mixer._keras import inner_layers
from keras_mixer.tflite.file.interpreter import activations


def layer_paths(model):
    """Paths of a model's layers and of those within them, `block_0/token_mlp/expand`, in order."""
    for layer in model.layers:
        if not isinstance(layer, keras.layers.InputLayer):
            yield from _paths(layer, layer.name)


def layer_of(tensor_name, paths):
    """The innermost of `paths` that a tensor's name stands for, or None.

    The converter calls a tensor after the ops that it fuses, `model/block_0_1/token_mlp_1/expand_1/
    Tensordot;...`, and the last of them is the one that computes; or, where that is a layer's own
    scaling of what a layer within it has computed, the one before.
    """
    *before, last = [_innermost(op, paths) for op in tensor_name.split(";") if op] or [None]
    within = [path for path in before if path and last and path.startswith(f"{last}/")]
    return within[-1] if within else last


def _innermost(op, paths):
    """The innermost of `paths` that an op's name stands for; Keras may number any part again."""
    steps = op.split("/")
    best = None
    for path in paths:
        parts = path.split("/")
        # The model's own name stands first, or the names of models around a model.
        for start in range(1, len(steps) - len(parts)):
            if all(map(_same, steps[start:], parts)):
                best = max(best or (0, ""), (start + len(parts), path))
                break
    return best and best[1]


def layers_by_tensor(interpreter, model):
    """The layer, by path, that makes each activation of a file: tensor's name -> path, in order.

    A tensor that no layer's name is in is left out.
    """
    paths = [*layer_paths(model)]
    ends = {tensor["name"] for tensor in interpreter.get_output_details()}  # named by the converter
    layers = {
        name: paths[-1] if name in ends else layer_of(name, paths)
        for name in activations(interpreter)
    }
    return {name: path for name, path in layers.items() if path}


def matching(patterns, paths, who):
    """Those of `paths` that any of the patterns, such as `block_*/token_mlp`, names or contains.

    Raises:
        ValueError: A pattern names no layer.
    """
    found = set()
    for pattern in patterns:
        named = {
            path
            for path in paths
            if fnmatchcase(path, pattern) or fnmatchcase(path, f"{pattern}/*")
        }
        if not named:
            raise ValueError(f"{who}: no layer is called {pattern!r}. Layers: {', '.join(paths)}.")
        found |= named
    return found


def _paths(layer, path):
    yield path
    for inner in inner_layers(layer, recursive=False):
        yield from _paths(inner, f"{path}/{inner.name}")


def _same(step, name):
    return re.fullmatch(rf"{re.escape(name)}(_\d+)?", step) is not None
