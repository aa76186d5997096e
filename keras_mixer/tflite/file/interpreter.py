"""LiteRT's interpreter, watched while it runs."""

import os

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType


def default_threads():
    """One a core, four at most: a phone's fast cores."""
    return min(os.cpu_count() or 1, 4)


def open_interpreter(content, threads=None, watched=False):
    """An interpreter ready to run; `watched`, one that keeps every tensor and uses no delegate."""
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
        for op in interpreter._get_ops_details()
        for index in op["outputs"]
        if index >= 0  # -1 stands for an output that nobody takes
    ]
    return {details[index]["name"]: details[index] for index in made}


def every_tensor(content, images):
    """Runs a file on images and yields, for each, all its activations by name, in float32."""
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
    """Real numbers as a tensor stores them, by its details."""
    dtype = tensor["dtype"]
    if not np.issubdtype(dtype, np.integer):
        return values.astype(dtype)
    scale, zero_point = tensor["quantization"]
    limits = np.iinfo(dtype)
    return np.clip(np.round(values / scale + zero_point), limits.min, limits.max).astype(dtype)


def dequantised(values, tensor):
    """What a tensor stores as real numbers, by its details."""
    if not np.issubdtype(tensor["dtype"], np.integer):
        return values.astype(np.float32, copy=False)
    scale, zero_point = tensor["quantization"]
    return (values.astype(np.float32) - zero_point) * np.float32(scale)
