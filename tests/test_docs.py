"""README and the pages in `docs` and `tflite`: their code runs, and their tables are right."""

import csv
import re
import shlex
from dataclasses import replace

import numpy as np
import pytest
import typer

import keras_mixer
from benchmarks.arm import WITH_FLOAT16
from keras_mixer import cli, training
from keras_mixer.tflite import RECIPES
from tests.cases import BY_NAME
from tests.conftest import ROOT
from tests.marks import slow
from tests.pictures import class_folders, encoded, noise
from tests.weights.official import checkpoint
from tests.weights.test_resize import CIFAR10

PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in (
        ROOT / "README.md",
        *sorted((ROOT / "docs").glob("*.md")),
        ROOT / "tflite/README.md",
        ROOT / "tflite/devices.md",
    )
}
README = PAGES["README.md"]
TI4_ON_A76 = "MixerTi4", "cortex-a76"
# tests.tflite.convert.test_convert proves these.
PARTITIONS = dict.fromkeys(RECIPES, "one") | {"int8": "many", "int16x8": "none"}
MIXERS = [*keras_mixer.MixerB16.architecture.variants][:-1]  # without MlpMixer
SHORTER = {
    "but(epochs=10)": "but(epochs=1, batch_size=4)",
    # A single step takes less time than to trace it.
    'metrics=["accuracy"])': 'metrics=["accuracy"], run_eagerly=True)',
}
# The forward pass, for which the compiler takes a fifth of the time.
QUICKER = {"--batch 1024": "--batch 1024 --predict"}


def blocks(page, language):
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGES[page], re.M | re.S)
    return [text for kind, text in found if kind == language]


def tables(page):
    """The Markdown tables of a page, each a list of rows, the heading first."""
    found = re.findall(r"(?:^\|.*\|$\n?)+", PAGES[page], re.M)
    rows = [[line.strip("|").split("|") for line in table.splitlines()] for table in found]
    return [[[cell.strip(" `") for cell in row] for row in [t[0], *t[2:]]] for t in rows]


def table(page, *heading):
    """The rows of the only table of a page whose heading begins so."""
    [rows] = [t[1:] for t in tables(page) if tuple(t[0][: len(heading)]) == heading]
    return rows


def prose(page):
    return " ".join(PAGES[page].split())


def results(name, *columns):
    """The rows of a benchmark's table by their cells in some columns."""
    with (ROOT / f"benchmarks/results/{name}.csv").open() as file:
        return {tuple(row[column] for column in columns): row for row in csv.DictReader(file)}


# ------------------------------------------------------------------------------------------- code
@pytest.fixture
def names():
    """What the blocks of Python use without defining it: images, pixels and labels."""
    random = np.random.default_rng(0)
    return {
        "images": random.uniform(-1, 1, (4, 224, 224, 3)).astype(np.float32),
        "pixels": random.integers(0, 256, (4, 224, 224, 3)).astype(np.uint8),
        "labels": np.arange(4),
    }


@pytest.fixture
def released(bucket, tmp_path, monkeypatch):
    """Random weights of the released size stand in for a release, and for a file of timm's."""
    np.savez(tmp_path / "released.npz", **checkpoint(keras_mixer.MixerB16.sizes, classes=21843))
    bucket.content = (tmp_path / "released.npz").read_bytes()
    release = keras_mixer.MixerB16.releases["imagenet21k"]
    release = replace(release, url=bucket.release.url)  # of the size that was published
    monkeypatch.setitem(keras_mixer.MixerB16.releases, "imagenet21k", release)
    exact = keras_mixer.MixerB16(gelu="erf")
    keras_mixer.save_weights(exact, tmp_path / "miil.safetensors", layout="timm")
    return bucket


def run(page, names):
    for block in blocks(page, "python"):
        for long, short in SHORTER.items():
            block = block.replace(long, short)
        exec(block, names)


def test_every_page_with_python_is_run_by_a_test_here():
    pages = {page for page in PAGES if blocks(page, "python")}
    assert pages == {"README.md", "docs/models.md", "docs/training.md", "docs/export.md"}


