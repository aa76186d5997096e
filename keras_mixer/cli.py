"""`keras-mixer`: the command line, a thin face over the package's functions."""

import json
import os
import sys
import warnings
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from zipfile import BadZipFile

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from keras_mixer._accelerators import tpu_address, tpu_chips
from keras_mixer._backend import LOAD, cure
from keras_mixer._files import check_new, whole_file
from keras_mixer._quiet import quiet
from keras_mixer._text import left_out

app = typer.Typer(
    name="keras-mixer",
    help="All-MLP vision models in Keras: train one, export it to .tflite, check it, use it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(
    markup=False,  # a path may hold brackets
    # Below a notebook's `!` the terminal says that it is one, but moves no cursor.
    force_terminal=False if "JPY_PARENT_PID" in os.environ else None,
)

Recipe = StrEnum(
    "Recipe",
    ["float32", "float16", "dynamic_int8", "static_int8", "int8", "int16x8", "dynamic_int4"],
)
CutAs = StrEnum("CutAs", ["mediapipe"])
ModelName = Annotated[str, typer.Argument(help="A .keras file, a run's folder, or a model's name.")]
Weights = Annotated[
    str | None,
    typer.Option(help="For a model given by name: a release, such as imagenet1k, or a file."),
]
Dataset = Annotated[
    str | None,
    typer.Option(
        help="A name in TensorFlow Datasets, or a folder of one folder of pictures a class, or of "
        "train and test with those in them."
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        help="Where TensorFlow Datasets are, or will be; by default ~/tensorflow_datasets."
    ),
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
        help="With --device cpu: number of devices to divide the CPU into, a rehearsal for several "
        "TPU cores or GPUs.",
    ),
]
InputRange = Annotated[
    tuple[float, float] | None,
    typer.Option(
        help="What the model takes for black and for white, such as 0 255, if it does not say so."
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]
Labels = Annotated[
    Path | None,
    typer.Option(
        help="A text file with one class name a line; by default the model's own: in the .tflite "
        "file, beside the run's, or of the released weights."
    ),
]
TfliteFile = Annotated[Path, typer.Argument(help="A .tflite image classifier.")]
ImageFiles = Annotated[
    Path,
    typer.Option(
        help="A .npy of images, a .npz with 'images' and 'labels', a folder of pictures, or of "
        "one folder of pictures a class."
    ),
]
Calibration = Annotated[
    Path | None,
    typer.Option(
        help="For static_int8, int8 and int16x8: about a hundred images to read ranges from. A "
        ".npy of images, a .npz with 'images', or a folder of pictures."
    ),
]
KeepFloat = Annotated[
    list[str] | None,
    typer.Option(
        help="A layer that stays in float32, such as block_0/token_mlp/expand, or 'block_*'; may "
        "be repeated. `keras-mixer sensitivity` tells which are worth it."
    ),
]
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


@app.callback()
def prepare(context: typer.Context):
    wanted = context.invoked_subcommand in ("train", "evaluate") and (tpu_chips() or tpu_address())
    if not wanted:
        os.environ.setdefault(LOAD, "0")


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
def doctor(data_dir: DataDir = None):
    """Say what this machine can do, and what to install."""
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


@app.command()
def models(
    pattern: Annotated[str, typer.Argument(help="Which to list, such as 'Mixer*16'.")] = "*",
):
    """List the models: sizes, parameters with 1,000 classes, and released weights."""
    with quiet():
        from keras_mixer.models import BUILDERS, list_models

    names = list_models(pattern)
    if not names:
        raise ValueError(
            f"No model is called like {pattern!r}. There are {', '.join(list_models())}."
        )
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))  # fits 80 columns
    table.add_column("model", no_wrap=True)
    for size in BUILDERS[names[0]].sizes:
        table.add_column(size.replace("_", " "), justify="right")
    table.add_column("parameters", justify="right", no_wrap=True)
    table.add_column("released weights", min_width=12)
    for name in names:
        builder = BUILDERS[name]
        sizes = map(str, builder.sizes.values())
        table.add_row(name, *sizes, f"{builder.params:,}", ", ".join(builder.weights))
    console.print(table)


