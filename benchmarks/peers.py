"""One Mixer in the usual runtimes: how each model file is made and run.

A candidate is prepared in one process and run in another, so that no memory of the preparation
remains. All start from the same weights, `ours.keras` and `timm.safetensors` in a folder, and the
same `calibration.npy`, images [N, H, W, C]. Settings are the runtimes' defaults, except for the
number of threads, a batch of one image, and quantised weights, which have one scale per channel.

Only the standard library and NumPy are imported here: each process loads only its own runtime.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from time import perf_counter

import numpy as np

WARMUP = 2  # runs that are not counted: a process that continues has cold caches
OPSET = 20  # ONNX's first with GELU as one op
CHAIN, SIDE = 8, 1024  # peak throughput: eight matmuls of 1024 x 1024 in sequence


@dataclass(frozen=True)
class Candidate:
    """One model file in one runtime.

    Attributes:
        name: Its name in tables.
        runtime: The runtime's name.
        precision: `"float32"`, `"half"` or `"int8"`.
        packages: The packages that it needs; the first is the runtime.
        suffix: The file's suffix.
        prepare: `prepare(folder, file)` writes the file.
        load: `load(file, threads)` returns a function from one image to its scores.
        channels_first: Whether the image is `[1, C, H, W]` instead of `[1, H, W, C]`.
    """

    name: str
    runtime: str
    precision: str
    packages: tuple[str, ...]
    suffix: str
    prepare: Callable
    load: Callable
    channels_first: bool = True

    def missing(self):
        """The packages that are not installed."""
        return [package for package in self.packages if not _version(package)]

    def versions(self):
        return " ".join(f"{package} {_version(package)}" for package in self.packages)


def serve(candidate, file, images, threads):
    """A function that runs a candidate for `benchmarks.edge`.

    Args:
        candidate: A `Candidate`.
        file: Its file.
        images: Path of the images, float32 `[N, ...]`.
        threads: Number of threads.
    """
    images = np.load(images)
    if candidate.channels_first:
        images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    run = candidate.load(file, threads)

    def times(runs):
        """Seconds of each run."""
        seconds = []
        for i in range(-WARMUP, runs):
            start = perf_counter()
            run(images[:1])
            if i >= 0:
                seconds.append(perf_counter() - start)
        return seconds

    def scores(count):
        """Scores of the first `count` images, one at a time."""
        return np.stack([np.array(run(images[i : i + 1]), np.float32)[0] for i in range(count)])

    return lambda command, number: {"times": times, "scores": scores}[command](number)


# ------------------------------------------------------------ LiteRT: ours, and peak throughput


def prepare_ours(folder, file, recipe):
    import keras

    import keras_mixer

    model = keras.models.load_model(folder / "ours.keras")
    calibrated = keras_mixer.tflite.RECIPES[recipe].calibrated
    images = np.load(folder / "calibration.npy") if calibrated else None
    file.write_bytes(keras_mixer.tflite.convert(model, recipe, calibration=images))


def prepare_peak(folder, file, kind):
    from keras_mixer.tflite.run.benchmark import matmul_file

    file.write_bytes(matmul_file(kind))


def load_litert(file, threads):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(file), num_threads=threads)
    interpreter.allocate_tensors()
    [image], [scores] = interpreter.get_input_details(), interpreter.get_output_details()

    def run(images):
        interpreter.set_tensor(image["index"], images.reshape(image["shape"]))
        interpreter.invoke()
        return interpreter.get_tensor(scores["index"])

    return run


# ------------------------------------------------------------------------------------------ PyTorch


def timm_mlp_mixer():
    """The module `timm.models.mlp_mixer`."""
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        # With a PyTorch for CPUs, torchvision's wheel lacks these ops of its CUDA library.
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from timm.models import mlp_mixer

    return mlp_mixer


def torch_model(folder, weights="timm.safetensors", dtype="float32"):
    """timm's Mixer of the same sizes, with the same weights and the same GELU."""
    import torch
    from safetensors.torch import load_file

    sizes = json.loads((folder / "sizes.json").read_text())
    model = timm_mlp_mixer().MlpMixer(
        num_classes=sizes["classes"],
        img_size=sizes["image_size"],
        patch_size=sizes["patch_size"],
        num_blocks=sizes["depth"],
        embed_dim=sizes["width"],
        mlp_ratio=(
            sizes["token_mlp_dim"] / sizes["width"],
            sizes["channel_mlp_dim"] / sizes["width"],
        ),
        act_layer=partial(torch.nn.GELU, approximate="tanh"),
    )
    model.load_state_dict(load_file(folder / weights))
    return model.to(getattr(torch, dtype)).eval()


def prepare_torch(folder, file, dtype):
    from safetensors.torch import save_file

    save_file(torch_model(folder, dtype=dtype).state_dict(), file)


def load_torch(file, threads, dtype, compiled):
    import torch

    torch.set_num_threads(threads)
    model = torch_model(file.parent, file.name, dtype)
    if compiled:
        model = torch.compile(model)

    def run(images):
        with torch.inference_mode():
            return model(torch.from_numpy(images).to(getattr(torch, dtype))).float().numpy()

    return run


# ------------------------------------------------------------------------------------- ONNX Runtime


