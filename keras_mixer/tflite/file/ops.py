"""The ops of a `.tflite` file and their constants, read without running it."""

from keras_mixer._extras import needs
from keras_mixer.tflite._litert import op_details


def ops_of(content):
    """Yields of each op its kind, the details of its first output and those of its inputs.

    The details of an input that is left out are None.
    """
    interpreter, details = _loaded(content)
    for op in op_details(interpreter):
        inputs = [details.get(index) for index in op["inputs"]]
        made = [index for index in op["outputs"] if index >= 0]
        if made:
            yield op["op_name"], details[made[0]], inputs


def outputs_of(content, kinds=None):
    """Names of the output tensors of a file's ops, of all kinds or of some."""
    return {made["name"] for kind, made, _ in ops_of(content) if kinds is None or kind in kinds}


def constants_of(content, kinds):
    """Yields the constant inputs of ops of some kinds: name of the op's output and the array."""
    interpreter, details = _loaded(content)
    for op in op_details(interpreter):
        if op["op_name"] in kinds:
            for index in op["inputs"][1:]:
                if index >= 0:
                    try:
                        values = interpreter.get_tensor(index)
                    except ValueError:  # not a constant
                        continue
                    yield details[op["outputs"][0]]["name"], values


def _loaded(content):
    """An interpreter without memory for activations, and its tensors' details by index."""
    with needs(__name__):
        from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    return interpreter, {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
