"""Models are compiled for TPUs by their own compiler, here, where there is none."""

import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import keras
import pytest

import keras_mixer
from keras_mixer._text import option
from keras_mixer.tpu import preflight
from tests.conftest import ROOT
from tests.marks import slow
from tests.tpu.layers import Subclassed, Thrice, Twice

ENVIRONMENT = import_module("keras_mixer.tpu.preflight").ENVIRONMENT


TINY = (  # two blocks; the compiler takes seconds for each
    *("MlpMixer", "input_shape=16,32,3", "patch_size=4", "width=24", "depth=2"),
    *("token_mlp_dim=20", "channel_mlp_dim=48"),
)


def name(model):
    return model[0] if isinstance(model, tuple) else None


def dense(*layers):
    return keras.Sequential([keras.Input((16,)), *layers, keras.layers.Dense(10)], name="small")


def program(*arguments):
    """What a program of the tests prints, as JSON; it runs on JAX."""
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
        env=os.environ | ENVIRONMENT,
    )
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "batch"), [(TINY, 64), (("MixerB16",), 1024)], ids=name)
def test_it_says_what_a_direct_compile_of_the_same_step_says(here, tmp_path, model, batch):
    name, *options = model
    given = [word for option in options for word in ("--model-option", option)]
    arguments = (name, *given, "--tpu", "v3-8", "--batch", batch, "--json")
    done = here("preflight", *arguments, cwd=tmp_path)
    found = json.loads(done.stdout)
    direct = program("tests.tpu.directly", "v3:2x2", 8, batch, *model)
    assert direct == {key: found[key] for key in direct}
    assert found["fits"]
    assert found["cores"] == 8
    assert found["memory_bytes"] < found["available_bytes"]
    assert len(found["costliest"]) == 10
    assert any(row["layer"].startswith("block_*/") for row in found["costliest"])
    assert sum(row["cycles"] for row in found["costliest"]) < direct["estimated_cycles"]
    assert "compiling for v3-8" in done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("mixed_bfloat16")
@pytest.mark.parametrize("model", [("MixerTi4",), ("MixerB16",)], ids=name)
def test_tensorflow_s_train_step_has_the_same_operations(model):
    from tests.tpu.operations import counted, on_tensorflow  # with a private name of JAX

    name, *options = model
    ours = counted(on_tensorflow(64, name, dict(map(option, options))))
    assert ours == pytest.approx(program("tests.tpu.operations", 64, *model), rel=0.02)


@pytest.mark.slow
@pytest.mark.usefixtures("mixed_bfloat16")
def test_every_architecture_is_compiled(case):
    found = preflight(case.tiny(), "v5e-1", 8)
    assert found.fits
    assert found.estimated_cycles > 0


@pytest.mark.slow
def test_what_does_not_fit_says_so_with_exit_code_3(here, tmp_path):
    arguments = ("preflight", "MixerTi4", "--tpu", "v5e-1", "--batch", 10_000_000, "--predict")
    done = here(*arguments, "--json", cwd=tmp_path, check=False)
    found = json.loads(done.stdout)
    assert done.returncode == 3
    assert not found["fits"]
    assert found["memory_bytes"] > found["available_bytes"]
    assert found["estimated_cycles"] is None


@pytest.mark.slow
def test_the_largest_batch_fits_and_the_next_does_not():
    layers = keras.layers
    model = keras.Sequential([keras.Input((256, 256)), layers.Dense(256), layers.Dense(10)])
    found = preflight(model, "v2-8", train=False)
    assert found.fits
    assert found.batch % (8 * 8) == 0
    assert not preflight(model, "v2-8", found.batch + 8 * 8, train=False).fits


@pytest.mark.slow
def test_where_nothing_fits_the_smallest_batch_is_reported():
    model = keras.Sequential([keras.Input((2**16, 2**16)), keras.layers.Dense(10)])
    found = preflight(model, "v3-8", train=False)
    assert not found.fits
    assert found.batch == 8
    assert "does not fit" in str(found)


@pytest.mark.slow
def test_a_model_of_several_inputs_and_outputs_of_loops_and_of_layers_of_one_s_own():
    image, number = keras.Input((12, 8), name="image"), keras.Input((3,), name="number")
    x = keras.layers.LSTM(16)(Twice()(image))
    outputs = {
        "kind": keras.layers.Dense(10, name="kind")(keras.layers.Concatenate()([x, number])),
        "place": keras.layers.Dense(4, name="place")(Thrice()(x)),
    }
    model = keras.Model([image, number], outputs, name="two")
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    found = preflight(model, "v3-8", 64, optimizer=optimizer)
    assert (found.model, found.optimizer, found.precision) == ("two", "sgd", "float32")
    layers = {operation.layer for operation in found.costliest}
    assert {"kind", "place", "lstm/lstm_cell"} & layers


@pytest.mark.parametrize("train", [False, slow(True)])
def test_a_model_of_one_s_own_is_found_in_its_module(train):
    model = Subclassed()  # whose `call` does not take `training`
    model(keras.ops.ones((2, 16)))
    assert preflight(model, "v3-8", 8, train=train).fits


