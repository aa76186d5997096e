"""The doctor on machines of all kinds, of which only the packages and devices are made up."""

import json
import subprocess
import sys

import pytest

from keras_mixer import _accelerators
from keras_mixer import doctor as room
from keras_mixer.doctor import BAD, GOOD, NOTE, doctor

PLAIN = {"keras": "3.15.1", "tensorflow": "2.21.0"}
CPU = {"keras": "3.15.1", "tensorflow-cpu": "2.20.0"}
TPU = {"keras": "3.15.1", "tensorflow-tpu": "2.20.0"}
CUDA = PLAIN | {"nvidia-cudnn-cu12": "9.1"}


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Sets up a machine, and gives what the doctor finds as {subject: [findings]}."""

    def examine(packages, *, tpus=(), gpus=(), **environment):
        for name in ("TPU_NAME", "COLAB_TPU_ADDR", "KERAS_BACKEND", "TFDS_DATA_DIR"):
            monkeypatch.delenv(name, raising=False)
        environment = {"KERAS_HOME": str(tmp_path / "keras")} | environment
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(room, "_version", packages.get)
        monkeypatch.setattr(room, "tpu_chips", lambda: list(tpus))
        monkeypatch.setattr(room, "gpus", lambda: list(gpus))
        there = {"tensorflow", "jax"} if packages else set()
        monkeypatch.setattr("importlib.util.find_spec", lambda name: name in there or None)
        found = {}
        for finding in doctor(tmp_path / "data"):
            found.setdefault(finding.what, []).append(finding)
        return found

    return examine


def problems(found):
    return [f for findings in found.values() for f in findings if f.state == BAD]


@pytest.mark.parametrize(
    ("packages", "devices"),
    [
        (CPU, {}),
        (PLAIN, {}),
        (TPU, {"tpus": ["TPU v5e"]}),
        (CUDA, {"gpus": ["NVIDIA H200"]}),
        (PLAIN | {"libtpu": "0.0.42"}, {"tpus": ["TPU v5e"], "KERAS_BACKEND": "jax"}),
    ],
)
def test_a_machine_that_is_well_has_no_problem(machine, packages, devices):
    assert problems(machine(packages, **devices)) == []


@pytest.mark.parametrize(
    ("packages", "devices", "what", "cure"),
    [
        (PLAIN, {"tpus": ["TPU v5e"]}, "TPU", 'pip install -e ".[tpu]"'),
        (PLAIN, {"TPU_NAME": "my-tpu"}, "TPU", "pip uninstall -y tensorflow tensorflow-cpu"),
        (PLAIN | TPU, {}, "TensorFlow", "pip uninstall -y tensorflow tensorflow-tpu"),
        (PLAIN | CPU, {}, "TensorFlow", 'pip install -e ".[cpu]"'),
        ({"keras": "3.15.1", "tensorflow": "2.16.1"}, {}, "TensorFlow", "brings 2.20 or 2.21"),
        ({"keras": "3.15.1", "tensorflow": "2.22.0"}, {}, "TensorFlow", "brings 2.20 or 2.21"),
        ({}, {"gpus": ["NVIDIA T4"]}, "TensorFlow", 'pip install -e ".[gpu]"'),
        ({}, {}, "Keras", 'pip install -e ".[cpu]"'),
        (CPU, {"KERAS_BACKEND": "tf"}, "Keras", "set KERAS_BACKEND to one of"),
        (CPU, {"KERAS_BACKEND": "torch"}, "Keras", "pip install torch"),
    ],
)  # fmt: skip
def test_a_problem_comes_with_its_cure(machine, packages, devices, what, cure):
    found = machine(packages, **devices)
    assert any(f.state == BAD and cure in f.cure for f in found[what]), found[what]


def test_tensorflow_for_tpus_without_a_tpu_is_a_note(machine):
    found = machine(TPU)["TensorFlow"]
    assert [f.state for f in found] == [GOOD, NOTE]
    assert 'uninstall -y tensorflow-tpu libtpu and pip install -e ".[cpu]"' in found[1].cure
    assert len(machine(TPU, tpus=["TPU v5e"])["TensorFlow"]) == 1


@pytest.mark.parametrize(
    ("packages", "backend", "cure"),
    [
        (PLAIN, "tensorflow", 'pip install -e ".[gpu]"'),
        # CUDA came with PyTorch, say.
        (CPU | {"nvidia-cudnn-cu12": "9.1"}, "tensorflow", "pip uninstall -y tensorflow-cpu; pip"),
        (CUDA, "jax", 'pip install "jax[cuda12]"'),
    ],
)
def test_a_gpu_that_keras_cannot_use_is_a_note(machine, packages, backend, cure):
    [finding] = machine(packages, gpus=["NVIDIA T4"] * 2, KERAS_BACKEND=backend)["GPU"]
    assert (finding.state, finding.text) == (NOTE, "2 x NVIDIA T4")
    assert finding.cure.startswith(cure)
    able = CUDA | {"jax-cuda13-plugin": "0.10"}
    [finding] = machine(able, gpus=["NVIDIA T4"], KERAS_BACKEND=backend)["GPU"]
    assert (finding.state, finding.cure) == (GOOD, "")


def test_folders_are_looked_at_and_not_made(machine, tmp_path):
    for path in ("cifar10/3.0.2", "imagenet_v2/matched-frequency/3.0.0"):
        (tmp_path / "data" / path).mkdir(parents=True)
        (tmp_path / "data" / path / "dataset_info.json").touch()
    for path in ("downloads/manual", "mnist/3.0.1.incompleteABC"):  # of a download that failed
        (tmp_path / "data" / path).mkdir(parents=True)
    found = machine(CPU)
    assert found["Data sets"][0].text.endswith(": cifar10, imagenet_v2")
    assert found["Cache"][0].state == GOOD
    assert not (tmp_path / "keras").exists()


def test_what_is_optional_is_noted_with_the_line_that_brings_it(machine):
    [missing] = machine(CPU)["libtpu"]
    assert missing.state == NOTE
    assert missing.cure.startswith('pip install -e ".[preflight]" in a clone of keras_mixer, ')
    [there] = machine(CPU | {"libtpu": "0.0.42"})["libtpu"]
    assert (there.state, there.text, there.cure) == (GOOD, "0.0.42", "")


def test_keras_s_own_settings_count(machine, tmp_path):
    (tmp_path / "keras").mkdir()
    (tmp_path / "keras" / "keras.json").write_text(json.dumps({"backend": "jax"}))
    assert machine(CPU)["Keras"][0].text == "3.15.1 on jax"


def test_tpus_and_gpus_are_read_from_the_system(tmp_path):
    for number, (vendor, device) in enumerate(
        (("0x1ae0", "0x0063"), ("0x1ae0", "0x0042"), ("0x10de", "0x0063"), ("0x1ae0", "0x0063"))
    ):
        (tmp_path / f"0000:00:0{number}.0").mkdir()
        (tmp_path / f"0000:00:0{number}.0" / "vendor").write_text(f"{vendor}\n")
        (tmp_path / f"0000:00:0{number}.0" / "device").write_text(f"{device}\n")
    assert _accelerators.tpu_chips(tmp_path) == ["TPU v5e", "TPU v5e"]
    (tmp_path / "gpus" / "0000:01").mkdir(parents=True)
    (tmp_path / "gpus" / "0000:01" / "information").write_text("Model: \t NVIDIA T4\nIRQ: 1\n")
    assert _accelerators.gpus(tmp_path / "gpus") == ["NVIDIA T4"]
    assert _accelerators.tpu_chips(tmp_path / "none") == _accelerators.gpus(tmp_path / "no") == []


def test_the_command_needs_neither_keras_nor_tensorflow_and_is_one_screen(command, tmp_path):
    done = command("doctor", cwd=tmp_path)
    assert done.stdout.count("\n") < 24
    assert "ok " in done.stdout
    code = (
        "import sys; sys.argv[0] = 'keras-mixer'; from keras_mixer.doctor import doctor; doctor()"
    )
    code += "; assert not {'keras', 'tensorflow', 'numpy'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
