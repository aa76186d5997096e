"""Commands for .tflite files: export, inspect, verify, sensitivity and benchmark."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.progress import Progress
from rich.table import Table

from keras_mixer._files import check_new, whole_file
from keras_mixer._quiet import quiet
from keras_mixer._text import printable
from keras_mixer.cli.options import (
    Calibration,
    CutAs,
    Float16Arithmetic,
    ImageFiles,
    InputRange,
    KeepFloat,
    Labels,
    ModelName,
    Overwrite,
    Recipe,
    Task,
    TfliteFile,
    Threads,
    Untrusted,
    Weights,
)
from keras_mixer.cli.output import (
    beside,
    console,
    file_of,
    known_classes,
    load,
    measured_images,
    quiet_but_for_left_out,
)


def export(
    model: ModelName,
    recipe: Annotated[
        Recipe,
        typer.Option(
            help="The types of weights and arithmetic: dynamic_int8 for CPUs, float16 for GPUs, "
            "int8 for NPUs."
        ),
    ] = "float32",
    output: Annotated[
        Path | None,
        typer.Option(
            help="The folder to write to; by default MODEL_tflite, and none with --android."
        ),
    ] = None,
    android: Annotated[
        Path | None,
        typer.Option(
            help="A project of Android Studio, such as tflite/android: the file is put into the "
            "app's assets, test data into those of its tests."
        ),
    ] = None,
    labels: Labels = None,
    calibration: Calibration = None,
    keep_float: KeepFloat = None,
    float16_arithmetic: Float16Arithmetic = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Test images, to state the file's accuracy in the card: a folder with one folder "
            "of pictures for each class, or a .npz with 'images' and 'labels'."
        ),
    ] = None,
    weights: Weights = None,
    input_range: InputRange = None,
    name: Annotated[str | None, typer.Option(help="The model's name in the file.")] = None,
    description: Annotated[str, typer.Option(help="What the model does, in a sentence.")] = "",
    version: Annotated[str, typer.Option(help="The model's version.")] = "",
    author: Annotated[str, typer.Option(help="The model's author.")] = "",
    license: Annotated[str, typer.Option(help="The model's licence, such as Apache-2.0.")] = "",
    overwrite: Overwrite = False,
    task: Task = None,
):
    """Write a folder for an app: a .tflite file with metadata, and how to use it.

    The folder also holds the class names, a test image with its expected scores, to check the app
    with, and a model card. Exports with several recipes can share a folder.
    """
    if android is None:
        output = output or beside(model, "_tflite")
    if output:
        check_new(output / f"model_{recipe}.tflite", overwrite)
    with quiet():
        from keras_mixer import loading, tflite
        from keras_mixer.tflite.android import assets_of
        from keras_mixer.tflite.file.labels import check_own
        from keras_mixer.tflite.file.runtimes import runtimes_of

    assets, tests = (None, None) if android is None else assets_of(android)

    file = file_of(model)
    keras_model = load(file, weights)
    classes = loading.class_names(file, weights, count=keras_model.outputs[0].shape[-1])
    check_own(labels, classes, model)
    with (
        console.status(f"Converting {keras_model.name} with recipe {recipe}"),
        quiet_but_for_left_out(),
    ):
        written = tflite.export(
            keras_model,
            output,
            str(recipe),
            labels=labels or classes,
            calibration=calibration,
            keep_float=keep_float or (),
            float16_arithmetic=float16_arithmetic,
            input_range=input_range,
            data=data and measured_images(data, file, known_classes(keras_model, file, weights)),
            name=name,
            description=description,
            version=version,
            author=author,
            license=license,
            overwrite=overwrite,
            task=task and str(task),
            android=android,
        )
    for path in [written, assets / written.name] if output and assets else [written]:
        console.print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, {recipe}", soft_wrap=True)
    if tests:
        console.print(f"{tests}: test data, as the sample's GoldenTest reads it", soft_wrap=True)
        first = min(path.name for path in assets.glob("*.tflite"))
        if first != written.name:
            console.print(f"The sample runs the first file by name, {first}.", soft_wrap=True)
    console.print(f"{runtimes_of(written.read_bytes())}", soft_wrap=True, highlight=False)


def inspect(
    file: Annotated[Path, typer.Argument(help="Any .tflite file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    untrusted: Untrusted = False,
):
    """Show what is in a .tflite file: inputs, outputs, metadata, ops, weights, needed runtimes."""
    with quiet():
        from keras_mixer.tflite import inspect

        found = inspect(file, untrusted=untrusted)
    as_text = json.dumps(found.as_dict(), indent=2, ensure_ascii=False)
    console.print(as_text if as_json else f"{file}: {found}", soft_wrap=True, highlight=False)


def verify(
    model: Annotated[
        str, typer.Argument(help="The model that the .tflite file was converted from.")
    ],
    tflite: TfliteFile,
    data: ImageFiles,
    weights: Weights = None,
    threads: Threads = None,
    layers: Annotated[
        bool, typer.Option("--layers", help="Compare the output of every layer as well.")
    ] = False,
    cut_as: Annotated[
        CutAs | None,
        typer.Option(
            "--as",
            help="How pictures are cropped: mediapipe, as its image classifier and most apps do; "
            "by default as in the model's training and evaluation.",
        ),
    ] = None,
    labels: Labels = None,
    input_range: InputRange = None,
    task: Task = None,
    untrusted: Untrusted = False,
):
    """Run a .tflite file and its Keras model on the same images, and compare the scores."""
    if Path(model).suffix == ".tflite":
        raise ValueError(
            f"verify takes the Keras model first and its .tflite file second: keras-mixer verify "
            f"{tflite} {model}. Got {model} first."
        )
    with quiet():
        from keras_mixer.tflite import verify

    file = file_of(model)
    keras_model = load(file, weights)
    classes = known_classes(keras_model, file, weights, labels)
    with quiet_but_for_left_out():
        report = verify(
            keras_model,
            tflite,
            measured_images(data, file, classes),
            threads=threads,
            layers=layers,
            cut_as=cut_as and str(cut_as),
            input_range=input_range,
            labels=labels or (None if isinstance(classes, int) else classes),
            task=task and str(task),
            untrusted=untrusted,
        )
    console.print(str(report), highlight=False)


def sensitivity(
    model: ModelName,
    recipe: Annotated[Recipe, typer.Option(help="The recipe to quantise with.")],
    data: ImageFiles,
    calibration: Calibration = None,
    count: Annotated[int, typer.Option(min=1, help="Number of images to use.")] = 64,
    weights: Weights = None,
    input_range: InputRange = None,
    task: Task = None,
):
    """List the error that each layer causes when it alone is quantised, the worst first.

    `keras-mixer export --keep-float LAYER` keeps a layer in float32.
    """
    with quiet():
        from keras_mixer.tflite import sensitivity

    keras_model = load(model, weights)
    with Progress(console=console, transient=True) as progress, quiet_but_for_left_out():
        losses = sensitivity(
            keras_model,
            str(recipe),
            data,
            calibration=calibration,
            count=count,
            progress=lambda layers: progress.track(layers, description="Layers"),
            input_range=input_range,
            task=task and str(task),
        )
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("layer", no_wrap=True)
    table.add_column("error", justify="right")
    table.add_column("same class", justify="right")
    for loss in losses:
        same = "" if loss.agreement is None else f"{loss.agreement:.2%}"
        table.add_row(printable(loss.layer), f"{loss.error:.2%}", same)
    console.print(table)


def benchmark(
    tflite: TfliteFile,
    threads: Threads = None,
    runs: Annotated[int, typer.Option(min=1, help="Number of timed runs.")] = 50,
):
    """Time a .tflite file, relative to this machine's peak matrix-multiplication throughput."""
    with quiet():
        from keras_mixer.tflite import benchmark

    with console.status(f"Timing {tflite}"), quiet():
        timing = benchmark(tflite, threads=threads, runs=runs)
    console.print(str(timing), highlight=False)


def c_array(
    tflite: Annotated[Path, typer.Argument(help="A .tflite file of recipe int8.")],
    output: Annotated[
        Path | None, typer.Option(help="The header to write; by default FILE.h.")
    ] = None,
    name: Annotated[
        str, typer.Option(help="What the names in the header begin with: NAME_data, NAME_ops.")
    ] = "model",
    overwrite: Overwrite = False,
):
    """Write a .tflite file as a C++ header, with its ops, for LiteRT for Microcontrollers."""
    output = output or tflite.with_suffix(".h")
    if output.exists() and tflite.exists() and output.samefile(tflite):
        raise ValueError(f"c-array would replace {tflite} itself; choose another --output.")
    check_new(output, overwrite)
    with quiet():
        from keras_mixer.tflite import c_array

        header = c_array(tflite, name)
    with whole_file(output, overwrite) as path:
        path.write_text(header, encoding="utf-8")
    console.print(f"{output}", soft_wrap=True, highlight=False)
