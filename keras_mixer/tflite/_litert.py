"""The API of LiteRT and of its quantiser that is not documented, each name once.

tests/tflite/test_litert.py fails first when an upgrade moves one of them. LiteRT is imported inside
the functions, so that `keras_mixer.tflite` can be imported without it.
"""

import io
import re
import warnings
from contextlib import redirect_stderr

import numpy as np

from keras_mixer._extras import needs
from keras_mixer._quiet import quiet

EVERY_OP = "*"
# Of XNNPACK's delegate: signed and unsigned int8, its defaults; and float16 on every CPU.
XNNPACK_FLAGS, FORCE_FP16 = 1 | 2, 4
# A program that loads a file, and prints its ops as JSON if this release of LiteRT tells them.
# Arguments: the path, whether to run it, the largest number of bytes.
LOAD_ALONE = """
import json, sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter

path, run, memory = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
except (ImportError, ValueError, OSError):  # Windows has none
    pass
interpreter = Interpreter(model_path=path, num_threads=1)
interpreter.allocate_tensors()
details = getattr(interpreter, "_get_ops_details", None)
ops = details and [
    (op["op_name"], [*map(int, op["inputs"])], [*map(int, op["outputs"])]) for op in details()
]
if run:
    for tensor in interpreter.get_input_details():
        if np.dtype(tensor["dtype"]).kind in "fiub":
            interpreter.set_tensor(tensor["index"], np.zeros(tensor["shape"], tensor["dtype"]))
    interpreter.invoke()
print(json.dumps(ops))
"""


def op_details(interpreter):
    """The ops of a file's main subgraph in order; None if this release of LiteRT does not tell.

    Each is a dict: `op_name`, and the indices of its tensors in `inputs` and `outputs`, -1 for a
    tensor that is left out. After `allocate_tensors` LiteRT adds an op DELEGATE behind the others
    for each group of ops that a delegate runs.
    """
    details = getattr(interpreter, "_get_ops_details", None)
    return None if details is None else details()


class Float16Runner:
    """Runs a float file in float16, as ARM CPUs run it: float32 `[H, W, C] -> [scores]`.

    Args:
        content: The file's content: one input and one output.
        threads: CPU threads.

    Raises:
        ValueError: This CPU cannot run it in float16, or not all of it.
    """

    def __init__(self, content, threads):
        with needs(__name__):
            from ai_edge_litert.compiled_model import CompiledModel, CpuOptions, Options
            from ai_edge_litert.hardware_accelerator import HardwareAccelerator

        cpu = CpuOptions(num_threads=threads, xnnpack_flags=XNNPACK_FLAGS | FORCE_FP16)
        options = Options(hardware_accelerators=HardwareAccelerator.CPU, cpu_options=cpu)
        with quiet():  # it logs each accelerator that is not there
            try:
                self.model = CompiledModel.from_buffer(content, options=options)
            except RuntimeError as error:
                raise ValueError(str(error)) from None
            if not self.model.is_fully_accelerated():
                raise ValueError("XNNPACK does not run every op of the file in float16.")
            [self.image] = self.model.create_input_buffers(0)
            [self.scores] = self.model.create_output_buffers(0)
            [signature] = self.model.get_signature_list()
            [image] = self.model.get_input_tensor_details(signature).values()
            [output] = self.model.get_output_tensor_details(signature).values()
            self.classes = int(output["shape"][-1])
            self(np.zeros(image["shape"]))  # at the first call it logs them again

    def __call__(self, image):
        self.image.write(np.ascontiguousarray(image, np.float32).ravel())
        self.model.run_by_index(0, [self.image], [self.scores])
        return self.scores.read(self.classes, np.float32)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with quiet():
            self.model.close()
            self.model = self.image = self.scores = None  # which ends, and logs, its accelerators


def schema():
    """The module that is generated from LiteRT's schema.fbs.

    `Model` and its like read a flatbuffer in place; `ModelT` and its like are Python objects that
    can be changed and written.
    """
    with needs(__name__):
        from ai_edge_litert import schema_py_generated

    return schema_py_generated


def with_weights_inside(content):
    """A file with all weights inside its flatbuffer, where every reader looks for them.

    The quantiser appends large weights to the flatbuffer instead.
    """
    with needs(__name__):
        from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(content)
    for buffer in model.buffers:
        if buffer.data is not None:  # anything but an array would be packed byte by byte
            buffer.data = np.frombuffer(buffer.data, np.uint8)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


class Quantizer:
    """litert-quantizer's `Quantizer` for one float32 file, with the calls that recipes need.

    A later call overrides an earlier one for the ops that both select.

    Args:
        content: The float32 file.
    """

    def __init__(self, content):
        with needs(__name__):
            from litert_quantizer import qtyping, quantizer

        self.types, self.algorithms = qtyping, quantizer.AlgorithmName
        self.tool = quantizer.Quantizer(content)

    def static(self, op, activation_bits, weight_bits):
        """Ops of a kind, `EVERY_OP` for all, compute in integers, with ranges known beforehand."""
        self.tool.add_static_config(".*", op, activation_bits, weight_bits)

    def dynamic(self, op, weight_bits):
        """Ops of a kind compute in integers and find the range of their input as they run."""
        channelwise = self.types.QuantGranularity.CHANNELWISE
        self.tool.add_dynamic_config(".*", op, weight_bits, channelwise)

    def float16(self, op):
        """Ops of a kind store their weights in float16 and compute in float32."""
        weights = self.types.TensorQuantizationConfig(
            num_bits=16, dtype=self.types.TensorDataType.FLOAT
        )
        config = self.types.OpQuantizationConfig(
            weight_tensor_config=weights,
            compute_precision=self.types.ComputePrecision.FLOAT,
            explicit_dequantize=True,
        )
        casting = self.algorithms.FLOAT_CASTING
        self.tool.update_quantization_recipe(".*", op, config, algorithm_key=casting)

    def keep_float_inputs_and_outputs(self):
        """The file's input and output stay in float32."""
        keep = self.algorithms.NO_QUANTIZE
        for op in ("INPUT", "OUTPUT"):
            self.tool.update_quantization_recipe(".*", op, algorithm_key=keep)

    def keep_float(self, output):
        """The op whose output tensor has this name stays in float32."""
        # The quantiser searches for the pattern in the names of an op's outputs, joined by ";".
        pattern = f"^{re.escape(output)}(;|$)"
        keep = self.algorithms.NO_QUANTIZE
        self.tool.update_quantization_recipe(pattern, EVERY_OP, algorithm_key=keep)

    def quantise(self, ranges=None):
        """The quantised file.

        Args:
            ranges: For `static`, tensor name -> (minimum, maximum), as float32 numbers.

        Raises:
            ValueError: The quantiser cannot quantise an op of the file.
        """
        found = ranges and {
            name: {"min": np.reshape(low, (1, 1)), "max": np.reshape(high, (1, 1))}
            for name, (low, high) in ranges.items()
        }
        with redirect_stderr(io.StringIO()), warnings.catch_warnings():
            # It draws a bar, asked for or not, and LiteRT warns it of the memory that it takes.
            warnings.simplefilter("ignore", UserWarning)
            done = self.tool.quantize(
                found, enable_progress_bar=False, enable_progress_report=False
            )
        return with_weights_inside(done.quantized_model)
