"""Estimates of the TPU compiler for our models and for plain Flax programs of the same networks.

    python -m benchmarks.tpu_estimates
    python -m benchmarks.tpu_estimates --model MixerB16 --model ResMlpS24

Train step and forward pass on v3 and v5e, of our models (`keras_mixer.tpu.preflight`) and of the
programs in `benchmarks.flax_models`, the official one for MLP-Mixer, with Adam, activations in
bfloat16 and parameters in float32. The number of images per core is the largest that fits both, up
to 128. Needs the extra [preflight] and no TPU; all models take some hours. Writes
`results/tpu_estimates.csv`, where rows of other models stay, and from it `docs/tpu.png`. Estimates
do not depend on this machine.
"""

import csv
import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.measure import RESULTS, write_csv
from keras_mixer.models import BUILDERS, list_models
from keras_mixer.tpu import SLICES, preflight
from keras_mixer.tpu.preflight import ENVIRONMENT

PICTURE = Path(__file__).parents[1] / "docs" / "tpu.png"
TPUS = {"v3": "v3-8", "v5e": "v5e-1"}
STEPS = ("predict", "train")
LARGEST, SMALLEST = 128, 8  # images per core
# Mixer paper, table 3 (appendix): images/s per core of TPUv3, the best over batch sizes.
PAPER = {
    "MixerS32": 11489,
    "MixerB32": 4208,
    "MixerS16": 3994,
    "MixerB16": 1384,
    "MixerL32": 1314,
    "MixerL16": 419,
    "MixerH14": 194,
}
# Architectures that `benchmarks.flax_models` has; it needs JAX, and this process does not.
ARCHITECTURES = "mlp_mixer", "res_mlp", "g_mlp"
OURS, FLAX, MEASURED, INK = "#1668b8", "#8a8f98", "#c8501e", "#30343b"


def flax(model, tpu, batch, step):
    """The compiler's figures for the plain Flax program, as a dict."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.flax_models", model, tpu, str(batch), step],
        stdout=subprocess.PIPE,
        check=True,
        env=os.environ | ENVIRONMENT,
    )
    return json.loads(done.stdout)


def row(model, chip, step):
    """One line of the table."""
    tpu = SLICES[TPUS[chip]]
    images = LARGEST
    while True:
        batch = images * tpu.cores
        ours = preflight(model, tpu.name, batch, train=step == "train", optimizer="adam")
        theirs = flax(model, tpu.name, batch, step)
        if (ours.fits and theirs["fits"]) or images == SMALLEST:
            break
        images //= 2
    speed = ours.images_per_second_per_core
    ratio = ours.estimated_cycles / theirs["estimated_cycles"]
    measured = PAPER.get(model) if (chip, step) == ("v3", "predict") else None
    return {
        "model": model,
        "tpu": chip,
        "step": step,
        "images_per_core": images,
        "ours_mcycles": round(ours.estimated_cycles / 1e6, 2),
        "flax_mcycles": round(theirs["estimated_cycles"] / 1e6, 2),
        "ratio": round(ratio, 4),
        "ours_activations_gb": round(ours.activations_bytes / 1e9, 3),
        "flax_activations_gb": round(theirs["activations_bytes"] / 1e9, 3),
        "ours_images_per_second_per_core": round(speed, 1),
        "flax_images_per_second_per_core": round(speed * ratio, 1),
        "share_of_peak": round(ours.share_of_peak, 3),
        "paper_measured": measured or "",
        "flax_over_paper": round(speed * ratio / measured, 2) if measured else "",
        "versions": " ".join(f"{name} {version(name)}" for name in ("keras", "jax", "libtpu")),
    }


def models():
    """Names of all models that have a Flax program."""
    return [name for name in list_models() if BUILDERS[name].architecture.name in ARCHITECTURES]


def table():
    """The rows of the file: (model, TPU, step) -> row."""
    file = RESULTS / "tpu_estimates.csv"
    if not file.exists():
        return {}
    with file.open(encoding="utf-8") as lines:
        return {(row["model"], row["tpu"], row["step"]): row for row in csv.DictReader(lines)}


def beside(axis):
    """Options of a text to the right of a panel, at the height of a row."""
    return {
        "transform": axis.get_yaxis_transform(),
        "ha": "center",
        "fontsize": 8,
        "color": INK,
    }


def draw(path=None):
    """Draws images/s per core and the ratio of cycles, one panel per TPU and step.

    Args:
        path: The file to write; by default `docs/tpu.png`.

    Returns:
        The path.
    """
    from matplotlib.figure import Figure

    rows = table()
    names = [m for m in models() if any(key[0] == m for key in rows)]
    figure = Figure(figsize=(10, 2.2 + 0.55 * len(names)), layout="constrained")
    panels = figure.subplots(2, len(TPUS), sharey=True, sharex="col", squeeze=False)
    marks = (
        ("flax_images_per_second_per_core", "plain Flax", FLAX, "o"),
        ("ours_images_per_second_per_core", "keras_mixer", OURS, "o"),
        ("paper_measured", "measured on TPUv3 in the paper", MEASURED, "|"),
    )
    for line, step in zip(panels, STEPS, strict=True):
        for axis, chip in zip(line, TPUS, strict=True):
            axis.set_xscale("log")
            axis.xaxis.set_major_formatter("{x:,.0f}")
            axis.set_title(
                f"{chip}, {'a train step' if step == 'train' else 'the forward pass'}",
                loc="left",
                fontsize=10,
                color=INK,
            )
            for key, label, color, mark in marks:
                found = [
                    (float(rows[model, chip, step][key]), place)
                    for place, model in enumerate(names)
                    if rows.get((model, chip, step), {}).get(key)
                ]
                axis.plot(
                    *zip(*found, strict=True) if found else ((), ()),
                    mark,
                    color=color,
                    markersize=12 if mark == "|" else 6,
                    markeredgewidth=2,
                    label=label,
                )
            for place, model in enumerate(names):
                if (model, chip, step) in rows:
                    ratio = float(rows[model, chip, step]["ratio"])
                    axis.text(1.06, place, f"{ratio:.3f}", **beside(axis), va="center")
            axis.text(1.06, -0.9, "cycles ÷\nFlax's", **beside(axis), va="bottom")
            axis.set_yticks(range(len(names)), names)
            axis.set_ylim(len(names) - 0.4, -0.6)
            axis.grid(axis="x", which="both", linewidth=0.3)
            for side in ("top", "right", "left"):
                axis.spines[side].set_visible(False)
    for axis in panels[-1]:
        axis.set_xlabel("images/s per core, estimated by the compiler", color=INK)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=3, frameon=False, fontsize=9, loc="outside upper left")
    figure.savefig(path or PICTURE, dpi=150)
    return path or PICTURE


def main(
    model: Annotated[
        list[str] | None, typer.Option(help="Models to compile; may be repeated. By default all.")
    ] = None,
):
    """Compiles the models, writes their rows and draws the picture."""
    for name in model or models():
        for chip in TPUS:
            for step in STEPS:
                found = row(name, chip, step)
                print(
                    f"{name} {chip} {step}: {found['ours_mcycles']} million cycles, "
                    f"{found['ratio']} of Flax's, activations {found['ours_activations_gb']} GB, "
                    f"Flax's {found['flax_activations_gb']}",
                    flush=True,
                )
                rows = table() | {(name, chip, step): found}
                order = [(m, c, s) for m in models() for c in TPUS for s in STEPS]
                write_csv("tpu_estimates", [rows[key] for key in order if key in rows])
    print(draw())


if __name__ == "__main__":
    typer.run(main)
