"""What goes into released weights and what comes out."""

import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_mixer
from keras_mixer.imagenet import CLASSES, classes
from tests.cases import CASES
from tests.conftest import ROOT

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 16, 32, 3)).astype(np.uint8)
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]  # ImageNet's, a channel


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, PIXELS / 127.5 - 1),  # Google's Mixers
        ({"mean": 0, "std": 1}, PIXELS / 255),  # timm's miil weights
        ({"mean": MEAN, "std": STD}, (PIXELS / 255 - np.array(MEAN)) / np.array(STD)),
    ],
)
def test_pixels_come_into_the_range_of_the_weights(arguments, expected):
    images = keras_mixer.preprocess_input(PIXELS, **arguments)
    assert isinstance(images, np.ndarray)
    assert images.dtype == np.float32
    assert np.allclose(images, expected, atol=1e-6)  # float32 rounding of values below 3


@pytest.mark.usefixtures("mixed_bfloat16")
def test_under_mixed_bfloat16_pixels_keep_float32_s_precision():
    images = keras_mixer.preprocess_input(PIXELS)
    assert images.dtype == np.float32
    assert np.allclose(images, PIXELS / 127.5 - 1, atol=1e-6)  # float32 rounding
    model = CASES[0].tiny(include_preprocessing=True)
    assert model.get_layer("preprocessing").compute_dtype == "float32"


def test_integers_are_pixels_and_booleans_are_black_and_white():
    expected = keras_mixer.preprocess_input(PIXELS.astype(np.float32))
    for kind in (np.uint8, np.int64, np.uint16, np.uint64):
        assert np.array_equal(keras_mixer.preprocess_input(PIXELS.astype(kind)), expected)
    assert keras_mixer.preprocess_input(np.array([False, True])).tolist() == [-1, 1]
    with pytest.raises(ValueError, match=r"preprocess_input .*got 256 to 256.*pixels >> 8"):
        keras_mixer.preprocess_input(np.array([256]))


def test_a_tensor_stays_a_tensor_also_in_a_pipeline():
    import tensorflow as tf

    images = keras_mixer.preprocess_input(tf.constant(PIXELS))
    assert tf.is_tensor(images)
    data = tf.data.Dataset.from_tensor_slices(PIXELS).map(keras_mixer.preprocess_input)
    [first, *_] = data.as_numpy_iterator()
    assert data.element_spec == tf.TensorSpec((16, 32, 3), tf.float32)
    assert np.allclose(first, PIXELS[0] / 127.5 - 1, atol=1e-6)


@pytest.mark.slow
def test_on_jax_too_a_pipeline_is_preprocessed():
    code = (
        "import tensorflow as tf, keras_mixer, numpy as np\n"
        "data = tf.data.Dataset.from_tensors(np.array([[0, 255]], np.uint8))\n"
        "[x] = data.map(keras_mixer.preprocess_input).as_numpy_iterator()\n"
        "assert x.tolist() == [[-1, 1]], x\n"
        "assert keras_mixer.preprocess_input(np.uint8([0, 255])).tolist() == [-1, 1]\n"
    )
    environment = {"PATH": "/usr/bin:/bin", "KERAS_BACKEND": "jax"}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True)


@pytest.mark.parametrize("std", [0, [1, -1, 1]])
def test_a_deviation_that_cannot_be_divided_by_is_an_error(std):
    with pytest.raises(ValueError, match="std to be above 0"):
        keras_mixer.preprocess_input(PIXELS, std=std)


@pytest.mark.parametrize(
    ("preprocessing", "arguments"),
    [(True, {}), ((0, 1), {"mean": 0, "std": 1}), ((MEAN, STD), {"mean": MEAN, "std": STD})],
)
def test_a_model_that_preprocesses_takes_pixels(preprocessing, arguments, tmp_path):
    case = CASES[0]
    model = case.trained(include_preprocessing=preprocessing)
    plain = case.trained()
    expected = plain.predict(keras_mixer.preprocess_input(PIXELS, **arguments), verbose=0)
    # the same numbers up to float32 rounding of the input
    assert np.allclose(model.predict(PIXELS, verbose=0), expected, rtol=1e-5, atol=1e-6)
    assert [w.path for w in model.weights] == [w.path for w in plain.weights]
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert np.array_equal(again(PIXELS.astype(np.float32)), model(PIXELS.astype(np.float32)))


@pytest.mark.parametrize("wrong", ["tf", 1, (0.5,), (0, 0)])
def test_a_wrong_preprocessing_is_an_error_that_says_what_is_needed(wrong):
    with pytest.raises(ValueError, match=r"MlpMixer needs include_preprocessing .*; got"):
        CASES[0].tiny(include_preprocessing=wrong)


@pytest.mark.parametrize("count", CLASSES)
def test_classes_are_wordnet_ids_in_their_order_each_with_a_name(count):
    ids, names = zip(*classes(count), strict=True)
    assert len(ids) == count
    assert list(ids) == sorted(set(ids))
    assert all(len(i) == 9 and i[0] == "n" and i[1:].isdigit() for i in ids)
    assert all(name == name.strip() and name for name in names)


def test_classes_that_everybody_knows_have_their_numbers():
    """Of ImageNet-1k as in Keras's own list; of ImageNet-21k as BiT's and ViT's users know them."""
    known = {0: "tench", 1: "goldfish", 207: "golden retriever", 281: "tabby", 999: "toilet tissue"}
    assert {i: classes(1000)[i][1] for i in known} == known
    assert classes(1000)[388] == ("n02510455", "giant panda")
    assert classes(21843)[0] == ("n00004475", "organism")
    assert len(set(classes(21843)) & set(classes(1000))) == 999  # teddy's id changed meanwhile


@pytest.mark.parametrize("count", CLASSES)
def test_predictions_are_named_the_best_first(count):
    scores = np.zeros((2, count), np.float32)
    scores[0, [3, 5]] = 0.25, 0.75
    scores[1, -1] = 1
    first, second = keras_mixer.decode_predictions(keras.ops.convert_to_tensor(scores), top=2)
    assert first == [(*classes(count)[5], 0.75), (*classes(count)[3], 0.25)]
    assert second[0] == (*classes(count)[-1], 1.0)
    assert [len(row) for row in keras_mixer.decode_predictions(scores)] == [5, 5]


@pytest.mark.parametrize(
    ("scores", "top", "message"),
    [
        (np.zeros((2, 10)), 5, r"\[B, 1000\] or \[B, 21843\].*got shape \(2, 10\)"),
        (np.zeros(1000), 5, r"got shape \(1000,\)"),
        (np.zeros((1, 1000)), 0, "top to be from 1 to 1000; got 0"),
    ],
)
def test_scores_of_other_classes_are_an_error(scores, top, message):
    with pytest.raises(ValueError, match=message):
        keras_mixer.decode_predictions(scores, top)
