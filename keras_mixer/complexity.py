"""How much a model computes."""

import math

import keras

from keras_mixer._tensorflow import called


def count_macs(model: keras.Model) -> int:
    """The multiply-accumulate operations of a model for one image, in inference.

    They are counted in the graph that TensorFlow makes of the model: those of its matrix products
    and convolutions, as in the tables of papers. What works on single elements, such as a norm or
    GELU, is left out. A paper's FLOPs are this number or twice as many.

    Args:
        model: A model whose inputs have known shapes, but for the batch. Its weights need not have
            values: under `keras.StatelessScope(initialize_variables=False)` any model is built in
            a second.

    Returns:
        The number of multiply-accumulate operations; 1e9 of them are a GMAC.

    Raises:
        ValueError: An input of the model has an unknown size, or the model has an FFT, which is
            not made of multiply-accumulate operations, or a loop.
        RuntimeError: Keras does not run on TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            "count_macs counts in a graph of TensorFlow; Keras runs on "
            f"{keras.backend.backend()}. Set KERAS_BACKEND=tensorflow before Python starts."
        )
    import tensorflow as tf

    def spec(variable):
        return tf.TensorSpec(variable.shape, variable.dtype)

    def image(tensor):
        if None in tensor.shape[1:]:
            raise ValueError(
                f"count_macs needs inputs of known size; '{model.name}' takes {tensor.shape}."
            )
        return tf.TensorSpec((1, *tensor.shape[1:]), tensor.dtype)

    @tf.function
    def forward(trainable, others, inputs):
        return model.stateless_call(trainable, others, inputs, training=False)[0]

    weights = (model.trainable_variables, model.non_trainable_variables)
    specs = keras.tree.map_structure(spec, weights), keras.tree.map_structure(image, model.input)
    with keras.StatelessScope(initialize_variables=False):  # or Keras gives all weights values
        graph = forward.get_concrete_function(*specs[0], specs[1]).graph
    return _macs(graph, model.name)


def _macs(graph, name):
    """The multiply-accumulate operations of a graph of TensorFlow and of the functions it calls."""
    total = 0
    for operation in graph.get_operations():
        kind = operation.type
        if kind in COUNTED:
            shapes = [tuple(tensor.shape) for tensor in operation.inputs]
            total += math.prod(operation.outputs[0].shape) * COUNTED[kind](operation, shapes)
        elif kind in ("PartitionedCall", "StatefulPartitionedCall"):
            total += _macs(called(operation), name)
        elif "FFT" in kind or "While" in kind or kind.endswith("If"):
            raise ValueError(
                f"count_macs counts matrix products and convolutions; '{name}' has the operation "
                f"{kind}, of which it cannot say how many it holds."
            )
    return total


def _of_matrices(operation, shapes):
    transposed = operation.get_attr("transpose_a" if operation.type == "MatMul" else "adj_x")
    return shapes[0][-2 if transposed else -1]


def _of_einsum(operation, shapes):
    inputs, output = operation.get_attr("equation").decode().split("->")
    length = {}
    for letters, shape in zip(inputs.split(","), shapes, strict=True):
        length |= zip(letters, shape, strict=True)
    return math.prod(n for letter, n in length.items() if letter not in output)


# Type of an operation -> the products that are summed in an element of its output.
COUNTED = {
    "MatMul": _of_matrices,
    "BatchMatMulV2": _of_matrices,
    "Einsum": _of_einsum,
    "Conv2D": lambda _, shapes: math.prod(shapes[1][:-1]),
    "Conv3D": lambda _, shapes: math.prod(shapes[1][:-1]),
    "DepthwiseConv2dNative": lambda _, shapes: math.prod(shapes[1][:2]),
}
