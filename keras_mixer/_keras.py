"""The private API of Keras that this package uses, each name once.

tests/test_keras.py fails first when an upgrade of Keras moves one of them.
"""

import copy
from contextlib import contextmanager

import keras
from keras import ops
from keras.src.backend import AutocastScope
from keras.src.backend.common import global_state
from keras.src.backend.common.stateless_scope import in_stateless_scope
from keras.src.layers.layer import CallContext
from keras.src.models.functional import Functional, operation_fn
from keras.src.ops.core import Cast
from keras.src.ops.nn import Gelu

from keras_mixer._replicas import replica, sum_over_replicas

__all__ = [
    "ACTIVATIONS",
    "POLICY",
    "AveragesMoments",
    "AveragesUpdates",
    "Cast",
    "ClipsTheSum",
    "Gelu",
    "activation_of",
    "autocast",
    "averages_of",
    "calls_of",
    "fresh_operation",
    "generator_in_tf_data",
    "graph_of",
    "in_inference",
    "in_stateless_scope",
    "in_training",
    "inner_layers",
    "is_quantised",
    "last_operation",
    "maker_of",
]

POLICY = "_dtype_policy"  # the attribute of a layer that holds its dtype policy
CALL = "current_call_ctx"  # the global attribute that holds what layers within a call get
ACTIVATIONS = "softmax", "sigmoid", "linear"  # of the scores of usual models


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


def last_operation(model):
    """The operation that makes a model's only output, also in a model at the end of the model."""
    operation = maker_of(model.outputs[0])
    while (graph := graph_of(operation)) is not None:
        operation = maker_of(graph.outputs[0])
    return operation


def activation_of(operation):
    """The name of an operation's activation, such as `"softmax"`, or of the operation itself."""
    activation = getattr(operation, "activation", None)
    if activation is None:  # a layer or an operation that is the activation
        return type(operation).__name__.lower()
    return getattr(activation, "__name__", type(activation).__name__)


def in_inference(operation):
    """The operation as a functional model calls it with `training=False`."""
    return operation_fn(operation, training=False)


@contextmanager
def in_training():
    """A context in which layers are called with `training=True` unless told otherwise.

    Within a layer's call Keras provides it; a function that is rematerialised is called once more
    when that call is over.
    """
    before = global_state.get_global_attribute(CALL)
    context = CallContext(entry_layer=None)
    context.set_value("training", True)
    global_state.set_global_attribute(CALL, context)
    try:
        yield
    finally:
        global_state.set_global_attribute(CALL, before)


def inner_layers(layer, recursive=True):
    """The layers within a layer or model, or with `recursive=False` those directly within."""
    return layer._flatten_layers(include_self=False, recursive=recursive)


def is_quantised(layer):
    """Whether `model.quantize` has replaced the layer's weights by integers."""
    return layer.quantization_mode is not None


def autocast(dtype):
    """A context in which layers read their floating-point variables in this type.

    With None they read them in the type that the variables have.
    """
    return AutocastScope(dtype)


def averages_of(optimizer):
    """An optimizer's moving averages of the trainable weights, in their order."""
    return optimizer._model_variables_moving_average


class AveragesUpdates:
    """A base for an optimizer that averages the weights once per update.

    Keras's optimizers average at each call, also where gradients accumulate over several calls.
    """

    def _update_model_variables_moving_average(self, trainable_variables):
        calls = self.gradient_accumulation_steps or 1
        updates = ops.equal((self._iterations + 1) % calls, 0)
        first = self._iterations < calls
        for weight, average in zip(trainable_variables, averages_of(self), strict=True):
            kept = ops.where(first, 0.0, self.ema_momentum)
            kept = ops.cast(ops.where(updates, kept, 1.0), weight.dtype)
            average.assign(kept * average + (1 - kept) * weight)


class ClipsTheSum:
    """A base for an optimizer that clips the gradient of the whole batch under `tf.distribute`.

    Keras's optimizers clip each replica's gradient and sum afterwards, so that two replicas train
    differently from one. Here the gradients are summed first.
    """

    def _clip_gradients(self, grads):
        if context := replica():
            grads = sum_over_replicas(context, grads)
        return super()._clip_gradients(grads)

    def _all_reduce_sum_gradients(self, grads_and_vars):
        return grads_and_vars


class AveragesMoments:
    """A base for a batch norm that takes the moments of the whole batch under `tf.distribute`.

    Replicas may have parts of different sizes, and empty ones. Keras's `synchronized=True` is
    refused by other backends, and its variance, a difference of two means, loses digits.
    """

    def _moments(self, inputs, mask):
        mean, variance = super()._moments(inputs, mask)
        context = replica()
        if not context:
            return mean, variance

        if mask is None:
            count = ops.cast(ops.size(inputs), mean.dtype) / ops.cast(ops.size(mean), mean.dtype)
        else:
            count = ops.sum(ops.cast(mask, mean.dtype))
        # Of an empty part they are not numbers.
        mean, variance = (ops.where(count > 0, x, ops.zeros_like(x)) for x in (mean, variance))
        sums = sum_over_replicas(context, ops.append(count * mean, count))
        whole = sums[:-1] / sums[-1]
        spread = count * (variance + ops.square(mean - whole))
        return whole, sum_over_replicas(context, spread) / sums[-1]


def generator_in_tf_data(layer):
    """The seed generator with which an augmentation layer draws in `tf.data`; None without one.

    On another backend than TensorFlow, Keras creates a second one when it needs it.
    """
    if not hasattr(layer, "generator") or not hasattr(layer, "_get_seed_generator"):
        return None
    layer.backend.set_backend("tensorflow")
    try:
        return layer._get_seed_generator("tensorflow")
    finally:
        layer.backend.reset()


def fresh_operation(operation):
    """A copy of an operation without weights that has not been called yet."""
    copied = copy.copy(operation)
    copied._inbound_nodes, copied._outbound_nodes = [], []
    return copied
