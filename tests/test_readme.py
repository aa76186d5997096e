"""What README says is so."""

import csv
import re
import shlex
from dataclasses import replace
from urllib.parse import urlsplit

import keras
import numpy as np
import pytest

import keras_mixer
from keras_mixer.tflite import RECIPES
from tests.conftest import ROOT
from tests.pictures import class_folders, encoded, noise
from tests.weights.official import checkpoint

# tests.tflite.convert.test_convert.py holds them.
PARTITIONS = dict.fromkeys(RECIPES, "one") | {"int8": "many", "int16x8": "none"}
README = (ROOT / "README.md").read_text()


def blocks(language):
    found = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.M | re.S)
    return [text for kind, text in found if kind == language]


def rows(text, column):
    """The rows of the Markdown table whose first column is headed so, as lists of cells."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {column} "))
    table = lines[start + 2 :]
    table = table[: next((i for i, line in enumerate(table) if line[:1] != "|"), len(table))]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in table]


def results(name, *columns):
    """The rows of a benchmark's table by their cells in some columns."""
    with (ROOT / f"benchmarks/results/{name}.csv").open() as file:
        return {tuple(row[column] for column in columns): row for row in csv.DictReader(file)}


@pytest.mark.slow
def test_its_python_runs_as_it_stands(tmp_path, monkeypatch, bucket, capsys):
    """Random weights of the released size stand in for the release, and for a file of timm's."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    names = {
        "images": random.uniform(-1, 1, (4, 224, 224, 3)).astype(np.float32),
        "large_images": random.uniform(-1, 1, (4, 448, 448, 3)).astype(np.float32),
        "keras": keras,
        "keras_mixer": keras_mixer,
        "pixels": random.integers(0, 256, (4, 224, 224, 3)).astype(np.uint8),
        "labels": np.arange(4),
    }
    np.savez("released.npz", **checkpoint(keras_mixer.MixerB16.sizes, classes=21843))
    bucket.content = (tmp_path / "released.npz").read_bytes()
    release = keras_mixer.MixerB16.releases["imagenet21k"]
    release = replace(release, url=bucket.release.url)  # of the size that was published
    monkeypatch.setitem(keras_mixer.MixerB16.releases, "imagenet21k", release)
    keras_mixer.save_weights(keras_mixer.MixerB16(), "miil.safetensors", layout="timm")

    for block in blocks("python"):
        if "classes=37" not in block:
            exec(block.replace("but(epochs=10)", "but(epochs=1, batch_size=4)"), names)
        else:
            with pytest.warns(UserWarning, match="a head for 21,843 classes, so the head for 37"):
                exec(block, names)
            assert names["model"].input_shape == (None, 448, 448, 3)
            assert (tmp_path / "pets.npz").exists()
    assert names["report"].images == 4
    assert names["backbone"].output_shape == (None, 7, 7, 512)
    assert names["scores"].shape == (4, 21843)
    assert names["miil"].get_layer("block_0").gelu == "erf"
    assert keras_mixer.preprocessing(names["miil"]).input_range == (0, 1)
    assert bucket.requests == [None]
    assert "('n0" in capsys.readouterr().out


def test_its_commands_run_as_they_stand(here, quickstarted):
    lines = [line for block in blocks("") for line in block.splitlines()]
    commands = [line for line in lines if line.startswith("keras-mixer ")]
    assert len(commands) >= 4
    for line in commands:
        here(*shlex.split(line)[1:], cwd=quickstarted)


@pytest.mark.slow
def test_its_training_runs_as_it_stands_but_shorter(command, tmp_path, tiny_cifar10):
    """In a home that has a small data set, and random weights where the release would be."""
    home = tmp_path / "home"
    (home / "tensorflow_datasets").parent.mkdir()
    (home / "tensorflow_datasets").symlink_to(tiny_cifar10)
    release = keras_mixer.MixerS16.releases["gsam"]
    cached = home / ".keras" / "keras_mixer" / urlsplit(release.url).path.lstrip("/")
    cached.parent.mkdir(parents=True)
    np.savez(cached, **checkpoint(keras_mixer.MixerS16.sizes))
    class_folders(tmp_path / "pictures")
    (tmp_path / "photo.jpg").write_bytes(encoded(noise(90, 120)))
    shorter = {
        "small_images": "--set epochs=1 --set batch_size=64",
        "fine_tuning": "--set steps=2 --set warmup=1 --set batch_size=4",
    }
    lines = [line for block in blocks("shell") for line in block.splitlines()]
    assert [line.split()[1] for line in lines] == [
        *("predict", "train", "evaluate", "train", "predict", "export"),
    ]
    for line in lines:
        recipe = next((shorter[name] for name in shorter if f"--recipe {name}" in line), "")
        command(*shlex.split(f"{line} {recipe}")[1:], cwd=tmp_path, HOME=str(home))
    assert "gsam" in (tmp_path / "runs/mine/README.md").read_text()


def test_its_two_lines_are_what_ci_runs():
    lines = [line for block in blocks("") for line in block.splitlines()]
    assert [line for line in lines if line.startswith("python -m pip")] == [
        'python -m pip install -e ".[cpu,all]" && keras-mixer quickstart',
        'python -m pip install -e ".[cpu,test]" && python -m pytest',
    ]


def test_its_table_of_models_is_the_package_s():
    table = {row[0]: row[1:] for row in rows(README, "model")}
    assert list(table) == keras_mixer.list_models()
    for name, cells in table.items():
        builder = getattr(keras_mixer, name)
        sizes = map(str, builder.sizes.values())
        assert cells == [*sizes, f"{builder.params:,}", ", ".join(builder.releases)]


def test_its_table_of_recipes_is_the_package_s_with_what_was_measured():
    speeds = results("edge", "model", "candidate")
    accuracies = results("edge_accuracy", "model", "candidate")
    in_float = float(speeds["MixerB16", "keras_mixer float32"]["median_ms"])

    def measured(name):
        speed = speeds["MixerB16", f"keras_mixer {name}"]
        accuracy = accuracies["MixerTi4", f"keras_mixer {name}"]
        assert accuracy["images"] == "10000"
        return [
            f"{float(speed['size_mb']):.0f} MB",
            f"{float(speed['median_ms']) / in_float:.2f}",
            f"{float(accuracy['accuracy']):.2%}",
        ]

    assert rows(README, "recipe") == [
        [
            *(r.name, r.hardware, "a hundred" if r.calibrated else "none"),
            *(*measured(r.name), PARTITIONS[r.name], r.summary),
        ]
        for r in RECIPES.values()
    ]


def test_what_it_says_of_other_runtimes_was_measured():
    of_b16 = {
        name: row
        for (model, name), row in results("edge", "model", "candidate").items()
        if model == "MixerB16"
    }
    others = [
        float(row["median_ms"])
        for name, row in of_b16.items()
        if row["precision"] == "int8" and not name.startswith(("keras_mixer", "roof"))
    ]
    for recipe in ("dynamic_int8", "static_int8", "int8"):
        assert float(of_b16[f"keras_mixer {recipe}"]["median_ms"]) < min(others)
    onnx, openvino = (
        float(of_b16[f"{runtime} float32"]["ratio"]) for runtime in ("ONNX Runtime", "OpenVINO")
    )
    said = f"ONNX Runtime takes {onnx:.2f} of our time and OpenVINO {openvino:.2f}"
    assert said in README.replace("\n", " ")


def test_its_figure_of_the_int8_norm_is_the_one_measured():
    row = results("rewrites", "model", "recipe", "rewrite")["MixerB16", "int8", "norm"]
    assert f"takes {float(row['ratio']):.2f} of the time" in README.replace("\n", " ")


def test_its_table_of_cycles_on_tpus_is_the_one_measured():
    found = results("tpu_estimates", "model", "tpu", "step")
    kinds = [(tpu, step) for step in ("train", "predict") for tpu in ("v3", "v5e")]
    assert rows(README, "cycles to Flax's") == [
        [name, *(f"{float(found[name, *kind]['ratio']):.2f}" for kind in kinds)]
        for name in keras_mixer.list_models()
    ]


def test_every_file_that_it_links_is_there():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
