"""The private API of TensorFlow that this package uses, each name once.

tests/test_tensorflow.py fails first when an upgrade of TensorFlow moves one of them. TensorFlow is
imported inside the functions, so that this module can be imported on every backend.
"""

import re


def converter_error():
    """The class of the error that `tf.lite.TFLiteConverter.convert` raises."""
    from tensorflow.lite.python.convert import ConverterError

    return ConverterError


def called(operation):
    """The graph of the function that an operation of a graph calls, such as a PartitionedCall."""
    return operation.graph._get_function(operation.get_attr("f").name).graph


def reason_of(error):
    """Why the converter refused a model, in a sentence, from its error.

    The error's message holds the whole program. Its end lists the ops that LiteRT does not have, if
    that is the reason.
    """
    message = str(error).strip()
    missing = re.findall(r"^(?:TF )?(?:Select|Custom) ops: (.*)$", message, re.MULTILINE)
    return f"it has no {', '.join(dict.fromkeys(missing))}." if missing else message