@app.command()
def train(
    recipe: Annotated[str, typer.Option(help="How to train; `keras-mixer recipes` lists them.")],
    output: Annotated[Path, typer.Option(help="The run's folder, for all that it writes.")],
    dataset: Dataset = None,
    task: Annotated[
        str | None,
        typer.Option(help="Instead of a dataset: a task of the literature, with its splits."),
    ] = None,
    model: Annotated[str, typer.Option(help="A model's name.")] = "MixerB16",
    weights: Weights = None,
    model_option: ModelOption = None,
    set: Annotated[
        list[str] | None,
        typer.Option(help="A recipe's field, such as epochs=10; may be repeated."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="The images to learn from.")] = None,
    held_out: Annotated[str | None, typer.Option(help="The images to measure on.")] = None,
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
        int | None, typer.Option(min=1, help="With several machines: how many.")
    ] = None,
    process: Annotated[
        int | None, typer.Option(min=0, help="With several machines: this one's number, from 0.")
    ] = None,
    steps_per_execution: Annotated[
        int | None,
        typer.Option(
            min=1, help="Updates before TensorFlow comes back to Python, at most: 32 on a TPU."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides all that is random.")] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in the folder, if there is one.")
    ] = False,
):
    """Train a model, and keep it and all that is needed to go on in a folder.

    SIGTERM and Ctrl-C keep the state before they end it. --resume goes on from there, or from what
    was kept last if the machine was simply taken away, to the same result.
    """
    with quiet():
        from keras_mixer import data, training

    chosen = training.recipe(recipe)
    if task:
        chosen = chosen.for_task(task)
    chosen = chosen.set(*set or ())
    build = training.starting_from(model, weights, *model_option or ())
    if (dataset is None) == (task is None):
        raise ValueError("train needs either --dataset or --task.")
    with quiet():
        found = training.strategy(
            device,
            replicas=replicas,
            tpu=tpu,
            coordinator=coordinator,
            processes=processes,
            process=process,
        )
        if task:
            images, measured = data.task(task, data_dir=data_dir)
        else:
            images, measured = data.load(dataset, split, held_out, data_dir=data_dir)
    training.train(
        build,
        images,
        measured,
        recipe=chosen,
        folder=output,
        strategy=found,
        seed=seed,
        resume=resume,
        steps_per_execution=steps_per_execution,
    )


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="A run's folder, a .keras file, or a model's name.")],
    dataset: Dataset = None,
    weights: Weights = None,
    split: Annotated[str | None, typer.Option(help="The images to measure on.")] = None,
    crop: Annotated[
        str | None,
        typer.Option(
            help="resize, resize_crop or resmall_crop; by default as the model was trained or "
            "released."
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images at a time.")] = 256,
    data_dir: DataDir = None,
    device: Device = "auto",
    replicas: Replicas = None,
    input_range: InputRange = None,
):
    """Measure a model on test images, each of them once: loss, top-1 and top-5.

    They are the test or validation split of the dataset. Of a folder without splits they are all
    pictures, or, if the run has learnt from that folder, those that it has held out.
    """
    with quiet():
        from keras_mixer import training
        from keras_mixer.images import Preprocessing, said
        from keras_mixer.training.run import record_of

    if dataset is None:
        raise ValueError("evaluate needs --dataset.")
    file = _model_file(Path(model))
    with quiet():
        found = training.strategy(device, replicas=replicas)
        run = record_of(file.parent) if file.suffix == ".keras" else None
        images = _for_tests(dataset, split, data_dir, run)
        if images.skipped:
            console.print(left_out(images.name, images.skipped), soft_wrap=True, highlight=False)
        with found.scope():
            keras_model = _load(file, weights)
            if run and input_range is None and said(keras_model) is None:
                input_range = Preprocessing(**run["preprocessing"]).input_range
                crop = crop or run["recipe"].evaluation_crop
            result = training.evaluate(
                keras_model, images, crop=crop, batch_size=batch_size, input_range=input_range
            )
    numbers = {
        key: f"{value:,}" if key == "images" else f"{value:.4f}" for key, value in result.items()
    }
    console.print(", ".join(f"{key} {text}" for key, text in numbers.items()))


@app.command()
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


@app.command()
def preflight(
    model: ModelName,
    tpu: Annotated[str, typer.Option(help="A slice, such as v5e-1, v3-8 or v6e-8.")],
    batch: Annotated[
        int | None, typer.Option(min=1, help="Images in a step, over all cores.")
    ] = None,
    find_batch: Annotated[
        bool, typer.Option("--find-batch", help="Find the largest batch that fits.")
    ] = False,
    train: Annotated[
        bool, typer.Option("--train/--predict", help="A train step, or the forward pass.")
    ] = True,
    optimizer: Annotated[
        str, typer.Option(help="One of Keras's, by name: adamw, sgd, lamb, ...")
    ] = "adamw",
    precision: Annotated[
        str | None,
        typer.Option(help="For a model by name; mixed_bfloat16 unless float32 is asked for."),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(min=1, help="For a model by name: side of its images in pixels.")
    ] = None,
    model_option: ModelOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
):
    """Compile a model for a TPU that you do not have: does it fit, how fast, where does time go?

    Exits with 3 if it does not fit. Needs the extra [preflight], and no network.
    """
    from keras_mixer._text import option
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
            _model_file(Path(model)),
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


@app.command()
def export(
    model: ModelName,
    recipe: Annotated[
        Recipe,
        typer.Option(
            help="How numbers are stored and computed: dynamic_int8 for CPUs, float16 for GPUs, "
            "int8 for NPUs."
        ),
    ] = "float32",
    output: Annotated[
        Path | None, typer.Option(help="The folder for what it writes; by default MODEL_tflite.")
    ] = None,
    labels: Labels = None,
    calibration: Calibration = None,
    keep_float: KeepFloat = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Test images, to state the file's accuracy in the card: a folder of one folder of "
            "pictures a class, or a .npz with 'images' and 'labels'."
        ),
    ] = None,
    weights: Weights = None,
    input_range: InputRange = None,
    name: Annotated[str | None, typer.Option(help="What to call the model in the file.")] = None,
    description: Annotated[str, typer.Option(help="What it does, in a sentence.")] = "",
    version: Annotated[str, typer.Option(help="The model's version.")] = "",
    author: Annotated[str, typer.Option(help="Who made it.")] = "",
    license: Annotated[str, typer.Option(help="Its licence, such as Apache-2.0.")] = "",
    overwrite: Overwrite = False,
):
    """Write a folder for an app: a .tflite file that explains itself, and how to use it.

    It gets the file, the classes' names, an image with the scores that the file gives for it, to
    check the app with, and a model card. Exports with other recipes go into the same folder.
    """
    output = output or Path(f"{model.removesuffix('.keras').rstrip('/')}_tflite")
    check_new(output / f"model_{recipe}.tflite", overwrite)
    with quiet():
        from keras_mixer import tflite

    file = _model_file(Path(model))
    keras_model = _load(file, weights)
    if weights is None and file.suffix != ".keras":
        console.print(f"{model} starts with random weights: good for timing, not for classifying.")
    with (
        console.status(f"Converting {keras_model.name} with recipe {recipe}"),
        _quiet_but_for_left_out(),
    ):
        written = tflite.export(
            keras_model,
            output,
            str(recipe),
            labels=labels or _class_names(file, weights, keras_model),
            calibration=calibration,
            keep_float=keep_float or (),
            input_range=input_range,
            data=data,
            name=name,
            description=description,
            version=version,
            author=author,
            license=license,
            overwrite=overwrite,
        )
    console.print(f"{written}: {written.stat().st_size / 1e6:.2f} MB, {recipe}", soft_wrap=True)


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="Any .tflite file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
):
    """Say what is in a .tflite file: ends, metadata, ops, what XNNPACK takes, how it is stored."""
    with quiet():
        from keras_mixer.tflite import inspect

        found = inspect(file)
    as_text = json.dumps(found.as_dict(), indent=2, ensure_ascii=False)
    console.print(as_text if as_json else f"{file}: {found}", soft_wrap=True, highlight=False)


