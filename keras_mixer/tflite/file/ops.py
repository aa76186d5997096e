"""The ops of a `.tflite` file and their constants, read without running it."""

from keras_mixer._extras import needs
from keras_mixer.tflite._litert import op_details


def ops_of(content):
    """Yields each op's kind, the details of its first output and the details of its inputs.

    The details of an omitted input are None.
    """
    interpreter, details = _loaded(content)
    for op in op_details(interpreter):
        inputs = [details.get(index) for index in op["inputs"]]
        outputs = [index for index in op["outputs"] if index >= 0]
        if outputs:
            yield op["op_name"], details[outputs[0]], inputs


def parts_of(content):
    """Tensors that hold parts of one tensor, cut out and perhaps joined again: name -> its name."""
    interpreter, details = _loaded(content)
    whole = {}
    for op in op_details(interpreter):
        kind, inputs = op["op_name"], [i for i in op["inputs"] if i >= 0]
        if kind in ("SLICE", "STRIDED_SLICE"):
            sources = inputs[:1]
        elif kind == "SPLIT":  # its first input is the axis
            sources = inputs[1:]
        elif kind == "CONCATENATION":
            sources = inputs
        else:
            continue
        names = {whole.get(name, name) for name in (details[i]["name"] for i in sources)}
        if len(names) == 1:
            [name] = names
            whole |= {details[i]["name"]: name for i in op["outputs"]}
    return whole


def outputs_of(content, kinds=None):
    """Names of the output tensors of a file's ops, or of ops of some kinds."""
    return {output["name"] for kind, output, _ in ops_of(content) if kinds is None or kind in kinds}


def constants_of(content, kinds):
    """Yields constant inputs of ops of some kinds: the op's output name, and the array."""
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
    """An interpreter without allocated tensors, and index -> details of its tensors."""
    with needs(__name__):
        from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    return interpreter, {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
