"""Which layer of the Keras model makes a tensor of the `.tflite` file, by the tensor's name."""

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
    """The innermost of `paths` that makes a tensor, by its name, or None.

    The converter names a tensor after the ops that it fuses, in their order: `model/block_0_1/
    token_mlp_1/expand_1/Tensordot;...`. The last of them makes the tensor, with two exceptions. If
    that op belongs to a layer that scales the output of a layer within it, the layer is the inner
    one, of an op before. And an op that the converter has moved forward from an earlier layer
    stands behind the op that makes the tensor.
    """
    *before, last = [_innermost(op, paths) for op in tensor_name.split(";") if op] or [None]
    within = [path for path in before if path and last and path.startswith(f"{last}/")]
    if within:
        return within[-1]
    first = next(iter(before), None)
    if first and last and paths.index(_outermost(last)) < paths.index(_outermost(first)):
        return first
    return last


def layers_in(tensor_name, paths):
    """The `paths` whose ops are fused into the one that makes a tensor, by the tensor's name."""
    maker = layer_of(tensor_name, paths)
    found = {_innermost(op, paths) for op in tensor_name.split(";") if op} - {None}
    return {path for path in found if _outermost(path) == _outermost(maker)} if maker else set()


def _outermost(path):
    return path.partition("/")[0]


def _innermost(op, paths):
    """The innermost of `paths` that is in an op's name; Keras may add a number to any part."""
    steps = op.split("/")
    best = None
    for path in paths:
        parts = path.split("/")
        # The model's own name stands first, or the names of models around a model.
        for start in range(1, len(steps) - len(parts)):
            if all(map(_same, steps[start:], parts)):
                # Of a last `norm` and a `block_1/norm`, which end alike, it is the longer.
                best = max(best or (0, 0, ""), (start + len(parts), len(parts), path))
                break
    return best and best[-1]


def layers_by_tensor(interpreter, model):
    """The layer that makes each activation of a file: tensor's name -> layer's path, in order.

    A tensor is left out if no layer's name is in its name.
    """
    paths = [*layer_paths(model)]
    outputs = {tensor["name"] for tensor in interpreter.get_output_details()}  # "scores"
    layers = {
        name: paths[-1] if name in outputs else layer_of(name, paths)
        for name in activations(interpreter)
    }
    return {name: path for name, path in layers.items() if path}


def matching(patterns, paths, who):
    """The `paths` that match one of the patterns, such as `block_*/token_mlp`, or lie within one.

    Raises:
        ValueError: A pattern matches no layer.
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
