"""Commands to start with, and about machines: quickstart, doctor and preflight."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from keras_mixer._quiet import quiet
from keras_mixer._runs import model_file
from keras_mixer._text import option
from keras_mixer.cli.options import DataDir, ModelName, ModelOption, Overwrite
from keras_mixer.cli.output import console


def quickstart(
    output: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("quickstart"),
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 40,
    seed: Annotated[int, typer.Option(help="Seed of all random numbers.")] = 0,
    overwrite: Overwrite = False,
):
    """Train a small Mixer on handwritten digits, export it to .tflite and check every file.

    Takes a minute or two on a laptop and needs no download.
    """
    with quiet():
        from keras_mixer.quickstart import quickstart

    quickstart(output, epochs=epochs, seed=seed, overwrite=overwrite, console=console)


def doctor(data_dir: DataDir = None):
    """Show what this machine can do, and what to install."""
    from keras_mixer.doctor import BAD, GOOD, NOTE, doctor

    marks = {GOOD: "[green]ok[/]", NOTE: "[yellow]note[/]", BAD: "[bold red]problem[/]"}
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    table.add_column(overflow="fold")
    findings = doctor(data_dir)
    for found in findings:
        text = escape(found.text) + (f"\n-> {escape(found.cure)}" if found.cure else "")
        table.add_row(marks[found.state], found.what, text)
    Console(highlight=False).print(table)
    problems = sum(found.state == BAD for found in findings)
    if problems:
        raise typer.Exit(1)


def preflight(
    model: ModelName,
    tpu: Annotated[str, typer.Option(help="A slice, such as v5e-1, v3-8 or v6e-8.")],
    batch: Annotated[
        int | None, typer.Option(min=1, help="Images per step, over all cores.")
    ] = None,
    find_batch: Annotated[
        bool, typer.Option("--find-batch", help="Find the largest batch that fits.")
    ] = False,
    train: Annotated[
        bool, typer.Option("--train/--predict", help="A train step, or the forward pass.")
    ] = True,
    optimizer: Annotated[
        str, typer.Option(help="Name of a Keras optimizer: adamw, sgd, lamb, ...")
    ] = "adamw",
    precision: Annotated[
        str | None,
        typer.Option(help="For a model by name: its dtype policy, by default mixed_bfloat16."),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(min=1, help="For a model by name: side of its images in pixels.")
    ] = None,
    model_option: ModelOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
):
    """Compile a model for a TPU that this machine need not have: memory, speed, costliest ops.

    Exits with code 3 if the model does not fit. Needs the extra "preflight", and no network.
    """
    from keras_mixer.tpu import preflight

    if (batch is None) != find_batch:
        raise ValueError("preflight needs either --batch or --find-batch.")
    stderr = Console(stderr=True, markup=False, highlight=False)
    with stderr.status("") as status:

        def progress(doing):
            if stderr.is_terminal:
                status.update(doing)
            else:
                stderr.print(doing)

        found = preflight(
            model_file(model),
            tpu,
            batch,
            train=train,
            optimizer=optimizer,
            precision=precision,
            image_size=image_size,
            options=dict(map(option, model_option or ())),
            progress=progress,
        )
    text = json.dumps(found.as_dict(), indent=2) if as_json else str(found)
    console.print(text, soft_wrap=True, highlight=False)
    if not found.fits:
        raise typer.Exit(3)
