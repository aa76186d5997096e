"""What we use of TensorFlow's private API is there and means what we take it for.

When one of these fails after an upgrade of TensorFlow, mend keras_mixer/_tensorflow.py first.
"""

import ast

import pytest
import tensorflow as tf

from keras_mixer import _tensorflow
from tests.conftest import ROOT

MEND = "TensorFlow has moved or changed a private name: mend keras_mixer/_tensorflow.py"


def test_private_names_are_in_one_module():
    private = ("tensorflow.python", "tensorflow.lite", "tensorflow.core", "tensorflow.compiler")
    found = set()
    for path in (ROOT / "keras_mixer").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            found |= {path.name for name in names if name.startswith(private)}
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                is_private = node.value.id == "tf" and node.attr in ("python", "compiler", "core")
                found |= {path.name} if is_private or node.attr == "__internal__" else set()
    assert found == {"_tensorflow.py"}


# An op that LiteRT runs with TensorFlow's own kernels at best, and one that it knows nothing of.
@pytest.mark.parametrize("op", ["Erf", "Erfinv"])
def test_the_converter_s_error_says_which_op_litert_lacks(op):
    function = tf.function(getattr(tf.math, op.lower()), autograph=False)
    concrete = function.get_concrete_function(tf.TensorSpec((2,), tf.float32))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    try:
        kind = _tensorflow.converter_error()
    except ImportError as error:
        pytest.fail(f"{MEND} ({error})")
    with pytest.raises(Exception, match=op) as caught:
        converter.convert()
    assert isinstance(caught.value, kind), MEND
    said = _tensorflow.reason_of(caught.value)
    assert said in (f"it has no {op}.", f"it has no Flex{op}."), MEND


def test_any_other_error_of_the_converter_is_quoted():
    assert _tensorflow.reason_of(ValueError(" out of memory\n")) == "out of memory"


def test_the_function_that_an_operation_calls_is_found():
    inner = tf.function(lambda x: tf.matmul(x, x), jit_compile=True)
    outer = tf.function(lambda x: inner(x)).get_concrete_function(tf.TensorSpec((2, 2)))
    [call] = [o for o in outer.graph.get_operations() if o.type.endswith("PartitionedCall")]
    try:
        graph = _tensorflow.called(call)
    except AttributeError as error:
        pytest.fail(f"{MEND} ({error})")
    assert "MatMul" in [operation.type for operation in graph.get_operations()]