@pytest.mark.slow
def test_a_size_of_images_that_the_model_cannot_have_is_answered_with_the_reason():
    with pytest.raises(ValueError, match=r"multiples of 4; got 30 x 30"):
        preflight("MixerTi4", "v3-8", 8, image_size=30)


@pytest.mark.slow
def test_a_file_is_compiled_as_the_model_in_it(tmp_path):
    model = dense(keras.layers.Dense(20))
    model.save(tmp_path / "model.keras")
    from_file = preflight(tmp_path / "model.keras", "v3-8", 8, train=False)
    assert from_file.flops == preflight(model, "v3-8", 8, train=False).flops


@pytest.mark.skipif(
    not shutil.which("unshare")
    or subprocess.run(["unshare", "--map-root-user", "--net", "true"]).returncode != 0,
    reason="no network of one's own here",
)
@pytest.mark.slow
def test_two_at_once_do_not_collide_and_no_network_is_needed():
    # Each in a network of its own, in which there is nothing.
    command = [Path(sys.executable).with_name("keras-mixer"), "preflight", "MixerTi4", "--predict"]
    alone = ["unshare", "--map-root-user", "--net", *command, "--tpu", "v3-8", "--batch", "8"]

    def run(_):
        return subprocess.run(alone, capture_output=True, text=True)

    with ThreadPoolExecutor() as both:
        for done in both.map(run, range(2)):
            assert done.returncode == 0, done.stderr
            assert "\nfits:" in done.stdout


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        ("MixerTi4", {"tpu": "v5e-2"}, r"no TPU 'v5e-2'.*v2-8, .*v6e-256"),
        ("MixerTi4", {"batch": 12}, r"v3-8 has 8 cores.* multiple of 8; got 12"),
        ("MixerTi5", {}, r"no model called 'MixerTi5'.*'MixerTi4'"),
        (dense(), {"precision": "float32"}, r"any other model is compiled as it is"),
        ("nothing.keras", {}, r"nothing\.keras"),
        (keras_mixer.MixerTi4, {}, r"by name; got function"),
    ],
)
def test_what_cannot_be_compiled_is_refused_with_the_reason(model, arguments, message):
    with pytest.raises((ValueError, FileNotFoundError), match=f"(?s){message}"):
        preflight(model, **{"tpu": "v3-8", "batch": 8, "train": True} | arguments)


@pytest.fixture(scope="module")
def refused():
    """What the process answers to many jobs, in one, whose start takes longer than they do."""
    return program("tests.tpu.refused")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("job", "message"),
    [
        ("unknown argument", r"unexpected keyword argument 'dept'"),
        ("unknown optimizer", r"no optimizer 'adamx'.*adamw, .*sgd"),
        ("optimizer of others", r"no optimizer 'optimizermap'.*nadam, rmsprop"),
        ("lambda", r"Lambda"),
        ("any size", r"fixed shapes.*'given' takes \[None, None, None, 3\].*input_shape"),
        ("never built", r"'own' was never built"),
    ],
)
def test_what_the_process_cannot_build_is_answered_with_the_reason(refused, job, message):
    assert [*refused[job]] == ["error"]
    assert re.search(message, refused[job]["error"], re.DOTALL)


def test_a_file_that_is_no_keras_model_is_refused(tmp_path):
    (tmp_path / "x.keras").write_text("no model")
    with pytest.raises(ValueError, match=r"x\.keras is not a Keras model\."):
        preflight(tmp_path / "x.keras", "v3-8", 8)


def test_a_layer_of_a_notebook_is_refused_with_a_way_out():
    notebook = {"__name__": "__main__", "keras": keras}
    exec("class Mine(keras.layers.Layer):\n    def call(self, x):\n        return x", notebook)
    with pytest.raises(ValueError, match=r"cannot import Mine .* move the code to a module"):
        preflight(dense(notebook["Mine"]()), "v3-8", 8)


def test_without_the_extra_the_error_is_the_line_that_installs_it(monkeypatch):
    module = import_module("keras_mixer.tpu.preflight")
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "libtpu" else name)
    with pytest.raises(ImportError, match=r'libtpu.*pip install -e "\.\[preflight\]" in a clone'):
        preflight("MixerTi4", "v3-8", 8)
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    with pytest.raises(ImportError, match=r"Linux on x86-64 only; this is .* on arm64\..*Colab"):
        preflight("MixerTi4", "v3-8", 8)


@pytest.mark.slow
def test_when_the_compiler_dies_its_words_are_passed_on(monkeypatch):
    module = import_module("keras_mixer.tpu.preflight")
    monkeypatch.setitem(module.ENVIRONMENT, "TPU_LOAD_LIBRARY", "0")
    with pytest.raises(RuntimeError, match="not loading libtpu"):
        preflight(dense(), "v3-8", 8, train=False)


@pytest.mark.parametrize("batch", [[], ["--batch", "8", "--find-batch"]])
def test_the_command_wants_a_batch_or_to_find_one(here, tmp_path, batch):
    done = here("preflight", "MixerTi4", "--tpu", "v3-8", *batch, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert "either --batch or --find-batch" in done.stderr
