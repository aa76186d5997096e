"""The user's `keras.json` and `keras.config` are his: the package computes the same under all of
them, or says in one line which setting is in the way."""

import json
import os
import subprocess
import sys
from functools import cache

import keras
import numpy as np
import pytest

import keras_mixer
from keras_mixer import data, tflite, training
from keras_mixer._backend import settings
from keras_mixer.layers import (
    Affine,
    DropPath,
    ImagePreprocessing,
    LayerNorm,
    LayerScale,
    Mlp,
    PatchEmbed,
)
from tests.cases import CASES, randomised
from tests.marks import slow
from tests.pictures import labelled
from tests.tflite.files import tiny_file, tiny_model
from tests.training import runs

SIXTEEN = {"float16": 2**-10, "bfloat16": 2**-7}  # what one rounding may change of a number


def floatx(dtype):
    """As in `keras.json`, where it is the policy, too."""
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)


# Name -> how to set it, and the 16-bit type in which new layers compute under it.
SETTINGS = {
    "channels_first": (lambda: keras.config.set_image_data_format("channels_first"), None),
    "epsilon 1e-3": (lambda: keras.config.set_epsilon(1e-3), None),
    "floatx float64": (lambda: floatx("float64"), None),
    "floatx float16": (lambda: floatx("float16"), "float16"),
    "floatx bfloat16": (lambda: floatx("bfloat16"), "bfloat16"),
    "policy mixed_float16": (lambda: keras.config.set_dtype_policy("mixed_float16"), "float16"),
    "policy mixed_bfloat16": (lambda: keras.config.set_dtype_policy("mixed_bfloat16"), "bfloat16"),
    "policy float16": (lambda: keras.config.set_dtype_policy("float16"), "float16"),
}
OFTEN = "channels_first", "floatx float16", "policy mixed_bfloat16"
every = pytest.mark.parametrize(
    "setting", [s if s == "channels_first" else slow(s) for s in SETTINGS]
)
MIXER = CASES[0]


def images(shape=(16, 32, 3), count=4):
    return np.random.default_rng(1).uniform(-1, 1, (count, *shape)).astype(np.float32)


def layer(kind, *arguments, shape=(5, 8)):
    def call(files):
        made = kind(*arguments)
        made.build((2, *shape))
        return randomised(made)(images(shape, 2))

    return call


def file_of(name):
    return lambda files: MIXER.tiny(weights=files / name)(images())


def saved(files):
    keras_mixer.save_weights(MIXER.trained(), files / "saved.npz", overwrite=True)
    return file_of("saved.npz")(files)


def loaded_into(files):
    model = MIXER.tiny()
    keras_mixer.load_weights(model, files / "model.npz")
    return model(images())


def first(batches):
    return np.concatenate([np.ravel(part) for part in next(iter(batches))])


def source():
    return data.arrays(*labelled(24))


def train(files):
    _, rows = training.train(
        runs.SHALLOW,
        source(),
        source(),
        recipe=runs.SIMPLE.but(epochs=1, random_erasing=0.3, mixup=0.4, cutmix=1.0),
        folder=files / f"run{len([*files.iterdir()])}",
    )
    return [rows[-1]["loss"], rows[-1]["val_loss"]]


def batches(files):
    with settings():  # layers of the user's own are made as he has set it
        augment = data.Augment(
            rand_augment=(1, 5.0),
            layers=(keras.layers.RandomErasing((0.3, 0.3)),),
            one_of=(keras.layers.CutMix((1.0, 1.0)),),
        )
    return first(data.training_batches(source(), 4, 8, augment=augment))