@app.command()
def verify(
    model: Annotated[str, typer.Argument(help="The model that the .tflite file came from.")],
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
            help="How pictures are cut to size: mediapipe, as its image classifier and most apps "
            "do; by default as the model was trained and evaluated.",
        ),
    ] = None,
    input_range: InputRange = None,
):
    """Run a .tflite file and its Keras model over the same images and compare the answers."""
    with quiet():
        from keras_mixer.tflite import verify

    keras_model = _load(model, weights)
    with _quiet_but_for_left_out():
        report = verify(
            keras_model,
            tflite,
            data,
            threads=threads,
            layers=layers,
            cut_as=cut_as and str(cut_as),
            input_range=input_range,
        )
    console.print(str(report), highlight=False)


@app.command()
def sensitivity(
    model: ModelName,
    recipe: Annotated[Recipe, typer.Option(help="What to quantise to.")],
    data: ImageFiles,
    calibration: Calibration = None,
    count: Annotated[int, typer.Option(min=1, help="How many of the images to use.")] = 64,
    weights: Weights = None,
    input_range: InputRange = None,
):
    """List what each layer loses when it alone is quantised, the worst first.

    Export with --keep-float LAYER leaves one in float32.
    """
    with quiet():
        from keras_mixer.tflite import sensitivity

    keras_model = _load(model, weights)
    with Progress(console=console, transient=True) as progress, _quiet_but_for_left_out():
        losses = sensitivity(
            keras_model,
            str(recipe),
            data,
            calibration=calibration,
            count=count,
            progress=lambda layers: progress.track(layers, description="Layers"),
            input_range=input_range,
        )
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("layer", no_wrap=True)
    table.add_column("error", justify="right")
    table.add_column("same class", justify="right")
    for loss in losses:
        table.add_row(loss.layer, f"{loss.error:.2%}", f"{loss.agreement:.2%}")
    console.print(table)


