"""What holds for MLP-Mixer alone."""

import keras
import numpy as np
import pytest

import keras_mixer
from tests import oracles
from tests.cases import BY_NAME

MIXER = BY_NAME["mlp_mixer"]


def test_the_erf_gelu_is_the_exact_one():
    model, images = MIXER.trained(classifier_activation=None, gelu="erf"), MIXER.images()
    weights = {w.path: keras.ops.convert_to_numpy(w).astype(np.float64) for w in model.weights}
    exact, tanh = (
        oracles.mlp_mixer(weights, images.astype(np.float64), gelu)
        for gelu in (oracles.gelu_erf, oracles.gelu_tanh)
    )
    logits = model.predict(images, verbose=0)
    tolerance = 1e-5 * np.abs(exact).max()  # float32 rounding, relative to the largest logit
    assert np.abs(logits - exact).max() < tolerance < np.abs(logits - tanh).max()


def test_a_new_model_finds_every_class_equally_likely():
    probabilities = MIXER.tiny().predict(MIXER.images(), verbose=0)
    assert np.allclose(probabilities, 1 / 7, rtol=1e-6)  # a zero head, then softmax


def test_stochastic_depth_rises_in_a_straight_line_to_the_last_block():
    model = MIXER.tiny(depth=5, drop_path_rate=0.2)
    rates = [model.get_layer(f"block_{i}").drop_path_rate for i in range(5)]
    assert rates == pytest.approx([0, 0.05, 0.1, 0.15, 0.2], rel=1e-12)


def test_the_paths_of_its_weights_are_the_public_ones():
    paths = {w.path for w in MIXER.tiny(depth=1).weights}
    assert paths == {
        *("stem/kernel", "stem/bias"),
        *("block_0/token_norm/gamma", "block_0/token_norm/beta"),
        *("block_0/token_mlp/expand/kernel", "block_0/token_mlp/expand/bias"),
        *("block_0/token_mlp/project/kernel", "block_0/token_mlp/project/bias"),
        *("block_0/channel_norm/gamma", "block_0/channel_norm/beta"),
        *("block_0/channel_mlp/expand/kernel", "block_0/channel_mlp/expand/bias"),
        *("block_0/channel_mlp/project/kernel", "block_0/channel_mlp/project/bias"),
        *("norm/gamma", "norm/beta", "head/kernel", "head/bias"),
    }


def test_moving_whole_patches_changes_the_answer():
    """Token mixing knows places: it is not a bag of patches."""
    model, images = MIXER.trained(classifier_activation=None), MIXER.images()
    moved = np.roll(images, 4, axis=2)
    assert not np.allclose(model(images), model(moved), rtol=1e-2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (225, 224, 3)}, r"multiples of 16; got 225 x 224\. .* 224 x 224"),
        ({"input_shape": (None, None, 3)}, "fixed number of tokens.*input_shape"),
        ({"input_shape": (224, 224)}, "fixed number of tokens.*input_shape"),
        ({"input_tensor": np.zeros((1, 224, 224, 3))}, "Keras tensor.*ndarray"),
        ({"pooling": "sum"}, "'avg' or 'max'; got 'sum'"),
        ({"classes": 0}, "classes.*got 0"),
        ({"gelu": "relu"}, "'tanh' or 'erf'; got 'relu'"),
        ({"drop_path_rate": 1.0}, r"rate in \[0, 1\); got 1.0"),
    ],
)
def test_a_wrong_argument_is_an_error_that_says_what_is_needed_and_what_came(arguments, message):
    with pytest.raises(ValueError, match=message):
        keras_mixer.MixerS16(**arguments)


def test_a_weights_file_that_is_not_there_is_named():
    with pytest.raises(FileNotFoundError, match=r"nowhere\.weights\.h5"):
        keras_mixer.MixerS16(weights="nowhere.weights.h5")


def test_numpy_s_whole_numbers_are_whole_numbers(tmp_path):
    model = MIXER.tiny(classes=np.arange(5).max(), input_shape=np.array([16, 32, 3]))
    assert model.output_shape == (None, 4)
    model.save(tmp_path / "model.keras")


def test_sizes_are_fixed_for_a_variant_and_asked_for_otherwise():
    with pytest.raises(TypeError, match=r"MixerS16\(\).*'patch_size'"):
        keras_mixer.MixerS16(patch_size=8)
    with pytest.raises(TypeError, match=r"MlpMixer\(\).*'patch_size'"):
        keras_mixer.MlpMixer()
