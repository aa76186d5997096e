"""Arguments and options that several commands have."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

Recipe = StrEnum(
    "Recipe",
    ["float32", "float16", "dynamic_int8", "static_int8", "int8", "int16x8", "dynamic_int4"],
)
CutAs = StrEnum("CutAs", ["mediapipe"])
TaskName = StrEnum("TaskName", ["classification", "binary", "multilabel", "regression"])
ModelName = Annotated[str, typer.Argument(help="A .keras file, a run's folder, or a model's name.")]
Weights = Annotated[
    str | None,
    typer.Option(
        help="For a model given by name: a release, such as imagenet1k, imagenet for the usual "
        "one, a file or a run's folder."
    ),
]
Dataset = Annotated[
    str | None,
    typer.Option(
        help="A name in TensorFlow Datasets; a folder with one folder of pictures for each class; "
        "or a folder with train, and perhaps valid and test, which hold the folders of the classes."
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Folder of TensorFlow Datasets; by default ~/tensorflow_datasets."),
]
ModelOption = Annotated[
    list[str] | None,
    typer.Option(help="An argument of the model, such as patch_size=4; may be repeated."),
]
Device = Annotated[str, typer.Option(help="tpu, gpu, cpu, or auto.")]
Replicas = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="With --device cpu: number of devices to divide the CPU into, to test training on "
        "several TPU cores or GPUs.",
    ),
]
InputRange = Annotated[
    tuple[float, float] | None,
    typer.Option(
        help="The model's input values for black and for white, such as 0 255, if the model does "
        "not say so."
    ),
]
Task = Annotated[
    TaskName | None,
    typer.Option(
        help="What the scores are; by default found from the last activation, the number of scores "
        "and the labels."
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]
Labels = Annotated[
    Path | None,
    typer.Option(
        help="A text file with one class name a line; by default the names in the .tflite file, "
        "in the run's folder, or of the released weights."
    ),
]
TfliteFile = Annotated[Path, typer.Argument(help="A .tflite image classifier.")]
ImageFiles = Annotated[
    Path,
    typer.Option(
        help="A .npy of images, a .npz with 'images' and 'labels', or a folder as "
        "for evaluate, or of pictures alone."
    ),
]
Calibration = Annotated[
    Path | None,
    typer.Option(
        help="For static_int8, int8 and int16x8, and optionally float16: about a hundred "
        "calibration images. A .npy of images, a .npz with 'images', or a folder of pictures."
    ),
]
KeepFloat = Annotated[
    list[str] | None,
    typer.Option(
        help="A layer that stays in float32, such as block_0/token_mlp/expand, or 'block_*'; may "
        "be repeated. `keras-mixer sensitivity` shows which layers are worth it."
    ),
]
Float16Arithmetic = Annotated[
    bool | None,
    typer.Option(
        help="Whether ARM CPUs that have float16 arithmetic may compute float ops in it; by "
        "default in recipe float16 only."
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, max=1024, help="CPU threads; by default one per core, at most four."),
]
Untrusted = Annotated[
    bool,
    typer.Option(
        "--untrusted",
        help="For a .tflite file of an unknown source: LiteRT, which may crash on it, loads it in "
        "another process first.",
    ),
]
