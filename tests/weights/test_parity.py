"""Released layouts give the numbers that their own code gives."""

import json
import subprocess
import sys

import numpy as np
import pytest

import keras_mixer
from keras_mixer.models import BUILDERS
from tests import oracles
from tests.cases import BY_NAME, CASES
from tests.conftest import ROOT
from tests.weights import official

# float32 against float64 or another order of summation, relative to the largest logit
TOLERANCE = 1e-5
MIXER = BY_NAME["mlp_mixer"]
SIZES = "patch_size", "width", "depth", "token_mlp_dim", "channel_mlp_dim"


def random_images(count=1):
    return np.random.default_rng(1).uniform(-1, 1, (count, 224, 224, 3)).astype(np.float32)


def differ_little(logits, expected):
    return np.abs(logits - expected).max() < TOLERANCE * np.abs(expected).max()


def tiny_official_checkpoint():
    sizes = {name: MIXER.tiny.keywords[name] for name in SIZES}
    return official.checkpoint(sizes, tokens=4 * 8, classes=7)


def logits_of_the_official_code(arrays, images):
    wide = {key: array.astype(np.float64) for key, array in arrays.items()}
    return oracles.official_mlp_mixer(wide, images.astype(np.float64))


def test_an_official_checkpoint_gives_the_logits_of_the_official_code(tmp_path):
    arrays, images = tiny_official_checkpoint(), MIXER.images()
    np.savez(tmp_path / "model.npz", **arrays)
    model = MIXER.tiny(weights=tmp_path / "model.npz", classifier_activation=None)
    expected = logits_of_the_official_code(arrays, images)
    assert differ_little(model.predict(images, verbose=0), expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MixerS32", "MixerB16", "MixerL16"])
def test_so_does_one_of_a_released_size(name, tmp_path):
    arrays = official.checkpoint(BUILDERS[name].sizes)
    np.savez(tmp_path / "model.npz", **arrays)
    model = BUILDERS[name](weights=tmp_path / "model.npz", classifier_activation=None)
    expected = logits_of_the_official_code(arrays, random_images())
    assert differ_little(model(random_images()), expected)


def test_an_early_official_checkpoint_is_the_same_model(tmp_path):
    arrays = tiny_official_checkpoint()
    np.savez(tmp_path / "new.npz", **arrays)
    np.savez(tmp_path / "early.npz", **official.early(arrays))
    new, early = (MIXER.tiny(weights=tmp_path / f"{name}.npz") for name in ("new", "early"))
    for ours, theirs in zip(new.get_weights(), early.get_weights(), strict=True):
        assert np.array_equal(ours, theirs)


def on_timm(folder, images, tiny=()):
    """Has timm's models by name write their files and logits for images."""
    for name, array in images.items():
        (folder / name).mkdir()
        np.save(folder / name / "images.npy", array)
        if name in tiny:
            (folder / name / "timm.json").write_text(json.dumps(tiny[name]))
    script = [sys.executable, "-m", "tests.weights.on_timm", folder, *images]
    subprocess.run(script, cwd=ROOT, check=True)
    return folder


@pytest.fixture(scope="module")
def timm(tmp_path_factory):
    """A folder with the files and answers of timm's tiny models, by architecture."""
    tiny = {case.architecture: case.timm for case in CASES if case.timm}
    images = {case.architecture: case.images() for case in CASES if case.timm}
    return on_timm(tmp_path_factory.mktemp("timm"), images, tiny)


on_timm_too = pytest.mark.parametrize(
    "row", [case for case in CASES if case.timm], ids=lambda row: row.architecture
)


FILES = ["model.safetensors", "model.pth", "early.pth", "training.bin"]


@on_timm_too
@pytest.mark.parametrize("file", FILES)
def test_a_timm_checkpoint_gives_timm_s_logits(timm, row, file):
    folder = timm / row.architecture
    model = row.tiny(weights=folder / file, classifier_activation=None)
    assert differ_little(model(row.images()), np.load(folder / "logits.npy"))


@pytest.mark.slow
def test_so_do_models_of_timm_s_own_names(tmp_path):
    models = {name: builder for case in CASES for name, builder in case.timm_names.items()}
    on_timm(tmp_path, dict.fromkeys(models, random_images()))
    for name, builder in models.items():
        folder = tmp_path / name
        model = builder(weights=folder / "model.safetensors", classifier_activation=None)
        assert differ_little(model(random_images()), np.load(folder / "logits.npy")), name


@on_timm_too
@pytest.mark.parametrize("file", ["bfloat16.pt", "bfloat16.safetensors"])
def test_a_timm_checkpoint_in_bfloat16_is_read_to_the_bit(timm, row, file):
    folder = timm / row.architecture
    whole, half = (row.tiny(weights=folder / name) for name in ("model.pth", file))
    for exact, rounded in zip(whole.get_weights(), half.get_weights(), strict=True):
        # bfloat16 keeps 8 bits of a float32's 24, rounded to nearest
        assert np.all(np.abs(rounded - exact) <= 2.0**-8 * np.abs(exact))
        assert np.all(rounded.view(np.uint32) & 0xFFFF == 0)


def test_a_timm_checkpoint_on_a_model_with_the_tanh_gelu_says_that_answers_differ(timm):
    folder = timm / "mlp_mixer"
    model = MIXER.tiny(gelu="tanh", classifier_activation=None)
    with pytest.warns(UserWarning, match=r"model\.pth comes from code with gelu='erf', and 'mlp"):
        keras_mixer.load_weights(model, folder / "model.pth")
    expected = np.load(folder / "logits.npy")
    # the two forms differ by up to 5e-4 a unit: small, and far above rounding
    difference = np.abs(model(MIXER.images()) - expected).max() / np.abs(expected).max()
    assert TOLERANCE < difference < 1e-2
