"""LiteRT's interpreter: it runs a file, and can keep every tensor that the file computes."""

import os

import numpy as np

from keras_mixer._extras import needs
from keras_mixer.tflite._litert import op_details


def default_threads():
    """One thread a core, four at most: a phone's fast cores."""
    return min(os.cpu_count() or 1, 4)


def open_interpreter(content, threads=None, watched=False):
    """An interpreter that is ready to run.

    Args:
        content: The file's content.
        threads: CPU threads; by default `default_threads()`.
        watched: Whether it keeps the value of every tensor, which it can only without a delegate.
    """
    # Here, so that the package can be imported without LiteRT.
    with needs(__name__):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kind = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if watched else OpResolverType.AUTO
    interpreter = Interpreter(
        model_content=content,
        num_threads=threads or default_threads(),
        experimental_op_resolver_type=kind,
        experimental_preserve_all_tensors=watched,
    )
    interpreter.allocate_tensors()
    return interpreter


def activations(interpreter):
    """The tensors that depend on the input: name -> tensor details, in the order of computation."""
    details = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    made = [tensor["index"] for tensor in interpreter.get_input_details()]
    made += [
        index
        for op in op_details(interpreter)
        for index in op["outputs"]
        if index >= 0  # -1 is an output that no op takes
    ]
    return {details[index]["name"]: details[index] for index in made}


def every_tensor(content, images):
    """Runs a file on images; yields for each image all activations by name, in float32."""
    interpreter = open_interpreter(content, watched=True)
    [image_tensor] = interpreter.get_input_details()
    tensors = activations(interpreter)
    for image in images:
        values = quantised(image, image_tensor).reshape(image_tensor["shape"])
        interpreter.set_tensor(image_tensor["index"], values)
        interpreter.invoke()
        yield {
            name: dequantised(interpreter.get_tensor(tensor["index"]), tensor)
            for name, tensor in tensors.items()
        }


def quantised(values, tensor):
    """Real numbers -> the numbers that a tensor stores for them, by the tensor's details."""
    dtype = tensor["dtype"]
    if not np.issubdtype(dtype, np.integer):
        return values.astype(dtype)
    scale, zero_point = tensor["quantization"]
    limits = np.iinfo(dtype)
    return np.clip(np.round(values / scale + zero_point), limits.min, limits.max).astype(dtype)


def dequantised(values, tensor):
    """The numbers that a tensor stores -> the real numbers that they stand for, in float32."""
    if not np.issubdtype(tensor["dtype"], np.integer):
        return values.astype(np.float32, copy=False)
    scale, zero_point = tensor["quantization"]
    return (values.astype(np.float32) - zero_point) * np.float32(scale)