# New models and layers compute in the type that is set; name -> what gives numbers.
NEW = {
    "MlpMixer": lambda files: MIXER.trained()(images()),
    "ResMlp": lambda files: CASES[1].trained()(images()),
    "MixerTi4": lambda files: keras_mixer.MixerTi4(
        weights="cifar10", include_preprocessing=True, classifier_activation=None
    )(100 * images((32, 32, 3), 2) + 100),
    "weights .npz": file_of("model.npz"),
    "weights .weights.h5": file_of("model.weights.h5"),
    "weights .keras": file_of("model.keras"),
    "load_weights": loaded_into,
    "save_weights": saved,
    "Affine": layer(Affine),
    "DropPath": layer(DropPath, 0.3),
    "LayerNorm": layer(LayerNorm),
    "LayerScale": layer(LayerScale, 0.1),
    "Mlp": layer(Mlp, 6),
    "PatchEmbed": layer(PatchEmbed, 8, 2, shape=(4, 6, 3)),
}
# These compute in what the model was made in, or in float32.
SAME = {
    "load_model": lambda files: keras_mixer.load_model(files / "model.keras")(images()),
    "ImagePreprocessing": layer(ImagePreprocessing, shape=(4, 4, 3)),
    "resize": lambda files: keras_mixer.resize(tiny_model(), (32, 64))(images((32, 64, 3))),
    "resize_by_interpolation": lambda files: keras_mixer.resize_by_interpolation(
        tiny_model(), (12, 24)
    )(images((12, 24, 3))),
    "features": lambda files: keras_mixer.features(tiny_model())(images())["pre_logits"],
    "preprocess_input": lambda files: keras_mixer.preprocess_input(
        np.full((1, 16, 32, 3), 90), tiny_model()
    ),
    "preprocessing": lambda files: keras_mixer.preprocessing(tiny_model()).input_range,
    "Classifier": lambda files: tflite.Classifier(tiny_model())(images()[0])[0].score,
    "verify": lambda files: tflite.verify(tiny_model(), tiny_file(), images()).agreement,
}
SLOW = {
    "training_batches": batches,
    "evaluation_batches": lambda files: first(data.evaluation_batches(source(), 4, 8)),
    "evaluate": lambda files: [
        *training.evaluate(keras.saving.load_model(files / "small.keras"), source()).values()
    ],
    "convert": lambda files: tflite.Classifier(tflite.convert(tiny_model()))(images()[0])[0].score,
    "train": train,
    "static_int8": lambda files: (
        tflite.Classifier(tflite.convert(tiny_model(), "static_int8", calibration=images()))(
            images()[0]
        )[0].score
    ),
    "sensitivity": lambda files: [
        loss.error for loss in tflite.sensitivity(tiny_model(), "dynamic_int8", images())
    ],
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    with settings():
        model = MIXER.trained()
        model.save(folder / "model.keras")
        model.save_weights(folder / "model.weights.h5")
        keras_mixer.save_weights(model, folder / "model.npz")
        small = randomised(runs.SHALLOW(input_shape=(8, 8, 3), classes=3))
        small.save(folder / "small.keras")
    return folder


def number(values):
    values = keras.ops.convert_to_numpy(values) if hasattr(values, "dtype") else values
    return np.asarray(values, np.float64)


@cache
def under_defaults(way, files):
    with settings():
        keras.utils.set_random_seed(0)
        return number(way(files))


def apart(way, change, files):
    """The largest difference that a setting makes, over the largest number."""
    expected = under_defaults(way, files)
    with settings():
        keras.utils.set_random_seed(0)
        change()
        before = keras.config.floatx(), keras.config.image_data_format(), keras.config.epsilon()
        found = number(way(files))
        after = keras.config.floatx(), keras.config.image_data_format(), keras.config.epsilon()
    assert before == after
    assert found.shape == expected.shape
    return np.abs(found - expected).max() / np.abs(expected).max()


@every
def test_new_models_and_layers_compute_the_same_but_for_the_rounding_of_their_type(setting, files):
    change, dtype = SETTINGS[setting]
    # of 16 bits: a few roundings on the way; else float32's
    allowed = 8 * SIXTEEN[dtype] if dtype else 1e-6
    errors = {name: apart(way, change, files) for name, way in NEW.items()}
    assert {name: error for name, error in errors.items() if not error <= allowed} == {}


@every
def test_what_is_made_already_computes_the_same(setting, files):
    change, _ = SETTINGS[setting]
    errors = {name: apart(way, change, files) for name, way in SAME.items()}
    # a copy that `resize` makes keeps its types
    assert {name: error for name, error in errors.items() if not error <= 1e-6} == {}


@pytest.mark.slow
@pytest.mark.parametrize("setting", OFTEN)
@pytest.mark.parametrize("name", SLOW)
def test_data_training_and_conversion_take_no_settings_from_the_user(setting, name, files):
    assert apart(SLOW[name], SETTINGS[setting][0], files) <= 1e-6


@pytest.mark.parametrize("dtype", ["bfloat16", slow("float16"), slow("float64")])
def test_a_model_made_in_another_type_is_converted_in_float32(dtype):
    with settings():
        floatx(dtype)
        model = MIXER.trained(classifier_activation=None)
        content = tflite.convert(model)
    with settings():
        same = MIXER.tiny(classifier_activation=None)
        same.set_weights([number(weight) for weight in model.weights])
        expected = tflite.Classifier(same)(images()[0])
    for ours, theirs in zip(tflite.Classifier(content)(images()[0]), expected, strict=True):
        assert ours.index == theirs.index
        assert np.isclose(ours.score, theirs.score, rtol=1e-4)  # float32 in another order


def test_an_augmentation_with_channels_first_is_refused_and_named():
    with settings():
        keras.config.set_image_data_format("channels_first")
        augment = data.Augment(one_of=(keras.layers.CutMix((1.0, 1.0)),))
        with pytest.raises(ValueError, match=r"set_image_data_format\('channels_last'\) before"):
            data.training_batches(source(), 4, 8, augment=augment)


@pytest.mark.slow
def test_a_real_keras_json_with_legacy_keras_asked_for_changes_nothing(tmp_path):
    chosen = {"floatx": "float64", "image_data_format": "channels_first", "epsilon": 1e-3}
    (tmp_path / "keras.json").write_text(json.dumps(chosen | {"backend": "tensorflow"}))
    code = (
        "import keras, keras_mixer, numpy as np;"
        "x = np.linspace(-1, 1, 2 * 32 * 32 * 3).reshape(2, 32, 32, 3).astype('float32');"
        "model = keras_mixer.MixerTi4(weights='cifar10');"
        "assert keras.config.floatx() == 'float64';"
        "print(keras_mixer.tflite.Classifier(keras_mixer.tflite.convert(model))(x[0])[0].score)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "KERAS_HOME": str(tmp_path), "TF_USE_LEGACY_KERAS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    x = np.linspace(-1, 1, 2 * 32 * 32 * 3).reshape(2, 32, 32, 3).astype(np.float32)
    expected = tflite.Classifier(keras_mixer.MixerTi4(weights="cifar10"))(x[0])[0].score
    assert float(done.stdout.splitlines()[-1]) == pytest.approx(expected, rel=1e-4)
