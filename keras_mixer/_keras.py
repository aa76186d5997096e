"""The private API of Keras that this package uses, each name once.

tests/test_keras.py fails first when an upgrade of Keras moves one of them.
"""

import copy

import keras
from keras.src.backend import AutocastScope
from keras.src.models.functional import Functional, operation_fn
from keras.src.ops.core import Cast
from keras.src.ops.nn import Gelu

__all__ = [
    "POLICY",
    "Cast",
    "Gelu",
    "autocast",
    "calls_of",
    "fresh_operation",
    "graph_of",
    "in_inference",
    "inner_layers",
    "is_quantised",
    "maker_of",
]

POLICY = "_dtype_policy"  # the attribute of a layer that holds its dtype policy


def graph_of(operation):
    """The functional model whose graph a model computes; None for any other operation.

    A model with a `call` of its own computes something else than its graph.
    """
    kind = type(operation)
    if isinstance(operation, keras.Sequential):
        return operation._functional if kind.call is keras.Sequential.call else None
    return operation if isinstance(operation, Functional) and kind.call is Functional.call else None


def calls_of(graph):
    """Yields the calls in a functional model's graph, in the order in which Keras makes them.

    Each is an operation, its `(args, kwargs)` and the list of its outputs, with Keras tensors in
    the places of tensors.
    """
    for _, nodes in sorted(graph._nodes_by_depth.items(), reverse=True):
        for node in nodes:
            if not node.is_input:
                yield node.operation, (node.arguments.args, node.arguments.kwargs), node.outputs


def maker_of(tensor):
    """The operation whose output a Keras tensor is."""
    return tensor._keras_history.operation


def in_inference(operation):
    """The operation as a functional model calls it with `training=False`."""
    return operation_fn(operation, training=False)


def inner_layers(layer, recursive=True):
    """The layers within a layer or model, or with `recursive=False` those directly within."""
    return layer._flatten_layers(include_self=False, recursive=recursive)


def is_quantised(layer):
    """Whether `model.quantize` has replaced the layer's weights by integers."""
    return layer.quantization_mode is not None


def autocast(dtype):
    """A context in which layers read their floating-point variables in this type."""
    return AutocastScope(dtype)


def fresh_operation(operation):
    """A copy of an operation without weights that has not been called yet."""
    copied = copy.copy(operation)
    copied._inbound_nodes, copied._outbound_nodes = [], []
    return copied
