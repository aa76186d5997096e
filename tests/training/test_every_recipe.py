"""Every recipe as it stands, but for its length, batch and image size, on a folder of pictures."""

import csv
import math
from functools import partial

import keras
import numpy as np
import pytest

import keras_mixer
from keras_mixer import data, training
from keras_mixer._backend import settings
from keras_mixer.training import RECIPES
from tests.marks import slow
from tests.pictures import class_folders
from tests.training import forks

CLASSES, EPOCHS = 3, 3
SMALL = (f"epochs={EPOCHS}", "batch_size=28", "image_size=16", "warmup=1")
OFTEN = "mixer_imagenet1k"  # with MixUp, RandAugment and bfloat16
SIZES = {"patch_size": 4, "width": 16, "depth": 1, "token_mlp_dim": 8, "channel_mlp_dim": 32}


@pytest.fixture(scope="module")
def folders():
    return {}


@pytest.fixture
def trained(here, folders, tmp_path_factory):
    """Gives, for a recipe, the folder with `pets` and `run` in which the command trained by it."""

    def folder(name):
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp(name)
            class_folders(folders[name] / "pets", count=15)
            here(*arguments(name), cwd=folders[name])
        return folders[name]

    return folder


def arguments(name):
    """Of `keras-mixer`, for a run into the folder `run`."""
    options = [f"--model-option={key}={value}" for key, value in SIZES.items()]
    changes = [f"--set={change}" for change in SMALL]
    where = ["--dataset", "pets", "--output", "run", "--device", "cpu"]
    return ["train", "--recipe", name, "--model", "MlpMixer", *options, *changes, *where]


def log(folder):
    with (folder / "log.csv").open() as file:
        rows = csv.DictReader(file)
        return [{key: float(value or "nan") for key, value in row.items()} for row in rows]


def assert_trained(folder, recipe):
    """It began where a head of zeros does, learnt, and kept a model as the recipe says."""
    rows = log(folder)
    assert len(rows) == EPOCHS
    # In an epoch of one step the loss is that of the weights as they start. The shares of the
    # classes have the sum 1, however they are mixed and smoothed.
    expected = {
        "softmax": math.log(CLASSES),
        "sigmoid": CLASSES * math.log1p(math.exp(recipe.head_bias)) - recipe.head_bias,
    }
    assert rows[0]["loss"] == pytest.approx(expected[recipe.loss], rel=1e-5)
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert rows[-1]["val_loss"] < rows[0]["val_loss"]
    model = keras.saving.load_model(folder / "last.keras")
    assert model.get_layer("block_0").dtype_policy.name == recipe.precision
    assert model.get_layer("head").compute_dtype == "float32"
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert model.get_layer("head").activation is getattr(keras.activations, recipe.loss)


@pytest.mark.parametrize("name", [n if n == OFTEN else slow(n) for n in RECIPES])
def test_every_recipe_trains_by_the_command(trained, name):
    assert_trained(trained(name) / "run", RECIPES[name])


@pytest.mark.slow
def test_it_trains_and_evaluates_by_the_command_on_two_replicas(here, tmp_path):
    name = "mixer_imagenet1k"
    class_folders(tmp_path / "pets", count=15)
    said = forks.command(tmp_path, *arguments(name), "--replicas", 2)
    assert "Running on 2 parts of the CPU with TensorFlow" in said
    assert_trained(tmp_path / "run", RECIPES[name])
    line = ["evaluate", "run/last.keras", "--dataset", "pets", "--device", "cpu"]
    on_one = here(*line, cwd=tmp_path).stdout.splitlines()[-1]
    assert forks.command(tmp_path, *line, "--replicas", 2).splitlines()[-1] == on_one
    assert f"accuracy {log(tmp_path / 'run')[-1]['val_accuracy']:.4f}, images 4" in on_one


@pytest.mark.slow
def test_it_trains_on_two_devices_of_jax_too(command, tmp_path):
    class_folders(tmp_path / "pets", count=15)
    jax = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    done = command(*arguments("small_images"), "--replicas", 2, cwd=tmp_path, **jax)
    assert "Running on 2 CPU devices with JAX" in done.stdout
    assert_trained(tmp_path / "run", RECIPES["small_images"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mixer_imagenet1k", "small_images"])  # which differ in precision
def test_a_run_is_the_same_in_python_whatever_keras_was_told_before(trained, tmp_path, name):
    folder = trained(name)
    with settings():  # which are put back afterwards
        keras.config.set_floatx("float16")
        keras.config.set_image_data_format("channels_first")
        keras.config.set_dtype_policy("mixed_float16")
        training.train(
            partial(keras_mixer.MlpMixer, **SIZES),
            *data.load(folder / "pets"),
            recipe=RECIPES[name].set(*SMALL),
            folder=tmp_path / "again",
            strategy=training.strategy("cpu"),
        )
        assert keras.config.floatx() == "float16"
    for row, again in zip(log(folder / "run"), log(tmp_path / "again"), strict=True):
        for key in row.keys() - {"seconds", "images_per_second"}:
            np.testing.assert_equal(again[key], row[key], err_msg=key)
