"""A wrong argument of a public function is an error that says which, and what is needed."""

import keras
import numpy as np
import pytest

import keras_mixer
from keras_mixer import data, layers, tflite, training
from tests.cases import CASES

IMAGES = np.zeros((6, 16, 32, 3), np.uint8)
CLASSES = np.arange(6) % 3


def model():
    return CASES[0].tiny(depth=1)


def source():
    return data.arrays(IMAGES, CLASSES)


SOURCE = r"needs a Source of keras_mixer\.data, such as data\.arrays.*got tuple"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: layers.Mlp(0), "^Mlp 'mlp.*' needs hidden_dim to be .* at least 1; got 0"),
        (lambda: layers.PatchEmbed(-1, 4), "^PatchEmbed .* needs width to be .* got -1"),
        (lambda: layers.PatchEmbed(8, 1.5), r"^PatchEmbed .* needs patch_size to be .* got 1\.5"),
        (lambda: keras_mixer.freeze(5), "^freeze needs a Keras model; got int"),
        (lambda: keras_mixer.unfreeze("MixerB16"), "^unfreeze needs a Keras model; got str"),
        (lambda: keras_mixer.preprocessing(5), "^preprocessing needs a Keras model; got int"),
        (lambda: keras_mixer.show_weights(5), "^show_weights needs a Keras model; got int"),
        (
            lambda: keras_mixer.show_weights(model(), [0], units="x"),
            "units to be a whole number of at least 2; got 'x'",
        ),
        (lambda: data.hold_out((IMAGES, CLASSES)), f"^hold_out {SOURCE}"),
        (lambda: data.hold_out(source(), 0), "^hold_out needs every to be .* got 0"),
        (lambda: data.training_batches((IMAGES, CLASSES), 2, 8), f"^training_batches {SOURCE}"),
        (lambda: data.evaluation_batches((IMAGES, CLASSES), 2, 8), f"^evaluation_batches {SOURCE}"),
        (lambda: training.evaluate(5, source()), "^evaluate needs a Keras model; got int"),
        (lambda: training.evaluate(model(), (IMAGES, CLASSES)), f"^evaluate {SOURCE}"),
        (lambda: training.confusion(model(), (IMAGES, CLASSES)), f"^confusion {SOURCE}"),
        (
            lambda: training.evaluate(model(), source(), batch_size="x"),
            "^evaluate needs batch_size to be .* got 'x'",
        ),
        (lambda: tflite.Classifier(None), "its content, as bytes; got NoneType"),
        (lambda: tflite.inspect(5), "its content, as bytes; got int"),
        (
            lambda: tflite.export(model(), "app", name=5),
            "^with_metadata needs name to be text; got 5",
        ),
    ],
)
def test_a_wrong_argument_is_named(call, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        call()
    assert list(tmp_path.iterdir()) == []
    keras.utils.clear_session(free_memory=False)
