"""Multiply-accumulate operations."""

import csv

import keras
import pytest

import keras_mixer
from keras_mixer.models.architecture import COUNTED
from tests.cases import PILOTS, SMALLEST
from tests.counted import counted
from tests.marks import slow

# In billions at 224 x 224: as published, or, where papers say less or count otherwise, as computed
# by hand from the sizes. A paper's FLOPs are taken as they are, and those of gMLP are halved.
PUBLISHED = {
    "MixerB16": 12.6,
    "ResMlpS12": 3.0,
    "ResMlpS24": 6.0,
    "ResMlpS36": 8.9,
    "ResMlpB24": 100.2,
    "GMlpTi": 1.329,
    "GMlpS": 4.392,
    "GMlpB": 31.6 / 2,
    "GMixer12": 2.66,
    "GMixer24": 5.26,
    "CcsMixerB16": 11.57,
    "CcsResMlpS36": 8.91,
    "S2MlpWide": 14.0,
    "S2MlpDeep": 10.5,
    "S2MlpV2Small7": 6.9,
    "S2MlpV2Medium7": 16.3,
    "HireMlpTiny": 2.144,
    "HireMlpSmall": 4.2,
    "HireMlpBase": 8.1,
    "HireMlpLarge": 13.4,
}


@pytest.fixture(scope="module")
def rows():
    with COUNTED.open() as file:
        return {row["model"]: row for row in csv.DictReader(file)}


SMALL = [SMALLEST[case.architecture] for case in PILOTS]


@pytest.mark.parametrize(
    "name", [name if name in SMALL else slow(name) for name in keras_mixer.list_models()]
)
def test_the_file_has_what_is_counted(name, rows):
    found = {key: str(value) for key, value in counted(name).items()}
    assert rows[name] == found, "write the file anew: python -m tests.counted"


def test_the_file_has_the_models_in_their_order(rows):
    assert [*rows] == keras_mixer.list_models()


@pytest.mark.parametrize("name", PUBLISHED)
def test_it_is_what_papers_say(name):
    assert getattr(keras_mixer, name).macs == pytest.approx(PUBLISHED[name] * 1e9, rel=0.01)


LAYERS = {
    "Dense": (keras.layers.Dense(5), (3, 4), 3 * 4 * 5),
    "Conv2D": (keras.layers.Conv2D(5, 3, 2), (7, 9, 4), 3 * 4 * 5 * 9 * 4),
    "groups": (keras.layers.Conv2D(6, 3, groups=2), (7, 9, 4), 5 * 7 * 6 * 9 * 2),
    "depthwise": (keras.layers.DepthwiseConv2D(3), (7, 9, 4), 5 * 7 * 4 * 9),
    "einsum": (keras.layers.EinsumDense("abc,cde->abde", (3, 5, 6)), (3, 4), 3 * 4 * 5 * 6),
    "attention": (keras.layers.MultiHeadAttention(2, 3), (5, 4), 4 * 5 * 4 * 6 + 2 * 5 * 5 * 6),
    "norm": (keras.layers.LayerNormalization(), (3, 4), 0),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_s_products_are_counted(name):
    layer, shape, expected = LAYERS[name]
    x = keras.Input(shape)
    y = layer(x, x) if name == "attention" else layer(x)
    assert keras_mixer.count_macs(keras.Model(x, y)) == expected


def test_several_inputs_are_counted():
    a, b = keras.Input((3,), name="a"), keras.Input((4,), name="b")
    model = keras.Model({"a": a, "b": b}, keras.layers.Dense(2)(a) + keras.layers.Dense(2)(b))
    assert keras_mixer.count_macs(model) == 2 * (3 + 4)


def test_a_model_for_images_of_any_size_is_refused():
    x = keras.Input((None, None, 3))
    with pytest.raises(ValueError, match="inputs of known size"):
        keras_mixer.count_macs(keras.Model(x, keras.layers.Conv2D(2, 3)(x)))


def test_what_cannot_be_counted_is_refused():
    x = keras.Input((4,))
    fft = keras.Model(x, keras.ops.fft((x, x))[0])
    with pytest.raises(ValueError, match="the operation FFT"):
        keras_mixer.count_macs(fft)
    x = keras.Input((4, 3))
    with pytest.raises(ValueError, match="While"):
        keras_mixer.count_macs(keras.Model(x, keras.layers.GRU(2)(x)))
