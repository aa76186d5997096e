"""Models of one channel from the weights of three."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest

import keras_mixer
from keras_mixer import Preprocessing
from tests.cases import CASES, OTHERS

MIXER = CASES[0]
COLOUR = Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # differs by channel
SUMS = pytest.warns(
    UserWarning, match="three channels are summed, so a grey image gets (nearly )?the scores"
)


def grey_tiny(case, **arguments):
    """A tiny model for images of one channel."""
    shape = *case.images().shape[1:3], 1
    return case.tiny(input_shape=shape, classifier_activation=None, **arguments)


def padding_of(case):
    """Whether a model's stem pads images, and how near the scores then are: 1e-5 is rounding.

    What is around a grey image is the mean of all channels, around one in colour that of each.
    """
    padded = keras_mixer.models.ARCHITECTURES[case.architecture].padded_stem
    return padded, 0.05 if padded else 1e-5


def grey_pixels(model):
    shape = 4, *model.input_shape[1:3], 1
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)


def answers_as_in_colour(grey, colour, tolerance=1e-5):
    """Whether a grey picture gets the scores of the same picture in three equal channels."""
    pixels = grey_pixels(grey)
    expected = np.asarray(
        colour(keras_mixer.preprocess_input(np.repeat(pixels, 3, axis=-1), colour))
    )
    found = np.asarray(grey(keras_mixer.preprocess_input(pixels, grey)))
    return np.abs(found - expected).max() < tolerance * np.abs(expected).max()


@pytest.mark.cases(CASES, slow=CASES[1:])
@pytest.mark.filterwarnings("ignore:save_weights:UserWarning")  # both models follow the file
@pytest.mark.parametrize("layout", ["official", "timm", None])
def test_a_grey_image_gets_the_scores_of_three_equal_channels(case, layout, tmp_path):
    model = case.trained(classifier_activation=None, preprocessing=COLOUR)
    if layout is None:
        path = tmp_path / "model.keras"
        model.save(path)
    else:
        known = keras_mixer.models.ARCHITECTURES[case.architecture].layouts
        suffixes = [each.suffix for each in known if each.name == layout]
        if not suffixes:
            pytest.skip(f"it has no {layout} layout")
        [suffix] = suffixes
        path = tmp_path / f"model{suffix}"
        keras_mixer.save_weights(model, path, layout=layout)
        fields = {"mean": COLOUR.mean, "std": COLOUR.std}  # as timm writes it
        path.with_name("config.json").write_text(json.dumps({"pretrained_cfg": fields}))
    colour = case.tiny(weights=path, classifier_activation=None)
    padded, tolerance = padding_of(case)
    with pytest.warns(UserWarning, match="summed") as caught:
        grey = grey_tiny(case, weights=path)
    assert ("nearly the scores" in str(caught[0].message)) == padded
    takes = keras_mixer.preprocessing(grey)
    assert (takes.mean, takes.std) == (np.mean(COLOUR.mean), np.mean(COLOUR.std))
    assert answers_as_in_colour(grey, colour, tolerance)
    grey.save(tmp_path / "grey.keras")  # and what comes of it is of one channel, without a word
    assert answers_as_in_colour(keras_mixer.load_model(tmp_path / "grey.keras"), colour, tolerance)
    assert answers_as_in_colour(grey_tiny(case, weights=tmp_path / "grey.keras"), colour, tolerance)


@pytest.mark.cases(CASES, slow=OTHERS)
def test_pixels_may_be_normalised_within_the_model_too(case, tmp_path):
    model = case.trained(classifier_activation=None, include_preprocessing=True)
    model.save(tmp_path / "model.keras")
    with SUMS:
        grey = grey_tiny(case, weights=tmp_path / "model.keras", include_preprocessing=True)
    _, tolerance = padding_of(case)
    pixels = grey_pixels(grey)
    expected = np.asarray(model(np.repeat(pixels, 3, axis=-1)))
    assert np.abs(np.asarray(grey(pixels)) - expected).max() < tolerance * np.abs(expected).max()


def test_a_preprocessing_that_is_given_is_that_of_the_weights(tmp_path):
    model = MIXER.trained(classifier_activation=None)
    model.save_weights(tmp_path / "model.weights.h5")  # does not say what images it takes
    path, given = tmp_path / "model.weights.h5", replace(COLOUR, crop="resmall_crop")
    colour = MIXER.tiny(weights=path, preprocessing=given, classifier_activation=None)
    with SUMS:
        grey = grey_tiny(MIXER, weights=path, preprocessing=given)
    assert keras_mixer.preprocessing(grey).crop == "resmall_crop"
    assert answers_as_in_colour(grey, colour)


def test_released_weights_are_summed(monkeypatch):
    with SUMS:
        grey = keras_mixer.MixerTi4(weights="cifar10", input_shape=(32, 32, 1))
    colour = keras_mixer.MixerTi4(weights="cifar10")
    x = np.random.default_rng(0).uniform(-1, 1, (4, 32, 32, 1)).astype(np.float32)
    expected = np.asarray(colour(np.repeat(x, 3, axis=-1)))
    assert np.abs(np.asarray(grey(x)) - expected).max() < 1e-5


@pytest.mark.parametrize("channels", [2, 4])
def test_another_number_of_channels_is_an_error_that_says_what_is_possible(channels):
    message = f"of 3 channels, and the model takes {channels}\\..*input_tensor=keras"
    with pytest.raises(ValueError, match=message) as caught:
        keras_mixer.MixerTi4(weights="cifar10", input_shape=(32, 32, channels))
    assert "Weights for 3 channels also go into a model of 1." in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_the_error_says_works():
    image = keras.Input((32, 32, 4))
    x = keras.layers.Conv2D(3, 1)(image)
    model = keras_mixer.MixerTi4(weights="cifar10", input_tensor=x)
    assert model.output_shape == (None, 10)


def test_load_weights_into_a_model_of_one_channel_names_the_cure(tmp_path):
    keras_mixer.save_weights(MIXER.trained(), tmp_path / "model.npz")
    with pytest.raises(ValueError, match=r"give the file to the builder as weights=, which sums"):
        keras_mixer.load_weights(MIXER.tiny(input_shape=(16, 32, 1)), tmp_path / "model.npz")


def test_a_new_model_of_one_channel_takes_the_mean_of_the_paper_s_normalisation():
    takes = keras_mixer.preprocessing(CASES[1].tiny(input_shape=(16, 32, 1)))
    assert (takes.mean, takes.std) == (pytest.approx(0.449), pytest.approx(0.226))
