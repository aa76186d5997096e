"""Pictures of weights."""

import numpy as np
import pytest

import keras_mixer
from keras_mixer.visualize import paired_order
from tests.cases import BY_NAME

MIXER = BY_NAME["mlp_mixer"]


def wave(frequency, phase=1):
    columns = np.arange(16) / 16
    return phase * np.tile(np.cos(2 * np.pi * frequency * columns), (8, 1))


def test_units_go_from_low_to_high_frequencies_each_before_its_opposite():
    maps = np.stack([wave(5), wave(1, -1), wave(3), wave(5, -2), wave(1), wave(3, -1)])
    assert [sorted(pair) for pair in np.reshape(paired_order(maps), (3, 2))] == [
        [1, 4],
        [2, 5],
        [0, 3],
    ]


@pytest.mark.parametrize("count", [1, 2, 7, 20])
def test_every_unit_is_drawn_once(count):
    maps = np.random.default_rng(0).normal(size=(count, 4, 8))
    assert sorted(paired_order(maps)) == list(range(count))


def test_a_unit_s_weights_are_drawn_where_its_patches_lie():
    model = MIXER.trained()
    kernel = np.zeros((32, 20), np.float32)
    kernel[8 * 2 + 5] = 1  # every unit looks at the patch in row 2, column 5 of 4 x 8
    model.get_layer("block_0").token_mlp.expand.kernel.assign(kernel)
    figure = keras_mixer.show_weights(model, [0], units=2)
    [image] = figure.axes[0].images
    picture = image.get_array().filled(np.nan)
    assert picture.shape == (4, 8 + 1 + 8)
    assert np.argwhere(picture == 1).tolist() == [[2, 5], [2, 9 + 5]]
    assert np.isnan(picture[:, 8]).all()


def test_blocks_stand_side_by_side_by_name():
    figure = keras_mixer.show_weights(MIXER.trained(), (1, 0))
    assert [axes.get_title() for axes in figure.axes] == ["block_1", "block_0"]


def test_the_grid_of_a_resized_model_is_the_larger_one():
    resized = keras_mixer.resize(MIXER.trained(), (32, 64))
    figure = keras_mixer.show_weights(resized, [0], units=2)
    assert figure.axes[0].images[0].get_array().shape == (8, 16 + 1 + 16)


@pytest.mark.parametrize(
    ("blocks", "units", "message"),
    [
        ([7], 8, "has block_0, block_1; got block_7"),
        ([], 8, "got none"),
        ([0], 1, "units to be a whole number of at least 2; got 1"),
    ],
)
def test_what_cannot_be_drawn_is_an_error(blocks, units, message):
    with pytest.raises(ValueError, match=message):
        keras_mixer.show_weights(MIXER.tiny(), blocks, units=units)
