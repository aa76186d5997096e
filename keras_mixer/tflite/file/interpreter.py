"""LiteRT's interpreter, which can also preserve every intermediate tensor."""

import os

import numpy as np

from keras_mixer._extras import needs
from keras_mixer.tflite._litert import op_details


def default_threads():
    """One thread per core, at most four, because phones have about four fast cores."""
    return min(os.cpu_count() or 1, 4)


def open_interpreter(content, threads=None, preserve_tensors=False):
    """An interpreter with allocated tensors.

    Args:
        content: The file's content.
        threads: CPU threads; by default `default_threads()`.
        preserve_tensors: Whether it preserves intermediate tensors; XNNPACK is then not used.
    """
    # Imported here, so that the package can be imported without LiteRT.
    with needs(__name__):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kind = (
        OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        if preserve_tensors
        else OpResolverType.AUTO
    )
    interpreter = Interpreter(
        model_content=content,
        num_threads=threads or default_threads(),
        experimental_op_resolver_type=kind,
        experimental_preserve_all_tensors=preserve_tensors,
    )
    interpreter.allocate_tensors()
    return interpreter


def activations(interpreter):
    """The tensors that depend on the input: name -> details, in the order of computation."""
    details = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    computed = [tensor["index"] for tensor in interpreter.get_input_details()]
    computed += [
        index
        for op in op_details(interpreter)
        for index in op["outputs"]
        if index >= 0  # -1 is an unused output
    ]
    return {details[index]["name"]: details[index] for index in computed}


def every_tensor(content, images):
    """Runs a file on images; yields name -> float32 activation for each image."""
    interpreter = open_interpreter(content, preserve_tensors=True)
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
    """Real numbers -> the numbers that a tensor of these details stores."""
    dtype = tensor["dtype"]
    if not np.issubdtype(dtype, np.integer):
        return values.astype(dtype)
    scale, zero_point = tensor["quantization"]
    limits = np.iinfo(dtype)
    return np.clip(np.round(values / scale + zero_point), limits.min, limits.max).astype(dtype)


def dequantised(values, tensor):
    """The numbers that a tensor of these details stores -> real numbers, in float32."""
    if not np.issubdtype(tensor["dtype"], np.integer):
        return values.astype(np.float32, copy=False)
    scale, zero_point = tensor["quantization"]
    return (values.astype(np.float32) - zero_point) * np.float32(scale)
