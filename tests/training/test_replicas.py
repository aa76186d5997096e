"""Two replicas and two machines learn what one device learns."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_mixer
from keras_mixer import training
from keras_mixer._backend import LOAD, jit_compile
from keras_mixer.training.devices import jit_compile_for_training, warn_of_batch_norms
from tests.conftest import ROOT
from tests.marks import slow
from tests.training import on_two_replicas
from tests.training.forks import fork

CLOSE = 1e-4  # relative; sums in another order differ by about 1e-7


def assert_same(one, other):
    assert len(one["losses"]) == 6
    np.testing.assert_allclose(one["losses"], other["losses"], rtol=CLOSE)
    assert one["losses"][-1] < one["losses"][0]
    assert one["last"]["val_images"] == other["last"]["val_images"]
    assert one["last"]["val_loss"] == pytest.approx(other["last"]["val_loss"], rel=CLOSE)


@pytest.mark.parametrize("optimizers", [slow("sgd"), slow("adamw"), slow("lamb muon")])
def test_two_replicas_learn_as_one_and_count_each_image_once(tmp_path, optimizers):
    said = tmp_path / "said.txt"
    process = fork(said, on_two_replicas.main, tmp_path, *optimizers.split())
    process.join(timeout=600)
    assert process.exitcode == 0, said.read_text()
    found = json.loads(said.read_text().splitlines()[-1])
    assert " ".join(found) == optimizers
    for both in found.values():
        assert_same(both["one"], both["two"])
        last = both["two"]["last"]
        assert last["val_images"] == both["evaluated"]["images"] == 103
        assert both["evaluated"]["accuracy"] == pytest.approx(last["val_accuracy"])
        assert np.sum(both["confusion"]) == 103
        assert np.trace(both["confusion"]) / 103 == pytest.approx(last["val_accuracy"])
        assert "MirroredStrategy of 2 replicas Keras needs" in both["refused"]


@pytest.mark.slow
def test_two_processes_learn_as_one_on_jax(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.on_jax", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    alone, *both = json.loads(done.stdout.splitlines()[-1])
    for process in both:
        assert_same(alone, process)
    assert {p.name for p in (tmp_path / "two").iterdir()} == {
        p.name for p in (tmp_path / "one").iterdir()
    }


def test_what_is_not_there_is_not_trained_on(monkeypatch):
    for name in ("TPU_NAME", "COLAB_TPU_ADDR"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(
        RuntimeError, match=r"A TPU was asked for, but there is none.*runtime first"
    ):
        training.strategy("tpu")
    with pytest.raises(RuntimeError, match=r"A GPU was asked for. TensorFlow finds none"):
        training.strategy("gpu")
    with pytest.raises(ValueError, match=r"takes auto, tpu, gpu, cpu; got 'TPU'"):
        training.strategy("TPU")


def test_a_cpu_is_divided_before_it_computes_and_nothing_else_is():
    with pytest.raises(ValueError, match=r"needs kind 'cpu'; got replicas=2 with 'auto'"):
        training.strategy(replicas=2)
    with pytest.raises(ValueError, match=r"1 or more.* got replicas=0 with 'cpu'"):
        training.strategy("cpu", replicas=0)
    tf.zeros(())
    with pytest.raises(
        RuntimeError, match=r"divided into 2 only before .* TensorFlow. Start Python again"
    ):
        training.strategy("cpu", replicas=2)


def test_batch_norms_that_replicas_keep_apart_are_warned_of(recwarn):
    def model(norm):
        return keras.Sequential([keras.Input((4,)), norm, keras.layers.Dense(2)], name="mine")

    keras_own = model(keras.layers.BatchNormalization(name="bn"))
    for quiet in (
        keras_mixer.layers.BatchNorm(),
        keras.layers.BatchNormalization(synchronized=True),
        keras.layers.LayerNormalization(),
    ):
        warn_of_batch_norms(model(quiet), 2)
    warn_of_batch_norms(keras_own, 1)
    assert not recwarn.list
    with pytest.warns(UserWarning, match=r"'mine' \(bn\) keep other .* of 2 replicas"):
        warn_of_batch_norms(keras_own, 2)


def test_the_best_that_is_there_is_found_and_said(capsys, monkeypatch):
    for name in ("TPU_NAME", "COLAB_TPU_ADDR"):
        monkeypatch.delenv(name, raising=False)
    assert training.strategy().num_replicas_in_sync == 1
    assert capsys.readouterr().out == "Running on the CPU with TensorFlow.\n"


def test_a_tpu_that_tensorflow_cannot_use_is_an_error_with_the_cure(monkeypatch):
    # What a TPU machine with plain TensorFlow looks like.
    monkeypatch.setattr("keras_mixer.training.devices.tpu_chips", lambda: ["TPU v5e"])
    with pytest.raises(
        RuntimeError, match=r"TPU 'local' cannot be used: .*pip uninstall -y tensorflow.*\[tpu\]"
    ):
        training.strategy()


def test_tensorflow_for_tpus_is_not_asked_for_xla_and_not_called_plain(monkeypatch):
    # tensorflow-tpu on a machine without a TPU waits for minutes, so a name stands for it here.
    monkeypatch.delenv(LOAD, raising=False)
    assert jit_compile() == "auto"
    monkeypatch.setattr("keras_mixer._backend.version", lambda package: "2.20.0")
    assert jit_compile() is False
    monkeypatch.setenv(LOAD, "0")
    assert jit_compile() == "auto"
    monkeypatch.setenv("TPU_NAME", "local")
    with pytest.raises(RuntimeError, match=r"'local' cannot be used: ((?!uninstall).)*JAX backend"):
        training.strategy("tpu")


def test_training_is_asked_for_xla_on_a_cpu_where_the_model_can_and_no_strategy_is_there(
    monkeypatch,
):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    assert jit_compile_for_training(model) is True
    with tf.distribute.OneDeviceStrategy("/cpu:0").scope():
        assert jit_compile_for_training(model) == "auto"
    model.layers[0].supports_jit = False
    assert jit_compile_for_training(model) == "auto"
    model.layers[0].supports_jit = True
    monkeypatch.delenv(LOAD, raising=False)
    monkeypatch.setattr("keras_mixer._backend.version", lambda package: "2.20.0")
    assert jit_compile_for_training(model) is False


def test_several_machines_need_another_backend():
    with pytest.raises(RuntimeError, match=r"KERAS_BACKEND=jax.*MultiWorkerMirroredStrategy"):
        training.strategy(coordinator="10.0.0.1:1234", processes=2, process=0)
    with pytest.raises(ValueError, match=r"coordinator, processes and process; got .*None"):
        training.strategy(coordinator="10.0.0.1:1234")
