"""Instructions of an inference on ARM CPUs, and the accuracy of float16 arithmetic there.

    .ci/tools/arm tools/arm
    KERAS_MIXER_TOOLS=tools python -m benchmarks.arm --data-dir ../shared/tfds

QEMU emulates the CPUs, one thread, so time means nothing here. The number of instructions is the
same in each run; how long one takes depends on the CPU, so compare it only among files on one CPU.
MixerTi4 takes 32 x 32 pixels and has the weights that come with the package, the others take
224 x 224 and have random ones, which does not change the instructions. "dynamic_int8 with float16"
is a file with `float16_arithmetic=True`.

In `results/arm.csv` numbers are millions of instructions of a file's first inference, which has up
to 0.1 % more than the others. `ratio` is their number over that of float32 on the same CPU. The
kinds are vector instructions. In `results/arm_accuracy.csv` both files have been run on the
emulated cortex-a76 on the first test images of CIFAR-10.
"""

import csv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks import measure
from benchmarks.emulator import CPUS, count, run

# Their weights; None for random ones.
MODELS = {"MixerTi4": "cifar10", "MixerS16": None, "MixerB16": None}
# Recipes with float ops beside integer matrix multiplications.
PARTLY_FLOAT = "dynamic_int8", "static_int8"
WITH_FLOAT16 = " with float16"
ACCURACY = ("float32", "float16"), "cortex-a76"


def main(
    only: Annotated[list[str] | None, typer.Option(help="Only these models.")] = None,
    file: Annotated[list[str] | None, typer.Option(help="Only these files.")] = None,
    images: Annotated[int, typer.Option(help="Test images; 0 for no accuracy.")] = 1000,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of TensorFlow Datasets.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="CPUs to emulate at a time.")] = 2,
    plot: Annotated[bool, typer.Option("--plot", help="Only redraw the picture.")] = False,
):
    """Counts instructions; writes two tables and a picture."""
    if not plot:
        for model in only or MODELS:
            instructions(model, workers, file)
        if images:
            accuracy(images, data_dir, workers)
    print(draw())


def instructions(model, workers, only=None):
    """Writes the model's rows to `results/arm.csv`, of `only` some files if given; others stay."""
    files, image = converted(model)
    old = {(row["cpu"], row["file"]): row for row in table("arm") if row["model"] == model}

    def wanted(cpu, name):  # all files are relative to float32
        missing = name == "float32" and (cpu, name) not in old
        return not only or name in only or missing

    todo = [(cpu, name) for cpu in CPUS for name in files if wanted(cpu, name)]
    with ThreadPoolExecutor(workers) as pool:
        counts = pool.map(lambda row: count(files[row[1]], image[None], row[0]), todo)
        found = dict(zip(todo, counts, strict=True))
    for (cpu, name), of in found.items():
        millions = {kind: round(number / 1e6, 3) for kind, number in of.items()}
        old[cpu, name] = {"model": model, "cpu": cpu, "file": name, "ratio": None} | millions
    for (cpu, _), row in old.items():
        row["ratio"] = round(float(row["all"]) / float(old[cpu, "float32"]["all"]), 4)
    rows = [old[cpu, name] for cpu in CPUS for name in files if (cpu, name) in old]
    others = [row for row in table("arm") if row["model"] != model]
    order = [*MODELS]
    measure.write_csv("arm", sorted(others + rows, key=lambda row: order.index(row["model"])))


def converted(model):
    """The model's files, name -> content, and an image for them."""
    import keras_mixer
    from keras_mixer.tflite import RECIPES, convert

    built = getattr(keras_mixer, model)(weights=MODELS[model])
    random = np.random.default_rng(0)
    images = random.uniform(-1, 1, (8, *built.input_shape[1:])).astype(np.float32)
    files = {}
    for name, recipe in RECIPES.items():
        calibration = images if recipe.calibrated else None
        files[name] = convert(built, name, calibration=calibration)
        if name in PARTLY_FLOAT:
            files[name + WITH_FLOAT16] = convert(
                built, name, calibration=calibration, float16_arithmetic=True
            )
    return files, images[0]


