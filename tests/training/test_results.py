"""What a run says at its end, which of its models is used, and what it refuses to go on from."""

import csv
import json
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import keras_mixer
from keras_mixer import data, training
from keras_mixer._runs import LOCK, STATE, best_of, choice, interval, model_file
from keras_mixer.data import fingerprints
from keras_mixer.training import results as measuring
from keras_mixer.training import run as running
from keras_mixer.training.lock import alone_in
from keras_mixer.training.record import differences, record_of
from tests.pictures import class_folders, labelled
from tests.training.runs import SHALLOW, SIMPLE, sources

LEARNS = SIMPLE.but(optimizer="adamw", learning_rate=0.01)
TEST = labelled(60, seed=2)


class Ruin(keras.callbacks.Callback):
    """After the last step the model takes every class for another one."""

    def on_train_batch_end(self, batch, logs=None):
        if self.model.optimizer.iterations == 24:
            head = self.model.layers[-1]
            head.kernel.assign(-head.kernel)
            head.bias.assign(-head.bias)


def train(folder, images=None, held_out=None, **arguments):
    ours = sources()
    return training.train(
        SHALLOW, images or ours[0], held_out or ours[1], recipe=LEARNS, folder=folder, **arguments
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose last model is clearly worse than its best: folder, model, what it printed."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    model, _ = train(folder, test=data.arrays(*TEST, name="tests"), callbacks=[Ruin()])
    return folder, model


def test_the_model_that_is_used_is_measured_once_on_the_test_images(run, monkeypatch, capsys):
    folder, model = run
    found = json.loads((folder / "results.json").read_text())
    assert found["model"] == "best.keras"
    used = keras_mixer.load_model(folder)
    best = keras_mixer.load_model(folder / "best.keras")
    for one, other in zip(used.weights, best.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    tests = data.arrays(*TEST, name="tests")
    assert found["test"] == pytest.approx(training.evaluate(used, tests, run=folder))
    assert found["test"]["accuracy"] > 0.8
    assert training.evaluate(model, tests)["accuracy"] < 0.5  # train gives the last one
    card = (folder / "README.md").read_text()
    assert "- test: tests: 60 images of 3 classes" in card
    loss, accuracy = found["test"]["loss"], found["test"]["accuracy"]
    reached = f"60 pictures, loss {loss:.3f}, accuracy {accuracy:.2%}"
    assert f"`best.keras` reaches: {reached}" in card
    assert 'load_model("best.keras")' in card
    record = record_of(folder)
    assert record["test"] == "tests: 60 images of 3 classes"
    assert len(record["fingerprint"]["test"]) == 32

    monkeypatch.setattr(measuring, "evaluate", None)  # not again
    train(folder, test=tests, resume=True)
    said = capsys.readouterr().out
    assert f"test: {reached}" in said
    assert "take best.keras: on 43 held-out images last.keras has" in said
    with pytest.raises(ValueError, match=r"test was 'tests: 60 .* and is now None"):
        train(folder, resume=True)
    others = data.arrays(*labelled(60, seed=3), name="tests")
    with pytest.raises(ValueError, match="other pictures than before are in test:"):
        train(folder, test=others, resume=True)


def test_the_tables_of_classes_count_what_evaluate_counts(run):
    folder, _ = run
    _, held_out = sources()
    model = keras_mixer.load_model(folder / "last.keras")
    batches = data.evaluation_batches(held_out, 43, 8, crop="resize")
    given = model.predict(next(iter(batches))[0], verbose=0).argmax(-1)
    expected = np.zeros((3, 3), int)
    np.add.at(expected, (np.arange(43) % 3, given), 1)
    found = training.confusion(model, held_out, batch_size=10)  # the last batch is padded
    np.testing.assert_array_equal(found.counts, expected)
    again = training.evaluate(model, held_out, batch_size=10)
    assert found.measured == again
    assert f"{np.trace(found.counts) / 43:.6f}" == f"{again['accuracy']:.6f}"
    best = training.confusion(keras_mixer.load_model(folder), held_out)
    with (folder / "confusion.csv").open() as file:
        head, *rows = csv.reader(file)
    assert head == ["true class", "0", "1", "2"]
    np.testing.assert_array_equal(np.array([row[1:] for row in rows], int), best.counts)
    with (folder / "classes.csv").open() as file:
        rows = [*csv.DictReader(file)]
    assert [int(row["images"]) for row in rows] == [15, 14, 14]
    assert sum(int(row["right"]) for row in rows) == np.trace(best.counts)
    with pytest.raises(FileExistsError):
        best.write(folder / "confusion.csv")


def test_the_worst_classes_come_first_with_what_they_are_taken_for():
    counts = np.array([[10, 0, 0, 0], [1, 6, 3, 0], [2, 0, 2, 0], [0, 0, 0, 0]])
    found = training.Confusion(("a", "b", "c", "none"), counts, {})
    assert found.worst() == ["c 50.00% of 4 (mostly a)", "b 60.00% of 10 (mostly c)"]
    assert found.worst(1) == found.worst()[:1]


def test_too_many_classes_have_no_table(run, tmp_path, capsys):
    images, labels = labelled(8)
    many = data.arrays(images, labels, classes=[str(i) for i in range(1001)])
    with pytest.raises(ValueError, match="at most 1,000 classes; arrays has 1,001"):
        training.confusion(run[1], many)
    short = SimpleNamespace(rows=log((0.5, 0.5)), step=1, folder=tmp_path)
    measuring.results(short, run[1], many, None)
    said = "No confusion matrix: 1,001 classes are more than 1,000.\n"
    assert capsys.readouterr().out == said
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


@pytest.mark.parametrize(("right", "images"), [(0, 10), (10, 10), (5, 10), (1, 3), (190, 200)])
def test_the_interval_is_wilson_s(right, images):
    stats = pytest.importorskip("scipy.stats")
    expected = stats.binomtest(right, images).proportion_ci(0.95, "wilson")
    assert interval(right / images, images) == pytest.approx(
        (expected.low, expected.high), abs=1e-6
    )


def log(*rows, images=43):
    """A log of rows (accuracy, loss)."""
    return [
        {"step": i, "loss": 1.0, "val_accuracy": a, "val_loss": loss, "val_images": images}
        for i, (a, loss) in enumerate(rows, 1)
    ]


def test_of_equal_rounds_the_one_of_lower_loss_is_the_best_then_the_later_one():
    assert best_of([]) is None
    for rows, step in (
        (log((1, 0.7), (1, 0.3), (1, 0.5)), 2),
        (log((1, 0.3), (1, 0.3), (0.9, 0.1)), 2),
        ([{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}, {"step": 3, "loss": 1.0}], 3),
    ):
        assert best_of(rows)["step"] == step
        assert best_of([{k: str(v) for k, v in row.items()} for row in rows])["step"] == str(step)


@pytest.mark.parametrize(
    ("rows", "file", "reason"),
    [
        (log((0.9, 0.5), (0.95, 0.4)), "last.keras", ""),
        (log((0.95, 0.4), (0.9, 0.5)), "last.keras", "no clear difference"),
        (log((0.95, 0.4), (0.8, 0.5)), "best.keras", r"43 held-out .* 80.00% .* 95.00%"),
        (log((0.95, 0.4), (0.94, 0.5), images=50_000), "best.keras", r"50,000 held-out"),
        ([{"step": 1, "loss": 1.0}, {"step": 2, "loss": 2.0}], "last.keras", "no images were held"),
    ],
)
def test_the_last_model_is_used_unless_the_best_is_clearly_better(tmp_path, rows, file, reason):
    found = choice(rows)
    assert found.file == file
    assert re.search(reason, found.reason)
    assert bool(found.reason) == bool(reason)
    with (tmp_path / "log.csv").open("w", newline="") as log_file:
        writer = csv.DictWriter(log_file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (tmp_path / "best.keras").touch()
    assert model_file(tmp_path).name == "best.keras"  # the run is not finished
    (tmp_path / "last.keras").touch()
    assert model_file(tmp_path).name == file
    (tmp_path / "log.csv").write_text("not,a\nlog,of\nours\n")
    assert model_file(tmp_path).name == "best.keras"


HOLD = "import filelock, sys\nwith filelock.FileLock(sys.argv[1]):\n  print()\n  sys.stdin.read()"


def test_two_runs_do_not_write_to_one_folder_and_a_killed_one_leaves_it_free(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    command = [sys.executable, "-c", HOLD, folder / LOCK]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline()
        for resume in (False, True):
            with pytest.raises(RuntimeError, match=r"Another run is writing to .*run at the mom"):
                train(folder, resume=resume)
        assert [path.name for path in folder.iterdir()] == [LOCK]
        process.kill()
    for _ in range(2):
        with alone_in(folder):
            pass


def test_other_pictures_have_another_fingerprint(tmp_path):
    root = class_folders(tmp_path / "pets")

    def of(folder):
        return data.folder(folder).fingerprint()

    first = of(root)
    changes = {
        "renamed": lambda pets: (pets / "cat/0.jpg").rename(pets / "cat/00.jpg"),
        "relabelled": lambda pets: (pets / "cat/0.jpg").rename(pets / "dog/0.jpg"),
        "replaced": lambda pets: shutil.copy(pets / "cat/cmyk.jpg", pets / "cat/0.jpg"),
        "added": lambda pets: shutil.copy(pets / "cat/0.jpg", pets / "cat/new.jpg"),
        "removed": lambda pets: (pets / "cat/0.jpg").unlink(),
    }
    found = {first}
    for name, change in changes.items():
        shutil.copytree(root, tmp_path / name)
        assert of(tmp_path / name) == first, "a copy is the same"
        change(tmp_path / name)
        found.add(of(tmp_path / name))
    assert len(found) == 1 + len(changes)
    assert data.hold_out(data.folder(root))[1].fingerprint() == first

    images, labels = labelled(8)
    pixels, others = images.copy(), labels.copy()
    pixels[3, 2, 1, 0] ^= 1
    others[0] = 2
    arrays = ((images, labels), (pixels, labels), (images, others), (images[:7], labels[:7]))
    assert len({data.arrays(*each).fingerprint() for each in arrays}) == 4
    assert fingerprints.of_arrays(images) == fingerprints.of_arrays(images.copy())


def test_a_run_is_not_resumed_on_other_pictures(run):
    images, labels = labelled(200)
    images[0] += 1
    before = (run[0] / STATE).read_bytes()
    with pytest.raises(
        ValueError,
        match=r"other pictures than before are in images: some were added, .*--weights",
    ):
        train(
            run[0], data.arrays(images, labels), resume=True, test=data.arrays(*TEST, name="tests")
        )
    assert (run[0] / STATE).read_bytes() == before


def test_a_record_without_fingerprints_fits_any_pictures():
    now = {"seed": 0, "fingerprint": {"images": "a", "held_out": None}}
    assert differences({"seed": 0}, now) == []
    assert differences({"seed": 0, "fingerprint": {"images": ""}}, now) == []
    assert differences({"seed": 0, "fingerprint": {"images": "b"}}, now) != []


def test_a_flipped_bit_in_the_state_is_found(run, tmp_path):
    whole = (run[0] / STATE).read_bytes()
    record, progress, arrays = running._read(run[0] / STATE)
    path = tmp_path / STATE
    found = 0
    for place in np.linspace(0, len(whole) - 1, 150).astype(int):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(place) % 8
        path.write_bytes(damaged)
        try:
            same = running._read(path)
        except ValueError as error:
            assert "not a state that can be resumed" in str(error)  # noqa: PT017
            assert "start another run" in str(error)  # noqa: PT017
            found += 1
        else:  # in what nobody reads
            assert same[:2] == (record, progress)
            for name, array in same[2].items():
                np.testing.assert_array_equal(array, arrays[name])
    assert found > 140


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("step", None, "it has no 'step'"),
        ("rows", None, "it has no 'rows'"),
        ("step", "many", "its step cannot be read"),
    ],
)
def test_a_state_without_all_that_it_needs_is_an_error_that_names_it(
    run, tmp_path, key, value, reason
):
    with safe_open(run[0] / STATE, "numpy") as file:
        kept = file.metadata()
    progress = json.loads(kept["progress"])
    del kept["checksum"], progress[key]
    progress |= {key: value} if value else {}
    kept["progress"] = json.dumps(progress)
    save_file(load_file(run[0] / STATE), tmp_path / STATE, kept)
    with pytest.raises(ValueError, match=reason):
        train(tmp_path, test=data.arrays(*TEST, name="tests"), resume=True)


def test_a_state_of_other_weights_is_an_error(run, tmp_path):
    with safe_open(run[0] / STATE, "numpy") as file:
        kept = file.metadata()
    arrays = load_file(run[0] / STATE)
    arrays.popitem()
    del kept["checksum"]
    save_file(arrays, tmp_path / STATE, kept)
    with pytest.raises(ValueError, match="belongs to another model or optimizer than the one to"):
        train(tmp_path, test=data.arrays(*TEST, name="tests"), resume=True)
