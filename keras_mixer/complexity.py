"""How much a model computes."""

import math
import re

import keras

from keras_mixer._checks import check_model
from keras_mixer._keras import graph_of, in_inference
from keras_mixer._tensorflow import called
from keras_mixer._text import one_line


def count_macs(model: keras.Model) -> int:
    """The multiply-accumulate operations of a model for one image, in inference.

    They are counted in the graph that TensorFlow makes of the model: those of its matrix products
    and convolutions, as in the tables of papers. The zeros around an image count as its pixels do.
    Element-wise operations, such as a norm or GELU, are left out. A paper's FLOPs are this number
    or twice as many.

    Args:
        model: A model of any kind that is built, whose inputs have known shapes, but for the batch.
            The operations of a model for batches of a fixed size are divided by that size. The
            weights need not have values: under
            `keras.StatelessScope(initialize_variables=False)` any model is built in a second.

    Returns:
        The number of multiply-accumulate operations; 1e9 of them are a GMAC.

    Raises:
        ValueError: The model is not built, an input or a tensor within has an unknown size, or
            TensorFlow cannot make a graph of it. The model has a loop, or an operation whose
            multiplications this function cannot count, such as an FFT.
        RuntimeError: Keras does not run on TensorFlow.
    """
    check_model(model, "count_macs")
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            "count_macs counts in a graph of TensorFlow; Keras runs on "
            f"{keras.backend.backend()}. Set KERAS_BACKEND=tensorflow before Python starts."
        )
    images = _input(model)
    shapes = [tuple(tensor.shape) for tensor in keras.tree.flatten(images)]
    for shape in shapes:
        if None in shape[1:]:
            raise ValueError(
                f"count_macs needs inputs of known size; '{model.name}' takes {shape}."
            )
    batch = max((shape[0] or 1 for shape in shapes if shape), default=1)
    return _macs(_graph(model, images, batch), model.name) // batch


def _input(model):
    """What a model takes, as Keras tensors."""
    graph = graph_of(model) or model  # a `Sequential` knows its input as a functional model
    if hasattr(graph, "input"):
        return graph.input
    shapes = model.get_build_config() or {}
    if "input_shape" not in shapes:  # not built, or by several arguments
        raise ValueError(
            "count_macs needs a model that is built, for one input or for several in a dict or "
            f"list; '{model.name}' ({type(model).__name__}) is not. Call it on images first, or "
            "build a functional model on keras.Input that calls it."
        )
    return keras.tree.map_shape_structure(
        lambda shape: keras.KerasTensor(shape, model.input_dtype), shapes["input_shape"]
    )


def _graph(model, images, batch):
    """TensorFlow's graph of a model for a batch, in inference."""
    import tensorflow as tf

    def image(tensor):
        first, *rest = tensor.shape
        return tf.TensorSpec((first or batch, *rest), tensor.dtype)

    @tf.function(autograph=False)
    def forward(values, inputs):
        pairs = zip(model.variables, values, strict=True)
        with keras.StatelessScope([*pairs], initialize_variables=False):
            return in_inference(model)(inputs)

    weights = [tf.TensorSpec(weight.shape, weight.dtype) for weight in model.variables]
    try:
        with keras.StatelessScope(initialize_variables=False):  # or Keras gives all weights values
            return forward.get_concrete_function(
                weights, keras.tree.map_structure(image, images)
            ).graph
    except (ValueError, TypeError, tf.errors.OpError) as error:
        # Keras prints the message in bold, and behind it the layer's arguments.
        bold = re.search("\x1b\\[1m(.*)\x1b\\[0m", str(error), re.DOTALL)
        raise ValueError(
            f"count_macs needs a model that TensorFlow can make a graph of; '{model.name}' fails "
            f"for a batch of {batch}: {one_line(bold[1] if bold else error)}"
        ) from error


def _macs(graph, name):
    """The multiply-accumulate operations of a graph of TensorFlow and of the functions it calls."""
    total = 0
    for operation in graph.get_operations():
        kind = operation.type
        if kind in COUNTED:
            try:
                total += COUNTED[kind](operation)
            except (ValueError, TypeError):  # an unknown rank or an unknown size
                raise ValueError(
                    f"count_macs needs tensors of known size; '{name}' has the operation {kind} "
                    f"({operation.name}), which takes "
                    f"{' and '.join(str(tensor.shape) for tensor in operation.inputs)}. Compute "
                    "shapes from static ones, not from values."
                ) from None
        elif kind in ("PartitionedCall", "StatefulPartitionedCall"):
            total += _macs(called(operation), name)
        elif UNCOUNTED.search(kind):
            raise ValueError(
                f"count_macs counts matrix products and convolutions; '{name}' has the operation "
                f"{kind} ({operation.name}), of which it cannot say how many it holds."
            )
    return total


def _of_matrices(operation):
    transposed = operation.get_attr("transpose_a" if operation.type == "MatMul" else "adj_x")
    summed = operation.inputs[0].shape[-2 if transposed else -1]
    return math.prod(operation.outputs[0].shape) * summed


def _of_einsum(operation):
    inputs, output = operation.get_attr("equation").decode().split("->")
    if len(operation.inputs) == 1:
        return 0  # a sum or a transpose
    sizes = {}
    for letters, tensor in zip(inputs.split(","), operation.inputs, strict=True):
        before, _, behind = letters.partition("...")
        sizes |= zip(before, tensor.shape)  # noqa: B905 - the dots stand for the other axes
        sizes |= zip(behind[::-1], tensor.shape[::-1])  # noqa: B905
    summed = (size for letter, size in sizes.items() if letter not in output)
    return math.prod(operation.outputs[0].shape) * math.prod(summed)


def _of_convolution(operation):
    *sides, channels, _ = operation.inputs[1].shape
    summed = 1 if operation.type == "DepthwiseConv2dNative" else channels
    return math.prod(_joined(operation.outputs[0]).shape) * math.prod(sides) * summed


def _joined(tensor):
    """A convolution's output as its layer gives it, from what TensorFlow's operation gives.

    TensorFlow computes a dilated convolution on padded parts of the image, and joins them.
    """
    for operation in tensor.consumers():
        if operation.type == "BatchToSpaceND":
            return operation.outputs[0]
        if operation.type == "Squeeze":  # of a convolution in one dimension
            return _joined(operation.outputs[0])
    return tensor


def _of_transposed_convolution(operation):
    _, kernel, image = operation.inputs  # [..., filters, channels] and [batch, ..., channels]
    return math.prod(image.shape) * math.prod(kernel.shape[:-1])


# Type of an operation -> how many multiply-accumulate operations it holds.
COUNTED = {
    "MatMul": _of_matrices,
    "BatchMatMul": _of_matrices,
    "BatchMatMulV2": _of_matrices,
    "BatchMatMulV3": _of_matrices,
    "Einsum": _of_einsum,
    "Conv2D": _of_convolution,
    "Conv3D": _of_convolution,
    "DepthwiseConv2dNative": _of_convolution,
    "Conv2DBackpropInput": _of_transposed_convolution,
    "Conv3DBackpropInputV2": _of_transposed_convolution,
}
# Types of other operations that hold some, or that call what may hold some.
UNCOUNTED = re.compile(
    "Conv(?!ert)|Mat[Mm]ul|[Ee]insum|Dot|FFT|RNN|LSTM|GRU|Solve|Inverse|Cholesky|Svd|Qr|Eig"
    "|MatrixDeterminant|MatrixExponential|While|If$|Case$|MapDefun|PyFunc|Call"
)
