"""Models from disk or by name."""

import shutil

import keras
import numpy as np
import pytest

import keras_mixer
from keras_mixer import training
from keras_mixer.loading import class_names
from tests.training import runs


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    runs.simply(folder, recipe=runs.SIMPLE.but(epochs=1))
    return folder


def test_a_run_s_folder_gives_its_best_model_and_its_classes(run):
    model = keras_mixer.load_model(run)
    best = keras.saving.load_model(run / "best.keras")
    for one, other in zip(model.weights, best.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not model.compiled
    assert keras_mixer.load_model(str(run / "last.keras")).output_shape == (None, 3)
    assert class_names(run, count=3).read_text().splitlines() == ["0", "1", "2"]
    _, held_out = runs.sources()
    assert training.evaluate(model, held_out, run=run)["images"] == 43


def test_a_run_without_some_of_its_files_says_what_is_wrong(run, tmp_path):
    damaged = shutil.copytree(run, tmp_path / "run")
    (damaged / "labels.txt").write_text("2\n1\n0\n")
    with pytest.raises(ValueError, match=r"another order than the run.* class 0 is '0'"):
        class_names(damaged, count=3)
    (damaged / "labels.txt").unlink()
    assert class_names(damaged, count=3) == ["0", "1", "2"]
    (damaged / "state.safetensors").write_bytes(b"no state")
    with pytest.raises(ValueError, match="not known which images the run held out"):
        training.evaluation_source(tmp_path, run=damaged)
    (damaged / "best.keras").unlink()
    with pytest.raises(FileNotFoundError, match=r"It has .*last\.keras; give that"):
        keras_mixer.load_model(damaged)


def test_a_name_gives_a_new_model_or_released_weights():
    model = keras_mixer.load_model("MixerTi4", weights="cifar10")
    assert model.output_shape == (None, 10)
    assert class_names("MixerTi4", "cifar10", count=10).read_text().split()[3] == "cat"
    assert class_names("MixerTi4", count=1000) is None
    names = class_names("MixerB16", "imagenet1k", count=1000)
    assert (len(names), names[0]) == (1000, "tench")


def test_what_is_not_there_is_an_error_that_says_so(run, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no Keras model at 'nowhere\.keras'"):
        keras_mixer.load_model("nowhere.keras")
    with pytest.raises(FileNotFoundError, match=r"holds no best\.keras: it is not the folder of a"):
        keras_mixer.load_model(tmp_path)
    with pytest.raises(ValueError, match="Did you mean 'MixerB16'"):
        keras_mixer.load_model("MixerB61")
    with pytest.raises(ValueError, match="has weights of its own"):
        keras_mixer.load_model(run, weights="imagenet1k")


@pytest.mark.parametrize(
    ("path", "advice"),
    [
        ("x.h5", r"older format.*keras\.models\.load_model\('x\.h5'\), and save it as \.keras"),
        ("x.weights.h5", r"holds weights alone.*MixerB16\(weights='x\.weights\.h5'\)"),
        ("x.pth", r"holds weights alone.*MixerB16 --weights x\.pth"),
        ("x.npz", "holds weights alone"),
        ("x.safetensors", "holds weights alone"),
        ("x.tflite", r"run by keras_mixer\.tflite\.Classifier\('x\.tflite'\)"),
    ],
)
def test_what_is_no_keras_file_is_answered_with_what_to_do(path, advice):
    with pytest.raises(ValueError, match=f"{path}', and no run's folder there.*{advice}") as caught:
        keras_mixer.load_model(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"does not download; got 'https://some\.where/x\.keras'"):
        keras_mixer.load_model("https://some.where/x.keras")


def test_a_run_s_folder_gives_its_weights_to_builders_and_models(run, monkeypatch):
    best = keras_mixer.load_model(run)
    monkeypatch.chdir(run.parent)
    for folder in (run, str(run), "run", "./run"):
        model = runs.SHALLOW(input_shape=(8, 8, 3), weights=folder)
        assert model.output_shape == (None, 3)
        np.testing.assert_array_equal(model.weights[0], best.weights[0])
    model = runs.SHALLOW(input_shape=(8, 8, 3), classes=3)
    keras_mixer.load_weights(model, run)
    np.testing.assert_array_equal(model.weights[-1], best.weights[-1])


def test_a_file_that_would_run_code_is_refused(tmp_path):
    image = keras.Input((8, 8, 1))
    keras.Model(image, keras.layers.Lambda(lambda x: x)(image)).save(tmp_path / "code.keras")
    with pytest.raises(ValueError, match=r"code\.keras does not load as a Keras model: .*Lambda"):
        keras_mixer.load_model(tmp_path / "code.keras")
