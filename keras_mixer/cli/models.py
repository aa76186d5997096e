"""Commands that list, use and show models: models, predict and show-weights."""

from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.table import Table

from keras_mixer._files import check_new, whole_file
from keras_mixer._quiet import quiet
from keras_mixer._text import printable
from keras_mixer.cli.errors import is_mistake, report
from keras_mixer.cli.options import (
    InputRange,
    Labels,
    ModelName,
    Overwrite,
    Threads,
    Untrusted,
    Weights,
)
from keras_mixer.cli.output import beside, console, file_of, load


def models(
    pattern: Annotated[str, typer.Argument(help="The names to list, such as 'Mixer*16'.")] = "*",
):
    """List the models: sizes, parameters with 1,000 classes, and released weights."""
    with quiet():
        from keras_mixer.models import ARCHITECTURES, list_models

    names = list_models(pattern)
    if not names:
        raise ValueError(
            f"No model's name matches {pattern!r}. There are {', '.join(list_models())}."
        )
    for architecture in ARCHITECTURES.values():
        builders = [builder for name, builder in architecture.variants.items() if name in names]
        if builders:
            console.print(_table(architecture, builders))


def _table(architecture, builders):
    """The rows of an architecture's table; it fits 80 columns."""
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("model", no_wrap=True)
    for size in architecture.sizes:
        table.add_column(size.name.replace("_", " "), justify="right")
    table.add_column("parameters", justify="right", no_wrap=True)
    table.add_column("released weights", min_width=12)
    for builder in builders:
        sizes = map(str, builder.sizes.values())
        releases = ", ".join(builder.releases)
        table.add_row(builder.__name__, *sizes, f"{builder.params:,}", releases)
    return table


def predict(
    model: Annotated[
        Path,
        typer.Argument(help="A .tflite file, a .keras file, a run's folder, or a model's name."),
    ],
    pictures: Annotated[list[Path], typer.Argument(help="Pictures to classify.")],
    weights: Weights = None,
    labels: Labels = None,
    top: Annotated[int, typer.Option(min=1, help="Number of classes to show.")] = 5,
    threads: Threads = None,
    input_range: InputRange = None,
    untrusted: Untrusted = False,
):
    """Classify pictures with a .tflite file or a trained model.

    A picture that cannot be read is named, and the others are classified; the exit code is then 1.
    """
    with quiet():
        from keras_mixer import loading
        from keras_mixer.tflite import Classifier
        from keras_mixer.tflite.file.labels import check_own

    file = file_of(model)
    if file.suffix == ".tflite" and weights is not None:
        raise ValueError(f"{file} has weights of its own; --weights goes with a model's name.")
    source = file
    if file.suffix != ".tflite":
        source = load(file, weights)
        count = source.outputs[0].shape[-1]
        own = loading.class_names(file, weights, count=count)
        check_own(labels, own, str(model))
        labels = labels or own
    with quiet():
        classifier = Classifier(
            source,
            labels=labels,
            threads=threads,
            input_range=input_range,
            untrusted=untrusted,
        )

    wrong = 0
    for path in pictures:
        try:
            with quiet():
                predictions = classifier(path, top=top)
        except (OSError, ValueError) as error:
            if len(pictures) == 1 or not is_mistake(error):
                raise
            report(error)
            wrong += 1
            continue
        console.print(path, soft_wrap=True)
        table = Table("class")
        table.add_column("score", justify="right")
        for prediction in predictions:
            table.add_row(printable(prediction.label), f"{prediction.score:.4f}")
        console.print(table)
    if wrong:
        raise ValueError(f"{wrong} of {len(pictures)} pictures have no answer, see above.")


def show_weights(
    model: ModelName,
    blocks: Annotated[str, typer.Option(help="Numbers of the blocks.")] = "0,1,2",
    units: Annotated[int, typer.Option(min=2, help="Number of hidden units of each block.")] = 128,
    weights: Weights = None,
    output: Annotated[
        Path | None, typer.Option(help="The picture to write; by default MODEL_weights.png.")
    ] = None,
    overwrite: Overwrite = False,
):
    """Draw token-mixing weights as maps over the image, as the Mixer paper does."""
    output = output or beside(model, "_weights.png")
    check_new(output, overwrite)
    try:
        numbers = [int(number) for number in blocks.split(",")]
    except ValueError:
        raise ValueError(f"--blocks takes numbers like 0,1,2; got {blocks!r}.") from None
    keras_model = load(model, weights)
    from keras_mixer.visualize import show_weights

    figure = show_weights(keras_model, numbers, units=units)
    with whole_file(output, overwrite) as path:
        figure.savefig(path, dpi=150)
    console.print(output, soft_wrap=True)
