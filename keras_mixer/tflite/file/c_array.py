"""A `.tflite` file as C++ for LiteRT for Microcontrollers."""

import re
from pathlib import Path

from keras_mixer._text import listed, one_line
from keras_mixer._types import Tflite
from keras_mixer.tflite.file.content import content_of
from keras_mixer.tflite.file.graphs import graphs_in

# The ops of LiteRT for Microcontrollers, as in its micro_mutable_op_resolver.h of August 2026.
OPS = """
ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND
BROADCAST_ARGS BROADCAST_TO CALL_ONCE CAST CEIL CONCATENATION CONV_2D COS CUMSUM DEPTHWISE_CONV_2D
DEPTH_TO_SPACE DEQUANTIZE DIV DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP EQUAL EXP EXPAND_DIMS FILL
FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER GATHER_ND GREATER GREATER_EQUAL HARD_SWISH IF
L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL LOG LOGICAL_AND LOGICAL_NOT LOGICAL_OR
LOGISTIC LOG_SOFTMAX MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL PACK PAD PADV2
PRELU QUANTIZE READ_VARIABLE REDUCE_ALL REDUCE_MAX REDUCE_MIN RELU RELU6 RESHAPE RESIZE_BILINEAR
RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND RSQRT SELECT_V2 SHAPE SIN SLICE SOFTMAX SPACE_TO_BATCH_ND
SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM SVDF TANH
TRANSPOSE TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK VAR_HANDLE WHILE ZEROS_LIKE
"""
# Those whose methods are not called as the words of the op.
METHODS = {
    "BATCH_MATMUL": "BatchMatMul",
    "CUMSUM": "CumSum",
    "PADV2": "PadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
}
COLUMNS = 16
NAME = "[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*"
TEXT = """\
// {file}, {size:,} bytes. Written by keras-mixer c-array.
#pragma once

alignas(16) inline constexpr unsigned char {name}_data[] = {{
{data}
}};

// The number of kinds of ops in the model: tflite::MicroMutableOpResolver<{name}_ops>.
inline constexpr unsigned {name}_ops = {count};

// Adds the kernels of these ops to the resolver, and no others. Whether all went well.
template <typename Resolver>
bool add_{name}_ops(Resolver& resolver) {{
  constexpr int ok = 0;  // kTfLiteOk
  return {added};
}}
"""


def c_array(source: Tflite, name: str = "model") -> str:
    """A header in C++17 with a `.tflite` file and its ops, for LiteRT for Microcontrollers.

    `model_data` is the file, aligned to 16 bytes, as a constant, which linkers place in flash.
    `add_model_ops(resolver)` adds the kernels of its ops to a
    `tflite::MicroMutableOpResolver<model_ops>`, so that no others are linked. The header includes
    nothing. `tflite/microcontroller/` shows how it is used.

    Args:
        source: Path of the file, or its content as bytes; of recipe `"int8"` or `"int16x8"`,
            because the others are not for microcontrollers.
        name: What stands for `model` in these names, for a program that includes several headers.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a `.tflite` file, or has ops that LiteRT for Microcontrollers has not;
            or `name` is no name in C++.
    """
    if not re.fullmatch(NAME, name):
        raise ValueError(
            "c_array needs name (--name) to begin with a letter and to consist of letters, digits "
            f"and single underscores, as names in C++ do; got {name!r}."
        )
    file, content = content_of(source)
    ops = sorted({op for graph in graphs_in(content) for op, _, _ in graph.ops})
    if others := sorted({*ops} - {*OPS.split()}):
        raise ValueError(
            f"c_array: LiteRT for Microcontrollers does not have {listed(others)}, which {file} "
            "needs. Convert with recipe 'int8'; if it is of that recipe, replace the layer."
        )
    rows = (content[i : i + COLUMNS] for i in range(0, len(content), COLUMNS))
    return TEXT.format(
        name=name,
        file=one_line(Path(file).name),
        size=len(content),
        data="\n".join("  " + " ".join(f"{byte}," for byte in row) for row in rows),
        count=len(ops),
        added=" &&\n         ".join(f"resolver.Add{_method(op)}() == ok" for op in ops),
    )


def _method(op):
    words = (word if word == "2D" else word.capitalize() for word in op.split("_"))
    return METHODS.get(op) or "".join(words)