def prepare_onnx(folder, file):
    import torch

    torch.onnx.export(
        torch_model(folder),
        (torch.from_numpy(calibration(folder)[:1]),),
        file,
        opset_version=OPSET,
        dynamo=True,
        external_data=False,
    )


def prepare_onnx_int8(folder, file, static):
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    plain, shaped = file.with_suffix(".float.onnx"), file.with_suffix(".shaped.onnx")
    prepare_onnx(folder, plain)
    quant_pre_process(plain, shaped)
    if static:
        quantization.quantize_static(
            shaped,
            file,
            _Calibration(shaped, calibration(folder)),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
        )
    else:
        quantization.quantize_dynamic(shaped, file, per_channel=True)
    plain.unlink()
    shaped.unlink()


class _Calibration:
    """Images one at a time, as ONNX Runtime's quantiser reads them."""

    def __init__(self, file, images):
        import onnx

        self.name = onnx.load(file, load_external_data=False).graph.input[0].name
        self.images = iter(images)

    def get_next(self):
        image = next(self.images, None)
        return None if image is None else {self.name: image[None]}


def load_onnx(file, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})[0]


# ----------------------------------------------------------------------------------------- OpenVINO


def prepare_openvino(folder, file, int8):
    import openvino
    import torch

    images = calibration(folder)
    model = openvino.convert_model(
        torch_model(folder), example_input=torch.from_numpy(images[:1]), input=images[:1].shape
    )
    if int8:
        import nncf

        model = nncf.quantize(
            model,
            nncf.Dataset(images, lambda image: image[None]),
            subset_size=len(images),
        )
    # By default OpenVINO would store float weights in half precision.
    openvino.save_model(model, file, compress_to_fp16=False)


def load_openvino(file, threads, precision):
    import openvino

    if precision == "bf16" and "BF16" not in openvino.Core().get_property(
        "CPU", "OPTIMIZATION_CAPABILITIES"
    ):
        raise RuntimeError("this processor has no bfloat16, which OpenVINO would emulate")
    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    if precision:
        settings["INFERENCE_PRECISION_HINT"] = precision
    model = openvino.compile_model(file, "CPU", settings)
    request = model.create_infer_request()

    def run(images):
        request.infer([images], share_inputs=True)
        return request.get_output_tensor(0).data

    return run


def calibration(folder):
    """The calibration images, `[N, C, H, W]`."""
    return np.ascontiguousarray(np.load(folder / "calibration.npy").transpose(0, 3, 1, 2))


def ours(recipe):
    """The candidate of one of our recipes."""
    return Candidate(
        f"keras_mixer {recipe}",
        "LiteRT",
        {"float32": "float32", "float16": "half"}.get(recipe, "int8"),
        ("ai-edge-litert",),
        ".tflite",
        partial(prepare_ours, recipe=recipe),
        load_litert,
        channels_first=False,
    )


def litert_peak(precision, kind):
    """The candidate that measures peak throughput."""
    return Candidate(
        f"peak {precision}",
        "LiteRT",
        precision,
        ("ai-edge-litert",),
        ".tflite",
        partial(prepare_peak, kind=kind),
        load_litert,
        channels_first=False,
    )


def pytorch(how, dtype):
    """The candidate of eager or compiled PyTorch."""
    return Candidate(
        f"{how} {dtype}",
        "PyTorch",
        {"bfloat16": "half"}.get(dtype, dtype),
        TORCH,
        ".safetensors",
        partial(prepare_torch, dtype=dtype),
        partial(load_torch, dtype=dtype, compiled=how == "torch.compile"),
    )


def _version(package):
    try:
        return version(package)
    except PackageNotFoundError:
        return None


TORCH = "torch", "timm", "torchvision"
ONNX = "onnxruntime", "onnx", "onnxscript", *TORCH
OPENVINO = "openvino", *TORCH

# fmt: off
PEAKS = litert_peak("float32", "float32"), litert_peak("int8", "dynamic_int8")
PEERS = (
    Candidate("ONNX Runtime float32", "ONNX Runtime", "float32", ONNX, ".onnx",
              prepare_onnx, load_onnx),
    Candidate("ONNX Runtime int8 dynamic", "ONNX Runtime", "int8", ONNX, ".onnx",
              partial(prepare_onnx_int8, static=False), load_onnx),
    Candidate("ONNX Runtime int8 static", "ONNX Runtime", "int8", ONNX, ".onnx",
              partial(prepare_onnx_int8, static=True), load_onnx),
    Candidate("OpenVINO float32", "OpenVINO", "float32", OPENVINO, ".xml",
              partial(prepare_openvino, int8=False), partial(load_openvino, precision="f32")),
    Candidate("OpenVINO bfloat16", "OpenVINO", "half", OPENVINO, ".xml",
              partial(prepare_openvino, int8=False), partial(load_openvino, precision="bf16")),
    Candidate("OpenVINO int8", "OpenVINO", "int8", ("openvino", "nncf", *TORCH), ".xml",
              partial(prepare_openvino, int8=True), partial(load_openvino, precision=None)),
    pytorch("PyTorch", "float32"),
    pytorch("PyTorch", "bfloat16"),
    pytorch("torch.compile", "float32"),
    pytorch("torch.compile", "bfloat16"),
)
# fmt: on
