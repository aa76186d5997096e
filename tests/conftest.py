"""What several tests share.

TensorFlow is imported where it is needed: pytest-xdist's main process imports this file, too, and
its workers wait for it.
"""

import atexit
import gc
import io
import os
import shutil
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from unittest import mock

if "TF_XLA_FLAGS" not in os.environ:
    # Before TensorFlow is there: what XLA has compiled for one training is taken by the next of the
    # same model, also in pytest-xdist's workers and in processes that tests start.
    COMPILED = tempfile.mkdtemp(prefix="compiled")
    atexit.register(shutil.rmtree, COMPILED, ignore_errors=True)
    os.environ["TF_XLA_FLAGS"] = (
        f"--tf_xla_persistent_cache_directory={COMPILED} --tf_xla_persistent_cache_device_types=CPU"
    )

import numpy as np
import pytest
from filelock import FileLock
from rich.console import Console

from tests.marks import slow
from tests.pictures import labelled

ROOT = Path(__file__).parents[1]

gc.set_threshold(100_000, 50, 100)


@pytest.fixture(scope="module", autouse=True)
def short_garbage_collections():
    """TensorFlow's converter collects garbage: what was there before need not be looked through."""
    gc.collect()
    gc.freeze()


def pytest_generate_tests(metafunc):
    """A test that takes a `case` runs for every architecture, or for those in its mark `cases`.

    The mark's `slow` are those of them that run with `-m slow`.
    """
    if "case" in metafunc.fixturenames:
        from tests.cases import CASES

        mark = metafunc.definition.get_closest_marker("cases")
        cases, late = (mark.args[0], mark.kwargs.get("slow", ())) if mark else (CASES, ())
        rows = [slow(case) if case in late else case for case in cases]
        metafunc.parametrize("case", rows, ids=[case.architecture for case in cases])


@pytest.fixture(scope="session", autouse=True)
def without_xla():
    """`train` asks for XLA, which compiles a tiny model for longer than it then computes.

    Programs that tests start have it.
    """
    chosen = {"jit_compile_for_training": lambda model: "auto"}
    with mock.patch.multiple(import_module("keras_mixer.training.train"), **chosen):
        yield


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A folder with MixerTi4 by every recipe, exported once for all processes of a test run."""
    from tests.tflite.files import export_trained

    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "exported"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            export_trained(folder.with_suffix(".part"))
            folder.with_suffix(".part").rename(folder)
    return folder


@pytest.fixture
def mixed_bfloat16():
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(before)


@pytest.fixture(scope="session")
def command(tmp_path_factory):
    """Runs `keras-mixer` as a shell would, and gives its exit code, output and errors."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path_factory.mktemp("home"))}
    environment["TF_XLA_FLAGS"] = os.environ["TF_XLA_FLAGS"]

    def run(*arguments, cwd, check=True, **variables):
        script = Path(sys.executable).with_name("keras-mixer")
        done = subprocess.run(
            [script, *map(str, arguments)],
            cwd=cwd,
            capture_output=True,
            text=True,
            env={**environment, "COLUMNS": "120", **variables},
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    return run


@pytest.fixture
def here(monkeypatch, capfd):
    """As `command`, but in this process, which need not start Python and TensorFlow again."""

    from keras_mixer import cli

    def run(*arguments, cwd, check=True):
        monkeypatch.chdir(cwd)
        monkeypatch.setattr("sys.argv", ["keras-mixer", *map(str, arguments)])
        monkeypatch.setattr(cli.console, "width", 120)
        capfd.readouterr()
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        done = subprocess.CompletedProcess(arguments, exit_.value.code, *capfd.readouterr())
        assert not check or done.returncode == 0, done.stderr
        return done

    return run


@pytest.fixture(scope="session")
def quickstarted(tmp_path_factory, worker_id):
    """A folder in which `quickstart` was run, but small and steep; `.ci/run` runs it whole.

    Its files are those of a user's, and its model learns the digits, too.
    """
    shared = tmp_path_factory.getbasetemp()
    if worker_id != "master":  # the first of pytest-xdist's workers runs it for all of them
        shared = shared.parent
    folder = shared / "quickstarted"
    with FileLock(shared / "quickstarted.lock"):
        if not folder.exists():
            module = import_module("keras_mixer.quickstart")
            build, output = module.MlpMixer, io.StringIO()

            def small(**sizes):
                return build(**sizes | {"depth": 2, "width": 32, "channel_mlp_dim": 128})

            with mock.patch.multiple(module, MlpMixer=small, BATCH=32, LEARNING_RATE=1e-2):
                module.quickstart(
                    folder / "quickstart", epochs=6, console=Console(file=output, width=120)
                )
            folder.joinpath("output.txt").write_text(output.getvalue())
    return folder


@pytest.fixture(scope="session")
def held_out(quickstarted):
    with np.load(quickstarted / "quickstart" / "held_out.npz") as arrays:
        return arrays["images"], arrays["labels"]


@pytest.fixture(scope="session")
def tiny_cifar10(tmp_path_factory):
    """A folder in which TensorFlow Datasets finds a `cifar10` of a few images."""
    import tensorflow as tf
    import tensorflow_datasets

    folder = tmp_path_factory.mktemp("tfds")
    splits = {}
    for split, count in (("train", 140), ("test", 30)):
        images, labels = labelled(count, classes=10, side=32)
        examples = {"id": [str(i) for i in range(count)], "image": images, "label": labels}
        splits[split] = tf.data.Dataset.from_tensor_slices(examples)
    features = tensorflow_datasets.features.FeaturesDict(
        {
            "id": tensorflow_datasets.features.Text(),
            "image": tensorflow_datasets.features.Image(shape=(32, 32, 3)),
            "label": tensorflow_datasets.features.ClassLabel(num_classes=10),
        }
    )
    tensorflow_datasets.dataset_builders.store_as_tfds_dataset(
        name="cifar10",
        version="3.0.2",
        features=features,
        split_datasets=splits,
        data_dir=folder,
    )
    return folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of releases."""
    from keras_mixer.weights import releases

    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(releases, "PAUSE", 0)
    return tmp_path / "home"


@pytest.fixture
def bucket(cache, tmp_path):
    from tests.bucket import Bucket

    bucket = Bucket(np.random.default_rng(0).bytes(3_000_000), tmp_path)
    yield bucket
    bucket.go_on()
    bucket.server.shutdown()
    bucket.server.server_close()