def accuracy(images, data_dir, workers):
    """Writes `results/arm_accuracy.csv`: top-1 of MixerTi4 on test images of CIFAR-10."""
    import tensorflow_datasets as tfds

    import keras_mixer
    from keras_mixer.tflite import convert

    data = tfds.load("cifar10", split=f"test[:{images}]", data_dir=data_dir, batch_size=-1)
    labels = data["label"].numpy()
    model = keras_mixer.MixerTi4(weights="cifar10")
    pixels = keras_mixer.preprocessing(model).scaled(data["image"].numpy())
    recipes, cpu = ACCURACY
    files = {recipe: convert(model, recipe) for recipe in recipes}
    parts = [(r, part) for r in recipes for part in np.array_split(pixels, max(1, images // 50))]
    with ThreadPoolExecutor(workers) as pool:
        found = [*pool.map(lambda p: run({p[0]: files[p[0]]}, p[1], cpu)[p[0]], parts)]
    scores = {recipe: [] for recipe in recipes}
    for (recipe, _), got in zip(parts, found, strict=True):
        scores[recipe].append(got)
    scores = {recipe: np.concatenate(got) for recipe, got in scores.items()}
    measure.write_csv(
        "arm_accuracy",
        [
            {
                "model": "MixerTi4",
                "cpu": cpu,
                "file": recipe,
                "images": images,
                "top1": round(float((got.argmax(-1) == labels).mean()), 4),
                "same class as float32": round(
                    float((got.argmax(-1) == scores["float32"].argmax(-1)).mean()), 4
                ),
                "largest difference": float(f"{np.abs(got - scores['float32']).max():.2g}"),
            }
            for recipe, got in scores.items()
        ],
    )


def draw(path=None):
    """Draws the instructions of each file relative to float32; returns the picture's path."""
    from matplotlib.figure import Figure

    path = Path(path or Path(__file__).parents[1] / "docs" / "arm.png")
    rows = table("arm")
    models = [model for model in MODELS if any(row["model"] == model for row in rows)]
    names = [*dict.fromkeys(row["file"] for row in rows if WITH_FLOAT16 not in row["file"])]
    figure = Figure(figsize=(3.6 * len(models) + 1.4, 4.2), layout="constrained")
    axes = figure.subplots(1, len(models), sharey=True, squeeze=False)[0]
    colours = dict(zip(CPUS, ("#7fa8cc", "#1668b8", "#0b3560"), strict=True))
    for axis, model in zip(axes, models, strict=True):
        ratios = {(r["cpu"], r["file"]): float(r["ratio"]) for r in rows if r["model"] == model}
        for i, cpu in enumerate(CPUS):
            places = [place + (i - 1) * 0.27 for place in range(len(names))]
            values = [ratios.get((cpu, name), np.nan) for name in names]
            axis.barh(places, values, 0.25, color=colours[cpu], label=cpu)
            for place, value in zip(places, values, strict=True):
                if value > 1.2:  # beyond the axis
                    style = {"va": "center", "ha": "right", "fontsize": 7, "color": "white"}
                    axis.text(1.18, place, f"{value:.1f}", **style)
        axis.set(title=model, xlim=(0, 1.2), xticks=(0, 0.25, 0.5, 0.75, 1))
        axis.set(yticks=range(len(names)), yticklabels=names)
        axis.axvline(1, color="#30343b", linewidth=0.6, zorder=0)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].invert_yaxis()
    bars = axes[0].get_legend_handles_labels()
    figure.legend(*bars, frameon=False, fontsize=8, ncols=len(CPUS), loc="outside lower center")
    figure.suptitle("Instructions of an inference on one CPU, relative to float32", fontsize=10.5)
    figure.savefig(path, dpi=150)
    return path


def table(name):
    """The rows of `results/<name>.csv`, if it is there."""
    path = measure.RESULTS / f"{name}.csv"
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [*csv.DictReader(file)]


if __name__ == "__main__":
    typer.run(main)
