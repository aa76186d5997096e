"""`keras-mixer`: the command line, a thin face over the package's functions."""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from zipfile import BadZipFile

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from keras_mixer._backend import cure
from keras_mixer._files import check_new, whole_file
from keras_mixer._quiet import quiet

app = typer.Typer(
    name="keras-mixer",
    help="All-MLP vision models in Keras: train one, export it to .tflite, check it, use it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(markup=False)  # a path may hold brackets

Recipe = StrEnum("Recipe", ["float32", "float16", "dynamic_int8", "int8"])
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]
TfliteFile = Annotated[Path, typer.Argument(help="A .tflite image classifier.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="CPU threads; by default one a core, four at most.")
]


def main():
    """The console script: a user's mistake is one line on standard error and exit code 1."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        app()
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        message = cure(error) if isinstance(error, ImportError) else str(error)
        stderr = Console(stderr=True, soft_wrap=True, highlight=False)
        stderr.print("[bold red]Error:[/]", escape(message))
        sys.exit(1)


@app.command()
def quickstart(
    output: Annotated[Path, typer.Option(help="Folder for what it writes.")] = Path("quickstart"),
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 40,
    seed: Annotated[int, typer.Option(help="Decides initial weights, order and mixing.")] = 0,
    overwrite: Overwrite = False,
):
    """Train a small Mixer on handwritten digits, export it to .tflite and check every file.

    Takes a minute or two on a laptop and needs no download.
    """
    with quiet():
        from keras_mixer.quickstart import quickstart

    quickstart(output, epochs=epochs, seed=seed, overwrite=overwrite, console=console)


@app.command()
def models(
    pattern: Annotated[str, typer.Argument(help="Which to list, such as 'Mixer*16'.")] = "*",
):
    """List the models: sizes, and parameters at 224 x 224 and 1,000 classes."""
    with quiet():
        from keras_mixer.models import BUILDERS, list_models

    names = list_models(pattern)
    if not names:
        raise ValueError(
            f"No model is called like {pattern!r}. There are {', '.join(list_models())}."
        )
    table = Table("model")
    for size in BUILDERS[names[0]].sizes:
        table.add_column(size.replace("_", " "), justify="right")
    table.add_column("parameters", justify="right", no_wrap=True)
    for name in names:
        builder = BUILDERS[name]
        table.add_row(name, *map(str, builder.sizes.values()), f"{builder.params:,}")
    console.print(table)


@app.command()
def export(
    model: Annotated[str, typer.Argument(help="A .keras file, or a model's name.")],
    recipe: Annotated[
        Recipe,
        typer.Option(
            help="How numbers are stored and computed: dynamic_int8 for CPUs, float16 for GPUs, "
            "int8 for NPUs."
        ),
    ] = "float32",
    output: Annotated[
        Path | None, typer.Option(help="The file to write; by default MODEL_RECIPE.tflite.")
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="For int8: about a hundred images to read ranges from. A .npy of images, a .npz "
            "with 'images', or a folder of pictures."
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="A .weights.h5 file, for a model given by name.")
    ] = None,
    overwrite: Overwrite = False,
):
    """Convert a model to a .tflite file."""
    output = output or Path(f"{Path(model).with_suffix('')}_{recipe}.tflite")
    check_new(output, overwrite)
    with quiet():
        from keras_mixer.tflite import convert
        from keras_mixer.tflite._data import read
        from keras_mixer.tflite.convert import image_shape

        keras_model = _load(model, weights)
    images = calibration and read(calibration, image_shape(keras_model, "export"))
    if weights is None and Path(model).suffix != ".keras":
        console.print(f"{model} starts with random weights: good for timing, not for classifying.")
    with console.status(f"Converting {keras_model.name} with recipe {recipe}"), quiet():
        content = convert(keras_model, str(recipe), calibration=images)
    with whole_file(output, overwrite) as path:
        path.write_bytes(content)
    console.print(f"{output}: {len(content) / 1e6:.2f} MB, {recipe}", soft_wrap=True)


@app.command()
def verify(
    model: Annotated[Path, typer.Argument(help="The .keras file that the .tflite came from.")],
    tflite: TfliteFile,
    data: Annotated[
        Path,
        typer.Option(
            help="A .npy of images, a .npz with 'images' and 'labels', a folder of pictures, or of "
            "one folder of pictures a class."
        ),
    ],
    threads: Threads = None,
):
    """Run a .tflite file and its Keras model over the same images and compare the answers."""
    with quiet():
        from keras_mixer.tflite import verify
        from keras_mixer.tflite._data import read
        from keras_mixer.tflite.convert import image_shape

        keras_model = _load(model)
        images = read(data, image_shape(keras_model, "verify"))
        report = verify(keras_model, tflite, images, threads=threads)
    console.print(str(report))


@app.command()
def predict(
    tflite: TfliteFile,
    pictures: Annotated[list[Path], typer.Argument(help="Pictures to classify.")],
    labels: Annotated[
        Path | None, typer.Option(help="A text file with one class name a line.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many classes to show.")] = 5,
    threads: Threads = None,
):
    """Classify pictures with a .tflite file."""
    with quiet():
        from keras_mixer.tflite import Classifier

        classifier = Classifier(tflite, labels=labels, threads=threads)
        answers = [(path, classifier(path, top=top)) for path in pictures]
    for path, predictions in answers:
        console.print(path, soft_wrap=True)
        table = Table("class")
        table.add_column("score", justify="right")
        for prediction in predictions:
            table.add_row(prediction.label, f"{prediction.score:.4f}")
        console.print(table)


def _load(model, weights=None):
    """The Keras model in a `.keras` file, or a new one by name."""
    import keras

    from keras_mixer.models import create_model

    path = Path(model)
    if path.suffix != ".keras":
        return create_model(str(model), weights=weights)
    if weights is not None:
        raise ValueError(f"{model} has weights of its own; --weights goes with a model's name.")
    if not path.is_file():
        raise FileNotFoundError(f"There is no Keras model at {str(model)!r}.")
    try:
        return keras.saving.load_model(path, compile=False)
    except (ValueError, TypeError, KeyError, OSError, BadZipFile) as error:
        raise ValueError(f"{model} does not load as a Keras model: {error}") from None