@app.command()
def benchmark(
    tflite: TfliteFile,
    threads: Threads = None,
    runs: Annotated[int, typer.Option(min=1, help="How many runs to count.")] = 50,
):
    """Time a .tflite file beside this machine's own roof: large products of the same type."""
    with quiet():
        from keras_mixer.tflite import benchmark

    with console.status(f"Timing {tflite}"), quiet():
        timing = benchmark(tflite, threads=threads, runs=runs)
    console.print(str(timing), highlight=False)


@app.command()
def predict(
    model: Annotated[
        Path,
        typer.Argument(help="A .tflite file, a .keras file, a run's folder, or a model's name."),
    ],
    pictures: Annotated[list[Path], typer.Argument(help="Pictures to classify.")],
    weights: Weights = None,
    labels: Labels = None,
    top: Annotated[int, typer.Option(min=1, help="How many classes to show.")] = 5,
    threads: Threads = None,
    input_range: InputRange = None,
):
    """Classify pictures with a .tflite file or a trained model."""
    with quiet():
        from keras_mixer.tflite import Classifier

    file = _model_file(model)
    if file.suffix == ".tflite" and weights is not None:
        raise ValueError(f"{file} has weights of its own; --weights goes with a model's name.")
    source = file if file.suffix == ".tflite" else _load(file, weights)
    with quiet():
        labels = labels or _class_names(file, weights, source)
        classifier = Classifier(source, labels=labels, threads=threads, input_range=input_range)
        answers = [(path, classifier(path, top=top)) for path in pictures]
    for path, predictions in answers:
        console.print(path, soft_wrap=True)
        table = Table("class")
        table.add_column("score", justify="right")
        for prediction in predictions:
            table.add_row(prediction.label, f"{prediction.score:.4f}")
        console.print(table)


