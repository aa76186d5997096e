"""A wrong argument of a public function is an error that says which, and what is needed."""

import keras
import numpy as np
import pytest

import keras_mixer
from keras_mixer import Preprocessing, data, layers, tflite, training
from keras_mixer.quickstart import quickstart
from tests.cases import CASES
from tests.tflite.files import tiny_file

IMAGES = np.zeros((6, 16, 32, 3), np.uint8)
CLASSES = np.arange(6) % 3


def model():
    return CASES[0].tiny(depth=1)


def source():
    return data.arrays(IMAGES, CLASSES)


def silent():
    """A model that does not say what images it takes."""
    image = keras.Input((8, 8, 3))
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))


def two_inputs():
    image, other = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    return keras.Model([image, other], image + other)


class Own(keras.layers.Layer):
    """A layer whose class takes less than its config says."""

    def __init__(self, units=2, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def get_config(self):
        return super().get_config() | {"unit": self.units}

    def call(self, x):
        return x


def with_own():
    backbone = CASES[0].tiny(include_top=False, depth=1)
    return keras.Model(backbone.input, Own(name="own")(backbone.output))


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
        (
            lambda: keras_mixer.preprocess_input("cat.jpg"),
            r"^preprocess_input needs pixels .* got 'cat\.jpg'.*load_img",
        ),
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
            lambda: tflite.with_metadata(tiny_file(), tflite.Metadata(name=5)),
            "^with_metadata needs name to be text; got 5",
        ),
        (lambda: data.arrays(IMAGES.astype(str), CLASSES), "^arrays needs images of numbers; got"),
        (
            lambda: data.evaluation_image(IMAGES[0], Preprocessing()),
            "by a Preprocessing with a size; got Preprocessing",
        ),
        (
            lambda: CASES[0].tiny(input_tensor=keras.Input((8, 8, 3)), input_shape=(16, 32, 3)),
            r"^MlpMixer was given .* \(8, 8, 3\) and input_shape=\(16, 32, 3\); leave input_shape",
        ),
        (lambda: quickstart("app", epochs=0), "^quickstart needs epochs to be 1 or more; got 0"),
        (
            lambda: tflite.convert(model(), integer_io=True, integer_ends=True),
            "^convert takes integer_io or its old name integer_ends, not both",
        ),
        (
            lambda: tflite.sensitivity(model(), "float16", IMAGES, count=0),
            "needs count to be a number of images from 1; got 0",
        ),
        (
            lambda: tflite.verify(model(), model(), IMAGES),
            r"^verify takes the Keras model first and the \.tflite file second",
        ),
        (
            lambda: tflite.verify(model(), tiny_file(), IMAGES, cut_as="phone"),
            "^verify needs cut_as to be None or 'mediapipe'; got 'phone'",
        ),
        (
            lambda: tflite.verify(silent(), tflite.convert(silent()), data.arrays(IMAGES, CLASSES)),
            "^verify needs the scale of pixels .* does not state it; pass input_range=",
        ),
        (
            lambda: training.evaluate(two_inputs(), source()),
            "^evaluate needs a model of one image .* takes .*8, 8, 3.*8, 8, 3",
        ),
        (lambda: keras_mixer.resize(two_inputs(), 16), "one image of a fixed size; .* takes"),
        (
            lambda: keras_mixer.resize(with_own(), (32, 64)),
            r"resize cannot resize 'own' \(Own\).*get_config\(\) is not what its class takes",
        ),
        (lambda: training.strategy("cpu", replicas=0), "needs kind 'cpu'; got replicas=0"),
    ],
)
def test_a_wrong_argument_is_named(call, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        call()
    assert list(tmp_path.iterdir()) == []
    keras.utils.clear_session(free_memory=False)


@pytest.mark.parametrize(
    ("backend", "call", "message"),
    [
        ("jax", lambda: tflite.convert(model()), "^convert needs Keras on the TensorFlow backend"),
        (
            "torch",
            training.strategy,
            "^Training needs Keras on TensorFlow or JAX; it runs on torch",
        ),
        ("jax", lambda: training.strategy(tpu="x"), "^tpu= is for TensorFlow"),
    ],
)
def test_another_backend_is_named_with_the_cure(backend, call, message, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    with pytest.raises((RuntimeError, ValueError), match=message):
        call()
