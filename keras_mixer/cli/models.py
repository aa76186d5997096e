"""Commands that list, use and show models: models, predict and show-weights."""

from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.table import Table

from keras_mixer._files import check_new, whole_file
from keras_mixer._quiet import quiet
from keras_mixer._text import did_you_mean, listed, printable
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
    family: Annotated[
        str | None, typer.Option(help="Only the models of an architecture, such as g_mlp.")
    ] = None,
    max_params: Annotated[
        float | None, typer.Option(min=0, help="Only models of at most so many million parameters.")
    ] = None,
    max_gmacs: Annotated[
        float | None,
        typer.Option(min=0, help="Only models of at most so many billion multiplications."),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(min=1, help="Only models whose weights fit square images of this side."),
    ] = None,
):
    """List the models: parameters with 1,000 classes, cost, accuracy and released weights."""
    with quiet():
        from keras_mixer.models import ARCHITECTURES, BUILDERS, list_models

    if family is not None and family not in ARCHITECTURES:
        hint = did_you_mean(family, ARCHITECTURES) or f"There are {', '.join(ARCHITECTURES)}."
        raise ValueError(f"There is no architecture called {family!r}. {hint}")
    names = list_models(pattern)
    if not names:
        inside = list_models(f"*{pattern}*")
        cure = f"'*{pattern}*' matches" if inside else "There are"
        raise ValueError(
            f"No model's name matches {pattern!r}. {cure} {', '.join(inside or list_models())}."
        )
    builders = [
        builder
        for builder in map(BUILDERS.get, names)
        if family in (None, builder.architecture.name)
        and (max_params is None or builder.params <= max_params * 1e6)
        and (max_gmacs is None or builder.macs <= max_gmacs * 1e9)
        and (image_size is None or _fits(builder.image_sizes, image_size))
    ]
    if not builders:
        asked = {
            f"is in {family}": family,
            f"has at most {max_params} million parameters": max_params,
            f"has at most {max_gmacs} GMACs": max_gmacs,
            f"has weights that fit images of {image_size} x {image_size}": image_size,
        }
        wanted = listed(words for words, value in asked.items() if value is not None)
        who = "No model" if names == list_models() else f"None of the models {listed(names)}"
        raise ValueError(f"{who} {wanted}. Leave out an option.")
    console.print(_table(builders))
    others = sorted({builder.top1[1] for builder in builders if isinstance(builder.top1, tuple)})
    star = f" * also trained with {listed(others)}." if others else ""
    console.print(
        "GMACs: billion multiply-accumulate operations for an image. top-1: accuracy on "
        f"ImageNet-1k in percent, as published.{star} images: the sides of square images that "
        "weights fit, as they are or by keras_mixer.resize; 'k' stands for multiples."
    )


def _fits(sizes, side):
    """Whether a builder's `image_sizes` have square images of a side."""
    if sizes == "any":
        return True
    number, *multiples = sizes.split()
    return side % int(number) == 0 if multiples else side == int(number)


def _table(builders):
    """A row for each model; it fits 80 columns."""
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    for column in "family", "model":
        table.add_column(column, no_wrap=True)
    for column in "parameters", "GMACs", "top-1", "images":
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("released weights", min_width=12)
    family = None
    for builder in builders:
        before, family = family, builder.architecture.name
        table.add_row(
            family if family != before else "",
            builder.__name__,
            f"{builder.params:,}",
            f"{builder.macs / 1e9:.2f}",
            _accuracy(builder.top1),
            builder.image_sizes,
            ", ".join(builder.releases),
        )
    return table


def _accuracy(top1):
    """A builder's `top1` as a cell; a star stands for other images than ImageNet-1k's."""
    if top1 is None:
        return ""
    return f"*{top1[0]:.1f}" if isinstance(top1, tuple) else f"{top1:.1f}"


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
