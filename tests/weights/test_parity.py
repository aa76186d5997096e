"""Released layouts give the numbers that their own code gives."""

import subprocess
import sys

import numpy as np
import pytest

import keras_mixer
from keras_mixer.models import BUILDERS
from tests import oracles
from tests.conftest import ROOT
from tests.marks import slow
from tests.weights import official

# float32 against float64 or another order of summation, relative to the largest logit
TOLERANCE = 1e-5


def random_images(count=1):
    return np.random.default_rng(1).uniform(-1, 1, (count, 224, 224, 3)).astype(np.float32)


@pytest.mark.parametrize("name", ["MixerS32", slow("MixerB16"), slow("MixerL16")])
def test_an_official_checkpoint_gives_the_logits_of_the_official_code(name, tmp_path):
    builder = BUILDERS[name]
    arrays = official.checkpoint(builder.sizes)
    np.savez(tmp_path / "model.npz", **arrays)
    model = builder(weights=tmp_path / "model.npz", classifier_activation=None)
    wide = {key: array.astype(np.float64) for key, array in arrays.items()}
    expected = oracles.official_mlp_mixer(wide, random_images().astype(np.float64))
    logits = model.predict(random_images(), verbose=0)
    assert np.abs(logits - expected).max() < TOLERANCE * np.abs(expected).max()


def test_an_early_official_checkpoint_is_the_same_model(tmp_path):
    arrays = official.checkpoint(keras_mixer.MixerS32.sizes)
    np.savez(tmp_path / "new.npz", **arrays)
    np.savez(tmp_path / "early.npz", **official.early(arrays))
    new, early = (keras_mixer.MixerS32(weights=tmp_path / f"{n}.npz") for n in ("new", "early"))
    for ours, theirs in zip(new.get_weights(), early.get_weights(), strict=True):
        assert np.array_equal(ours, theirs)


@pytest.fixture(scope="module", params=["mixer_s32_224", slow("mixer_b16_224")])
def timm(request, tmp_path_factory):
    """A folder with the files and answers of a timm model, and our builder of the same size."""
    folder = tmp_path_factory.mktemp(request.param)
    np.save(folder / "images.npy", random_images(2))
    script = [sys.executable, "-m", "tests.weights.on_timm", request.param, folder]
    subprocess.run(script, cwd=ROOT, check=True)
    return folder, getattr(keras_mixer, f"Mixer{request.param[6:9].upper()}")


FILES = ["model.safetensors", "model.pth", "early.pth", "training.bin"]


@pytest.mark.parametrize("file", FILES)
def test_a_timm_checkpoint_gives_timm_s_logits(timm, file):
    folder, builder = timm
    model = builder(weights=folder / file, classifier_activation=None)
    expected = np.load(folder / "logits.npy")
    logits = model.predict(np.load(folder / "images.npy"), verbose=0)
    assert np.abs(logits - expected).max() < TOLERANCE * np.abs(expected).max()


@pytest.mark.parametrize("file", ["bfloat16.pt", "bfloat16.safetensors"])
def test_a_timm_checkpoint_in_bfloat16_is_read_to_the_bit(timm, file):
    folder, builder = timm
    whole, half = (builder(weights=folder / name) for name in ("model.pth", file))
    for exact, rounded in zip(whole.get_weights(), half.get_weights(), strict=True):
        # bfloat16 keeps 8 bits of a float32's 24, rounded to nearest
        assert np.all(np.abs(rounded - exact) <= 2.0**-8 * np.abs(exact))
        assert np.all(rounded.view(np.uint32) & 0xFFFF == 0)


def test_a_timm_checkpoint_on_a_model_with_the_tanh_gelu_says_that_answers_differ(timm):
    folder, builder = timm
    model = builder(gelu="tanh", classifier_activation=None)
    with pytest.warns(UserWarning, match=r"model\.pth comes from code with gelu='erf', and 'mixer"):
        keras_mixer.load_weights(model, folder / "model.pth")
    expected = np.load(folder / "logits.npy")
    logits = model.predict(np.load(folder / "images.npy"), verbose=0)
    # the two forms differ by up to 5e-4 a unit: small, and far above rounding
    difference = np.abs(logits - expected).max() / np.abs(expected).max()
    assert TOLERANCE < difference < 1e-2
