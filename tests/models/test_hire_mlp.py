"""What holds for Hire-MLP alone."""

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

import keras_mixer
from keras_mixer.models.hire_mlp import EVALUATION, HIRE_MLP, RegionMlp, circular
from tests import oracles
from tests.cases import randomised
from tests.conftest import ROOT

TOLERANCE = 1e-5  # float32 in another order of summation, relative to the largest logit
OFFICIAL = {
    "widths": (16, 24, 32, 40),
    "depths": (2, 2, 4, 2),
    "regions": (4, 3, 3, 2),
    "shift_cycles": (2, 2, 3, 2),
    "shift_steps": (2, 2, 1, 1),
    "channel_mlp_ratio": 4,
    "input_shape": (76, 148, 3),
}


@pytest.fixture(scope="module")
def official():
    with np.load(ROOT / "tests/models/official/hire_mlp.npz") as file:
        arrays = dict(file)
    images, logits = arrays.pop("images"), arrays.pop("logits")
    return {n.removeprefix("weights/"): a for n, a in arrays.items()}, images, logits


def test_it_computes_what_the_official_code_computes(official, tmp_path):
    weights, images, expected = official
    save_file(weights, tmp_path / "model.safetensors")
    model = keras_mixer.HireMlp(
        **OFFICIAL, weights=tmp_path / "model.safetensors", classifier_activation=None
    )
    logits = model.predict(images, verbose=0)
    assert np.abs(logits - expected).max() < TOLERANCE * np.abs(expected).max()


def test_what_is_saved_in_the_official_layout_is_what_the_official_code_wrote(official):
    weights, _, _ = official
    [layout] = HIRE_MLP.layouts
    again = layout.write({path: array for path, (_, array) in layout.read(weights).items()})
    trained = {name for name in weights if not name.endswith("num_batches_tracked")}
    assert again.keys() == trained
    assert all(np.array_equal(again[name], weights[name]) for name in trained)


def test_a_block_that_is_missing_in_a_file_is_an_error(official, tmp_path):
    weights, _, _ = official
    some = {name: a for name, a in weights.items() if not name.startswith("network.4.1.")}
    save_file(some, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="Only in the model") as error:
        keras_mixer.HireMlp(**OFFICIAL, weights=tmp_path / "model.safetensors")
    assert "stage_2_block_1/" in str(error.value)


def test_a_circular_axis_starts_anywhere_and_goes_round_as_often_as_asked():
    x = np.arange(5)[None, :, None]
    for start in range(-7, 8):
        for count in range(1, 13):
            found = keras.ops.convert_to_numpy(circular(x, 1, start, count))[0, :, 0]
            assert found.tolist() == [(start + i) % 5 for i in range(count)]


@pytest.mark.parametrize("axis", [1, 2])
def test_a_cell_reaches_its_region_and_no_other(axis):
    """Of 8 cells in regions of 4, moved by 1: cells 3 to 6 are one region, 7 to 2 the other."""
    layer = RegionMlp(axis, 4, 1)
    image = np.zeros((1, 8, 8, 4), np.float32)
    layer.build(image.shape)
    for weight in layer.weights:
        weight.assign(np.abs(weight) + 0.1)  # nothing is cut off by ReLU
    before = keras.ops.convert_to_numpy(layer(image))
    image[0, 4, 4] = 1
    moved = np.any(keras.ops.convert_to_numpy(layer(image)) != before, axis=(0, 3))
    cells = np.argwhere(moved if axis == 1 else moved.T)
    assert {tuple(cell) for cell in cells.tolist()} == {(i, 4) for i in range(3, 7)}


@pytest.mark.parametrize("size", [(3, 3), (7, 100), (33, 5), (47, 64)])
def test_it_takes_images_of_any_size_as_the_oracle_does(size):
    model = randomised(
        keras_mixer.HireMlp(
            **OFFICIAL | {"input_shape": (*size, 3), "classes": 7}, classifier_activation=None
        )
    )
    images = np.random.default_rng(1).uniform(-1, 1, (2, *size, 3)).astype(np.float32)
    weights = {w.path: keras.ops.convert_to_numpy(w).astype(np.float64) for w in model.weights}
    expected = oracles.hire_mlp(weights, images.astype(np.float64))
    assert np.abs(model(images) - expected).max() < TOLERANCE * np.abs(expected).max()


def test_its_released_weights_are_evaluated_as_their_authors_do():
    for builder in HIRE_MLP.variants.values():
        for release in builder.releases.values():
            assert release.preprocessing is EVALUATION
    assert EVALUATION.enlarged((224, 224)) == [256, 256]


@pytest.mark.parametrize(("width", "message"), [(2, "4 .* 2"), (5, "2 .* 5"), (6, "4 .* 6")])
def test_a_width_that_4_does_not_divide_is_an_error(width, message):
    number, got = message.split(" .* ")
    with pytest.raises(ValueError, match=rf"needs channels that {number} divides; got {got}\."):
        keras_mixer.HireMlp(
            widths=(width,),
            depths=(1,),
            regions=(2,),
            shift_cycles=(1,),
            shift_steps=(1,),
            channel_mlp_ratio=2,
            input_shape=(32, 32, 3),
        )


def test_an_image_that_the_stem_cannot_take_is_an_error():
    with pytest.raises(ValueError, match="images of at least 3 x 3; got 1 x 2"):
        keras_mixer.HireMlpTiny(input_shape=(1, 2, 3))
    assert keras_mixer.HireMlpTiny(input_shape=(3, 3, 3)).output_shape == (None, 1000)
