"""Commands that train and evaluate models: train, evaluate and recipes."""

from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.table import Table

from keras_mixer._files import check_folder, check_new
from keras_mixer._quiet import quiet
from keras_mixer._text import left_out
from keras_mixer.cli.options import (
    DataDir,
    Dataset,
    Device,
    InputRange,
    Labels,
    ModelOption,
    Overwrite,
    Replicas,
    Weights,
)
from keras_mixer.cli.output import (
    console,
    file_of,
    known_classes,
    load,
    quiet_but_for_left_out,
    say_which,
)


def train(
    recipe: Annotated[str, typer.Option(help="How to train; `keras-mixer recipes` lists them.")],
    output: Annotated[Path, typer.Option(help="The run's folder, to which everything is written.")],
    dataset: Dataset = None,
    task: Annotated[
        str | None,
        typer.Option(help="Instead of a dataset: a task from the literature, with its splits."),
    ] = None,
    model: Annotated[str, typer.Option(help="A model's name.")] = "MixerB16",
    weights: Annotated[
        str | None,
        typer.Option(
            help="What to start from: a release, such as imagenet1k, a file, or a run's folder."
        ),
    ] = None,
    model_option: ModelOption = None,
    set: Annotated[
        list[str] | None,
        typer.Option(help="A recipe's field, such as epochs=10; may be repeated."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="The split to train on.")] = None,
    held_out: Annotated[
        str | None,
        typer.Option(
            help="The split to choose the best model by; by default the validation split."
        ),
    ] = None,
    validation: Annotated[
        float | None,
        typer.Option(
            help="The share of the training images, such as 0.2, to choose the best model by "
            "instead; 0 for none. Without a validation split it is a tenth of each class."
        ),
    ] = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    replicas: Replicas = None,
    tpu: Annotated[
        str | None, typer.Option(help="Name or address of a TPU that is not in this machine.")
    ] = None,
    coordinator: Annotated[
        str | None, typer.Option(help="With several machines: ADDRESS:PORT of the first.")
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="With several machines: their number.")
    ] = None,
    process: Annotated[
        int | None, typer.Option(min=0, help="With several machines: number of this one, from 0.")
    ] = None,
    steps_per_execution: Annotated[
        int | None,
        typer.Option(
            min=1, help="Maximum steps per compiled call (default: 32 on a TPU, 1 elsewhere)."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of all random numbers.")] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume the run in the folder, if there is one.")
    ] = False,
):
    """Train a model; save it, and the state from which to resume, to a folder.

    SIGTERM and Ctrl-C save the state before they end the process. --resume continues from the last
    saved state, also after a crash, and ends at the same result.
    """
    check_folder(output)
    with quiet():
        from keras_mixer import data, training

    chosen = training.recipe(recipe)
    if task:
        chosen = chosen.for_task(task)
    chosen = chosen.set(*set or ())
    build = training.starting_from(model, weights, *model_option or ())
    if (dataset is None) == (task is None):
        got = "neither" if task is None else "both"
        raise ValueError(f"train needs either --dataset or --task; got {got}.")
    if task and (split, held_out, validation) != (None, None, None):
        raise ValueError(
            "train takes no --split, --held-out or --validation with --task, which has its own."
        )
    if weights is not None:
        say_which(weights)
    with quiet():
        found = training.strategy(
            device,
            replicas=replicas,
            tpu=tpu,
            coordinator=coordinator,
            processes=processes,
            process=process,
        )
    with quiet_but_for_left_out():
        if task:
            sources = data.Splits(*data.task(task, data_dir=data_dir), None)
        else:
            sources = training.training_sources(
                dataset,
                split,
                held_out,
                validation=validation,
                data_dir=data_dir,
                run=output if resume else None,
            )
    training.train(
        build,
        sources.train,
        sources.validation,
        test=sources.test,
        recipe=chosen,
        folder=output,
        strategy=found,
        seed=seed,
        resume=resume,
        steps_per_execution=steps_per_execution,
    )


def evaluate(
    model: Annotated[str, typer.Argument(help="A run's folder, a .keras file, or a model's name.")],
    dataset: Dataset = None,
    weights: Weights = None,
    split: Annotated[str | None, typer.Option(help="The split to evaluate on.")] = None,
    crop: Annotated[
        str | None,
        typer.Option(
            help="resize, resize_crop or resmall_crop; by default that of the model's training or "
            "release."
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images per batch.")] = 256,
    data_dir: DataDir = None,
    device: Device = "auto",
    replicas: Replicas = None,
    labels: Labels = None,
    input_range: InputRange = None,
    confusion: Annotated[
        Path | None,
        typer.Option(
            help="A CSV file to write: for each class how many of its images were taken for each "
            "class. The worst classes are printed, too."
        ),
    ] = None,
    overwrite: Overwrite = False,
):
    """Evaluate a model on test images, each of them once: loss, top-1 and top-5.

    The images are the test or validation split of the dataset. Of a folder without splits they are
    all pictures, or, if the run was trained on that folder, those that it held out.
    """
    with quiet():
        from keras_mixer import training

    if dataset is None:
        raise ValueError("evaluate needs --dataset.")
    if confusion:
        check_new(confusion, overwrite)
    file = file_of(model)
    with quiet():
        found = training.strategy(device, replicas=replicas)
    with found.scope():
        keras_model = load(file, weights)
        with quiet():
            images = training.evaluation_source(
                dataset,
                split,
                data_dir=data_dir,
                run=file,
                classes=known_classes(keras_model, file, weights, labels),
            )
            measure = training.confusion if confusion else training.evaluate
            found = measure(
                keras_model,
                images,
                crop=crop,
                batch_size=batch_size,
                input_range=input_range,
                run=file,
            )
    if images.skipped:
        console.print(left_out(images.name, images.skipped), soft_wrap=True, highlight=False)
    if confusion:
        found.write(confusion, overwrite=overwrite)
        worst = ", ".join(found.worst()) or "none"
        console.print(f"Classes with errors, the worst first: {worst}", soft_wrap=True)
    result = found.measured if confusion else found
    numbers = {
        key: f"{value:,}" if key == "images" else f"{value:.4f}" for key, value in result.items()
    }
    console.print(", ".join(f"{key} {text}" for key, text in numbers.items()))


def recipes():
    """List the recipes and the tasks for `keras-mixer train`."""
    with quiet():
        from keras_mixer.data import TASKS
        from keras_mixer.training import RECIPES

    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    for heading in ("recipe", "length", "batch", "source"):
        table.add_column(heading)
    for name, recipe in RECIPES.items():
        length = f"{recipe.epochs:g} epochs" if recipe.epochs else f"{recipe.steps:,} steps"
        table.add_row(name, length, f"{recipe.batch_size:,}", recipe.source)
    console.print(table)
    console.print(f"Tasks: {', '.join(TASKS)}")