@app.command("show-weights")
def show_weights(
    model: ModelName,
    blocks: Annotated[str, typer.Option(help="Numbers of the blocks to draw.")] = "0,1,2",
    units: Annotated[int, typer.Option(min=2, help="How many hidden units of each.")] = 128,
    weights: Weights = None,
    output: Annotated[
        Path | None, typer.Option(help="The picture to write; by default MODEL_weights.png.")
    ] = None,
    overwrite: Overwrite = False,
):
    """Draw token-mixing weights as maps over the image, as the Mixer paper does."""
    output = output or Path(f"{Path(model).with_suffix('')}_weights.png")
    check_new(output, overwrite)
    try:
        numbers = [int(number) for number in blocks.split(",")]
    except ValueError:
        raise ValueError(f"--blocks takes numbers like 0,1,2; got {blocks!r}.") from None
    keras_model = _load(model, weights)
    from keras_mixer.visualize import show_weights

    figure = show_weights(keras_model, numbers, units=units)
    with whole_file(output, overwrite) as path:
        figure.savefig(path, dpi=150)
    console.print(output, soft_wrap=True)


@contextmanager
def _quiet_but_for_left_out():
    """As `quiet`; what could not be read and was left out is said afterwards."""
    from keras_mixer.data.folders import LeftOutWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LeftOutWarning)
        with quiet():
            yield
    for warning in caught:
        if issubclass(warning.category, LeftOutWarning):
            console.print(str(warning.message), soft_wrap=True, highlight=False)


def _model_file(path):
    """The file of a model: itself, or the best of a run in a folder."""
    if not path.is_dir():
        return path
    if not (path / "best.keras").is_file():
        raise FileNotFoundError(f"{path} holds no best.keras: it is no run, or a very young one.")
    return path / "best.keras"


def _for_tests(dataset, split, data_dir, run):
    """The images to measure a model on, numbered as its run has numbered the classes."""
    from keras_mixer import data
    from keras_mixer.data.sources import BUT

    if run and split is None:
        learnt, held_out, _ = run["images"].partition(BUT)
        if held_out and Path(learnt).resolve() == Path(dataset).resolve():
            return data.load(dataset)[1]
    classes = run["classes"] if run and Path(dataset).is_dir() else None
    images = data.load_test(dataset, split, data_dir=data_dir, classes=classes)
    if images is None:
        raise ValueError(f"{dataset} has no split that is known to be for tests; pass --split.")
    return images


def _class_names(file, weights, model):
    """What a run calls its classes, or what released weights do; None where nobody says."""
    from keras_mixer.imagenet import CLASSES, classes
    from keras_mixer.models import BUILDERS
    from keras_mixer.weights import Shipped

    if file.suffix == ".keras":
        beside = file.with_name("labels.txt")
        return beside if beside.is_file() else None
    release = getattr(BUILDERS.get(str(file)), "weights", {}).get(weights)
    if isinstance(release, Shipped):
        return release.labels
    if release is None or model.output_shape[-1] not in CLASSES:
        return None
    return [name for _, name in classes(model.output_shape[-1])]


def _load(model, weights=None):
    """The Keras model in a `.keras` file or a run's folder, or a new one by name."""
    with quiet():
        import keras

        from keras_mixer.models import BUILDERS, create_model
        from keras_mixer.weights import fetch

    path = _model_file(Path(model))
    if path.suffix != ".keras":
        releases = getattr(BUILDERS.get(str(model)), "weights", {})
        if weights in releases:
            fetch(releases[weights])  # here, where its progress can be seen
        with quiet():
            return create_model(str(model), weights=weights)
    if weights is not None:
        raise ValueError(f"{path} has weights of its own; --weights goes with a model's name.")
    if not path.is_file():
        raise FileNotFoundError(f"There is no Keras model at {str(path)!r}.")
    try:
        with quiet():
            return keras.saving.load_model(path, compile=False)
    except (ValueError, TypeError, KeyError, OSError, BadZipFile) as error:
        raise ValueError(f"{path} does not load as a Keras model: {error}") from None