def test_readme_goes_from_released_weights_to_the_answer_of_a_tflite_file(
    names, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    run("README.md", names)
    in_keras, in_file = capsys.readouterr().out.splitlines()[-2:]
    assert in_keras.count("Prediction(") == in_file.count("Prediction(") == 3
    assert re.search("label='bird'", in_keras)
    assert re.search("label='bird'", in_file)
    assert names["file"].name == "model_dynamic_int8.tflite"


@pytest.mark.slow
def test_the_page_on_export_converts_and_verifies(names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names["images"] = names["images"][:, :32, :32]
    run("docs/export.md", names)
    assert names["report"].images == 4
    ops = [keras_mixer.tflite.inspect(names[n]).counts for n in ("content", "with_convolution")]
    assert [count["CONV_2D"] for count in ops] == [0, 1]


@pytest.mark.slow
def test_the_page_on_models_runs_as_it_stands(names, tmp_path, monkeypatch, released, capsys):
    monkeypatch.chdir(tmp_path)
    names = {name: array[:1] for name, array in names.items()}  # one image: models are large here
    names["large_images"] = np.repeat(np.repeat(names["images"], 2, axis=1), 2, axis=2)
    with pytest.warns(UserWarning, match="a head for 21,843 classes, so the head for 37"):
        run("docs/models.md", names)
    assert names["model"].input_shape == (None, 448, 448, 3)
    assert names["at_40"].input_shape == (None, 40, 40, 3)
    assert names["backbone"].output_shape == (None, 7, 7, 512)
    assert names["scores"].shape == (1, 21843)
    assert names["miil"].get_layer("block_0").gelu == "erf"
    assert keras_mixer.preprocessing(names["miil"]).input_range == (0, 1)
    images = names["images"][:, :32, :32]
    shipped = keras_mixer.MixerTi4(weights="cifar10")
    assert np.array_equal(names["again"](images), shipped(images))  # by way of a file
    assert [*names["maps"]["levels"]] == [16]
    assert names["maps"]["blocks"]["block_7"].shape == (1, 14, 14, 512)
    assert names["maps"]["pre_logits"].shape == (1, 512)
    assert {"pets.npz", "ti4.npz", "weights.png"} <= {path.name for path in tmp_path.iterdir()}
    assert released.requests == [None]
    assert "('n0" in capsys.readouterr().out


@pytest.mark.slow
def test_the_page_on_training_runs_but_for_one_epoch(names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("docs/training.md", names)
    assert (tmp_path / "runs/notebook/last.keras").exists()


@pytest.mark.parametrize(
    "page",
    [
        page if page == "README.md" else slow(page)
        for page in PAGES
        if page != "tflite/README.md" and blocks(page, "")
    ],
)
def test_the_commands_of_a_page_run_after_quickstart(page, here, quickstarted):
    lines = [line for block in blocks(page, "") for line in block.splitlines()]
    for line in lines:
        for long, short in QUICKER.items():
            line = line.replace(long, short)
        if line.startswith("keras-mixer "):
            here(*shlex.split(line)[1:], cwd=quickstarted)
        elif page != "README.md":  # .ci/run runs its others
            raise AssertionError(f"{line!r} is run by no test")


@pytest.mark.slow
def test_the_commands_of_the_page_on_deployment_run(here, tmp_path):
    mixer = BY_NAME["mlp_mixer"]
    mixer.trained(classes=2).save(tmp_path / "model.keras")
    class_folders(tmp_path / "test")
    class_folders(tmp_path / "pictures")
    for line in [line for block in blocks("tflite/README.md", "") for line in block.splitlines()]:
        here(*shlex.split(line)[1:], cwd=tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:MixerS16.* the head for 3 is new")
def test_the_commands_that_train_run_but_shorter(here, tmp_path, tiny_cifar10, monkeypatch):
    """With a small data set, and random weights where the release would be."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    release = keras_mixer.MixerS16.releases["gsam"]
    release.path.parent.mkdir(parents=True)
    np.savez(release.path, **checkpoint(keras_mixer.MixerS16.sizes))
    class_folders(tmp_path / "pictures")
    (tmp_path / "photo.jpg").write_bytes(encoded(noise(90, 120)))
    shorter = {
        "small_images": "--set epochs=1 --set batch_size=64",
        "fine_tuning": "--set steps=2 --set warmup=1 --set batch_size=4",
    }
    lines = [line for block in blocks("docs/training.md", "shell") for line in block.splitlines()]
    assert [line.split()[1] for line in lines] == [
        *("train", "evaluate", "predict", "train", "predict", "export"),
    ]
    for line in lines:
        recipe = next((shorter[name] for name in shorter if f"--recipe {name}" in line), "")
        place = f"--data-dir {tiny_cifar10}" if "--dataset cifar10" in line else ""
        here(*shlex.split(f"{line} {recipe} {place}")[1:], cwd=tmp_path)
    assert "gsam" in (tmp_path / "runs/mine/README.md").read_text()


def test_no_page_has_code_that_no_test_runs():
    """The quickstart's table is no command."""
    found = {page: {*re.findall(r"^```(\w+)$", text, re.M)} for page, text in PAGES.items()}
    assert {page for page, kinds in found.items() if "shell" in kinds} == {"docs/training.md"}
    assert set.union(*found.values()) == {"python", "shell"}


def test_the_two_lines_of_readme_are_what_ci_runs():
    lines = [line for block in blocks("README.md", "") for line in block.splitlines()]
    assert [line for line in lines if line.startswith("python -m pip")] == [
        'python -m pip install -e ".[cpu,all]" && keras-mixer quickstart',
        'python -m pip install -e ".[cpu,test]" && python -m pytest',
    ]


# ------------------------------------------------------------------------------- tables and numbers
def test_the_accuracies_of_other_image_sizes_are_the_measured_ones():
    found = table("docs/models.md", "image size, pixels")
    assert {int(size): float(percent) for size, percent in found} == {
        size: correct / 10 for size, correct in CIFAR10.items()
    }


def test_the_models_of_readme_are_the_package_s():
    found = table("README.md", "model", "parameters")
    assert [row[0] for row in found] == keras_mixer.list_models()
    for name, parameters, gmacs, weights, published in found:
        builder = getattr(keras_mixer, name)
        assert (parameters, weights) == (f"{builder.params:,}", ", ".join(builder.releases))
        assert gmacs == f"{builder.macs / 1e9:.2f}"
        assert not isinstance(builder.top1, float) or published.startswith(str(builder.top1))
        of = re.findall(r"\d+\.\d+ \((\w+)", published)
        assert of == [release for release in builder.releases if release in of], name


FAMILIES = {
    **{"mlp_mixer": "Mixer", "res_mlp": "ResMLP", "hire_mlp": "Hire-MLP"},
    **{"g_mlp": "gMLP", "g_mixer": "gMixer"},
}


def builder_family(name):
    return getattr(keras_mixer, name).architecture.name


def test_the_crops_of_released_weights_are_the_package_s():
    found = set()
    for name in keras_mixer.list_models():
        for release, file in getattr(keras_mixer, name).releases.items():
            p = file.preprocessing
            models = name if release == "cifar10" else FAMILIES[builder_family(name)]
            share = "all" if p.crop == "resize" else f"{p.crop_share:g}"
            interpolation = (
                f"{p.interpolation}`, by Pillow" if p.library == "pillow" else p.interpolation
            )
            crop = p.crop, share, interpolation
            found |= {(model, release, *crop) for model in [models.strip("`")]}
    rows = table("docs/models.md", "crop of released weights")
    listed = {
        (model, release, *row[2:])
        for row in rows
        for release in row[0].split("`, `")
        for model in row[1].split(", ")
    }
    assert found <= listed
    for model, release, *crop in listed:  # a row of several models has the weights of all of them
        assert any((model, *crop) == (f[0], *f[2:]) for f in found)
        assert any((release, *crop) == (f[1], *f[2:]) for f in found)
    assert keras_mixer.preprocessing(keras_mixer.MixerTi4()).crop == "resize"


def test_readme_says_of_our_own_model_what_was_measured():
    row = results("edge_accuracy", "model", "candidate")["MixerTi4", "keras_mixer float32"]
    measured = f"{float(row['accuracy']):.2%}"
    assert f"We measured {measured} top-1 on the {int(row['images']):,} test images" in prose(
        "README.md"
    )
    assert measured in (ROOT / "keras_mixer/weights/shipped/mixer_ti4_cifar10.md").read_text()


def test_the_sizes_of_models_are_the_package_s():
    found = tables("docs/models.md")
    for architecture in keras_mixer.models.ARCHITECTURES.values():
        sizes = tuple(size.name.replace("_", " ") for size in architecture.sizes)
        rows = [
            [f"{name}", *map(str, builder.sizes.values()), f"{builder.params:,}"]
            for name, builder in architecture.variants.items()
            if builder.sizes
        ]
        assert found.count([["model", *sizes, "parameters"], *rows]) == 1, architecture.name


def test_every_release_is_explained():
    explained = {
        name.strip(" `") for row in table("docs/models.md", "weights") for name in row[0].split(",")
    }
    builders = [getattr(keras_mixer, name) for name in keras_mixer.list_models()]
    assert explained == {release for builder in builders for release in builder.releases}


def test_the_recipes_for_training_are_the_package_s():
    assert table("docs/training.md", "recipe") == [
        [
            name,
            f"{recipe.epochs:g} epochs" if recipe.epochs else f"{recipe.steps:,} steps",
            f"{recipe.batch_size:,}",
            recipe.source,
        ]
        for name, recipe in training.RECIPES.items()
    ]


def test_the_recipes_for_export_are_the_package_s():
    assert table("docs/export.md", "recipe") == [
        [r.name, r.hardware, "a hundred" if r.calibrated else "none", PARTITIONS[r.name], r.summary]
        for r in RECIPES.values()
    ]


def test_the_commands_are_the_package_s():
    commands = typer.main.get_command(cli.app).commands
    assert table("docs/command-line.md", "command") == [
        [name, " ".join(command.help.split("\n\n")[0].split())]
        for name, command in commands.items()
    ]


def test_size_and_speed_are_those_measured():
    speeds = results("edge", "model", "candidate")
    of = {name: speeds["MixerB16", f"keras_mixer {name}"] for name in RECIPES}
    in_float = float(of["float32"]["median_ms"])
    assert table("docs/export.md", "recipe of MixerB16") == [
        [name, f"{float(row['size_mb']):.0f} MB", f"{float(row['median_ms']) / in_float:.2f}"]
        for name, row in of.items()
    ]


def test_accuracies_are_those_measured():
    accuracies = results("edge_accuracy", "model", "candidate")
    of = {name: accuracies["MixerTi4", f"keras_mixer {name}"] for name in RECIPES}
    assert {row["images"] for row in of.values()} == {"10000"}
    assert table("docs/export.md", "recipe of MixerTi4") == [
        [name, f"{float(row['accuracy']):.2%}"] for name, row in of.items()
    ]


def test_the_instructions_on_arm_are_those_counted():
    rows = {key: float(row["ratio"]) for key, row in results("arm", "model", "cpu", "file").items()}
    [heading] = [t[0] for t in tables("tflite/devices.md") if t[0][0].startswith("recipe of")]
    model = heading[0].removeprefix("recipe of ")
    ti4 = {name: f"{ratio:.2f}" for (m, cpu, name), ratio in rows.items() if (m, cpu) == TI4_ON_A76}
    dynamic, static = "dynamic_int8", "static_int8"
    assert (
        f"takes {ti4[dynamic + WITH_FLOAT16]} of `float32`'s instructions instead of {ti4[dynamic]}"
    ) in prose("docs/export.md")
    assert ti4[static + WITH_FLOAT16] >= ti4[static]
    accuracy = results("arm_accuracy", "file")
    float32, float16 = accuracy["float32",], accuracy["float16",]
    images = int(float16["images"])
    others = round(images * (1 - float(float16["same class as float32"])))
    top1 = [float(row["top1"]) for row in (float16, float32)]
    assert (
        f"On the first {images:,} test images of CIFAR-10, on the emulated Cortex-A76, MixerTi4 "
        f"has a top-1 accuracy of {top1[0]:.2%} in float16 and {top1[1]:.2%} in float32. The class "
        f"differs for {others} of them"
    ) in prose("tflite/devices.md")
    assert table("tflite/devices.md", heading[0]) == [
        [name, *(f"{rows[model, cpu, name]:.2f}" for cpu in ("cortex-a53", "cortex-a76", "i8mm"))]
        for name in RECIPES
    ]


def test_what_is_said_of_other_runtimes_was_measured():
    of_b16 = {
        name: row
        for (model, name), row in results("edge", "model", "candidate").items()
        if model == "MixerB16"
    }
    others = [
        float(row["median_ms"])
        for name, row in of_b16.items()
        if row["precision"] == "int8" and not name.startswith(("keras_mixer", "peak"))
    ]
    for recipe in ("dynamic_int8", "static_int8", "int8"):
        assert float(of_b16[f"keras_mixer {recipe}"]["median_ms"]) < min(others)
    onnx, openvino = (
        float(of_b16[f"{runtime} float32"]["ratio"]) for runtime in ("ONNX Runtime", "OpenVINO")
    )
    said = f"ONNX Runtime takes {onnx:.2f} of our time and OpenVINO {openvino:.2f}"
    assert said in prose("docs/export.md")


def test_the_figures_of_rewrites_are_those_measured():
    rows = results("rewrites", "model", "recipe", "rewrite")
    norm, dynamic, static = (
        f"{float(rows['MixerB16', recipe, rewrite]['ratio']):.2f}"
        for recipe, rewrite in (("int8", "norm"), ("dynamic_int8", "stem"), ("int8", "stem"))
    )
    assert f"int8 MixerB16 takes {norm} of the time" in prose("docs/export.md")
    stem = f"takes {dynamic} of the time on our CPU; with `int8` it takes {static}."
    assert stem in prose("docs/export.md")


def test_the_table_of_cycles_on_tpus_is_the_one_measured():
    found = results("tpu_estimates", "model", "tpu", "step")
    kinds = [(tpu, step) for step in ("train", "predict") for tpu in ("v3", "v5e")]
    assert table("docs/tpu.md", "model") == [
        [name, *(f"{float(found[name, *kind]['ratio']):.2f}" for kind in kinds)]
        for name in dict.fromkeys(name for name, *_ in found)
    ]


# -------------------------------------------------------------------------------------------- links
@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md", "CHANGELOG.md"])
def test_every_file_and_heading_that_a_page_links_is_there(page):
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\((?!http)([^)]+)\)", text):
        file, _, heading = target.partition("#")
        linked = (ROOT / page).parent / file if file else ROOT / page
        assert linked.exists(), target
        if heading:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(), re.M)
            assert heading in [
                re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings
            ]


def test_readme_links_every_page():
    for page in PAGES:
        assert page == "README.md" or f"({page})" in README
