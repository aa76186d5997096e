"""A run that was stopped ends as one that was not: at the same weights, bit by bit."""

import csv
import errno
import functools
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file

from keras_mixer import training
from keras_mixer._runs import LOCK, LOG, STATE
from keras_mixer.training import run as running
from tests.conftest import ROOT
from tests.marks import slow
from tests.training import runs
from tests.training.forks import fork
from tests.training.runs import AVERAGED, RECIPE, SHALLOW, simply, sources, train

UNTIMED = ("images_per_second", "seconds")


def start(folder, save_every, xla, *changes):
    command = [sys.executable, "-m", "tests.training.runs", folder, save_every, xla, *changes]
    return subprocess.Popen(
        list(map(str, command)),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def same(one, other):
    a, b = load_file(one / STATE), load_file(other / STATE)
    assert a.keys() == b.keys()
    return [name for name in a if not np.array_equal(a[name], b[name])] == []


def check_rows(rows, expected):
    """That two logs say the same, but for the time that it took."""
    for row, wanted in zip(rows, expected, strict=True):
        assert row.keys() == wanted.keys()
        for key in row.keys() - {*UNTIMED}:
            assert row[key] == pytest.approx(wanted[key], rel=1e-5), key


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    model, rows = simply(folder)
    return folder, model, rows


class Crash(keras.callbacks.Callback):
    """The machine goes at a step; nobody has the time to do anything."""

    def __init__(self, step):
        super().__init__()
        self.left = step

    def on_train_begin(self, logs=None):
        if not self.left:
            raise ConnectionResetError

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise ConnectionResetError


# As plain as can be, but with all in the model and the optimizer that the next step depends on.
KEEPS = AVERAGED.but(drop_path_rate=0.2)


@pytest.mark.parametrize(
    ("recipe", "crashes"),
    [
        # The state of a step was kept.
        (KEEPS, ((13, 0),)),
        # The start alone was kept, the state of a step, that of an epoch's end.
        slow(RECIPE, ((5, 1e9), (11, 0), (13, 1e9))),
    ],
    ids=["plain", "with all that draws random numbers"],
)
def test_a_crash_anywhere_changes_nothing(tmp_path, monkeypatch, recipe, crashes):
    folder, again = tmp_path / "whole", tmp_path / "crashed"
    _, expected = train(folder, recipe)
    for steps, save_every in crashes:
        monkeypatch.setattr(running, "SAVE_EVERY", save_every)
        with pytest.raises(ConnectionResetError):
            train(again, recipe, resume=True, callbacks=[Crash(steps)])
    _, rows = train(again, recipe, resume=True)
    assert same(again, folder)
    check_rows(rows, expected)
    assert (again / LOG).read_text().count("\n") == 1 + recipe.epochs


@pytest.mark.slow
def test_steps_that_are_done_at_once_are_the_same_steps(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "SAVE_EVERY", 0)
    calls = []
    seen = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: calls.append(batch)
    )
    with pytest.raises(ConnectionResetError):  # 12 steps a round: 6 at once
        simply(tmp_path, steps_per_execution=9, callbacks=[seen, Crash(3)])
    assert calls == [5, 11, 5]
    simply(tmp_path, steps_per_execution=4, callbacks=[seen], resume=True)  # 18 are done: 3 at once
    assert calls[3:] == [2, 5]
    assert same(tmp_path, whole[0])


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, -2)])
def test_a_signal_keeps_the_state_and_ends_the_process(whole, tmp_path, number, code):
    process = start(tmp_path, 1e9, "without")
    while not (tmp_path / STATE).exists():  # it begins
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.01)
    process.send_signal(number)
    seen, _ = process.communicate(timeout=120)
    assert process.returncode == code, seen
    assert f"Stopped by {number.name}. Step 1 of 24 is saved in {tmp_path}" in seen
    simply(tmp_path, resume=True)
    assert same(tmp_path, whole[0])


class Terminate(keras.callbacks.Callback):
    """SIGTERM before a training step, or during the evaluation that follows so many of them."""

    def __init__(self, where, steps):
        super().__init__()
        self.moment = where, steps

    def on_train_batch_begin(self, batch, logs=None):
        if self.moment == ("training", int(self.model.optimizer.iterations)):
            os.kill(os.getpid(), signal.SIGTERM)

    def on_test_batch_begin(self, batch, logs=None):
        if batch == 1 and self.moment == ("evaluation", int(self.model.optimizer.iterations)):
            os.kill(os.getpid(), signal.SIGTERM)


# A round has 12 steps, the run two rounds.
def test_a_second_signal_stops_at_once():
    run = running.Run.__new__(running.Run)
    run.signal = None
    with pytest.raises(KeyboardInterrupt), run.handling_signals():
        signal.raise_signal(signal.SIGTERM)
        assert run.signal == signal.SIGTERM
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize(
    "moments",
    [
        slow([("training", 11)]),
        slow([("training", 4), ("evaluation", 12), ("training", 23)]),
        slow([("evaluation", 24)]),
    ],
)
def test_a_signal_within_a_round_or_at_its_end_loses_neither_the_round_nor_its_row(
    whole, tmp_path, capsys, moments
):
    for where, steps in moments:
        with pytest.raises(SystemExit) as stopped:
            simply(tmp_path, resume=True, callbacks=[Terminate(where, steps)])
        assert stopped.value.code == 128 + signal.SIGTERM
        done = steps + (where == "training")  # a step that has begun is done
        assert f"Stopped by SIGTERM. Step {done} of 24 is saved" in capsys.readouterr().out
    _, rows = simply(tmp_path, resume=True)
    assert same(tmp_path, whole[0])
    check_rows(rows, whole[2])
    assert (tmp_path / "best.keras").exists()
    assert (tmp_path / "README.md").exists()


@pytest.mark.slow
def test_who_stops_within_a_round_is_obeyed_and_may_go_on_later(whole, tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training |= batch == 4

    _, rows = simply(tmp_path, callbacks=[Stop()])
    assert [row["step"] for row in rows] == [5]
    _, rows = simply(tmp_path, resume=True)
    assert [row["step"] for row in rows] == [5, 12, 24]
    assert same(tmp_path, whole[0])


def test_what_a_killed_process_left_half_written_is_cleared_away(tmp_path):
    left = tmp_path / f".{STATE}.abc"
    left.mkdir()
    (left / STATE).write_bytes(b"half of it")
    with pytest.raises(ConnectionResetError):
        simply(tmp_path, callbacks=[Crash(0)])
    assert not left.exists()


@pytest.mark.slow
def test_kill_9_at_random_moments_changes_nothing(tmp_path):
    moments = random.Random(0)

    def begin(name, output):
        return fork(output, runs.main, tmp_path / name, 0.05, "xla", "epochs=20")

    def to_its_end(name):
        output = tmp_path / f"{name}.txt"
        process = begin(name, output)
        process.join()
        assert process.exitcode == 0, output.read_text()
        return output.read_text()

    to_its_end("whole")
    with (tmp_path / "whole" / LOG).open() as log:
        first, *_, last = csv.DictReader(log)
    epoch = (float(last["seconds"]) - float(first["seconds"])) / 19
    for i in range(3):
        output = tmp_path / f"output{i}.txt"
        process = begin("killed", output)
        ends = moments.randint(1, 3)  # of epochs; a time alone is too long on a fast machine
        while not output.exists() or output.read_bytes().count(b"epoch ") < ends:
            assert process.is_alive(), output.read_text()
            time.sleep(0.01)
        time.sleep(moments.uniform(0, epoch))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "killed too late to show anything"
    assert "finished" not in to_its_end("killed"), "killed too late to show anything"
    assert same(tmp_path / "killed", tmp_path / "whole")


@pytest.mark.slow
def test_a_full_disk_leaves_the_state_before_it(tmp_path, monkeypatch, whole):
    save, calls = running.save_file, []

    def full(arrays, path, metadata):
        calls.append(path)
        if len(calls) < 3:
            return save(arrays, path, metadata)
        path.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(running, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        simply(tmp_path / "run")
    kept = {p.name for p in (tmp_path / "run").iterdir()} - {LOCK}
    assert not [name for name in kept if name.startswith(".")]  # nothing half written
    monkeypatch.setattr(running, "save_file", save)
    simply(tmp_path / "run", resume=True)
    assert same(tmp_path / "run", whole[0])


@pytest.mark.slow
def test_what_was_resumed_to_its_end_stays_as_it_is(whole, tmp_path, capsys):
    folder, model, rows = whole
    before = {p.name: p.read_bytes() for p in (folder / STATE, folder / LOG)}
    again, rows_again = simply(folder, resume=True)
    assert "is finished" in capsys.readouterr().out
    assert rows_again == rows
    for a, b in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert before == {p.name: p.read_bytes() for p in (folder / STATE, folder / LOG)}


def test_a_run_is_not_overwritten_and_not_taken_for_another(whole):
    folder, *_ = whole
    with pytest.raises(FileExistsError, match="resume it"):
        simply(folder)
    other = AVERAGED.but(learning_rate=0.2, mixup=0.4)
    with pytest.raises(
        ValueError,
        match=r"recipe mixup was 0\.0 and is now 0\.4; recipe learning_rate was 0\.1 .* 0\.2; "
        r"seed was 0 and is now 1\. .* start another run in another folder, from its weights .*"
        rf"\(--weights {folder}\)",
    ):
        simply(folder, resume=True, recipe=other, seed=1)
    with pytest.raises(
        ValueError, match=r"layer_arguments was .*; evaluate_every was 12 and is now 6"
    ):
        images, held_out = sources()
        build = functools.partial(SHALLOW, gelu="erf")
        arguments = {"recipe": AVERAGED, "folder": folder, "resume": True, "evaluate_every": 6}
        training.train(build, images, held_out, **arguments)
    simply(folder, resume=True, recipe=replace(AVERAGED, source="said in other words"))


@pytest.mark.parametrize("damage", ["cut", "foreign", "empty"])
def test_a_damaged_state_is_an_error(whole, tmp_path, damage):
    content = (whole[0] / STATE).read_bytes()
    damaged = {"cut": content[: len(content) // 2], "foreign": b"PK" * 99, "empty": b""}[damage]
    (tmp_path / STATE).write_bytes(damaged)
    with pytest.raises(ValueError, match="not a state that can be resumed"):
        simply(tmp_path, resume=True)
    assert (tmp_path / STATE).read_bytes() == damaged


def test_training_on_after_nan_is_refused_with_the_place_and_the_cure(tmp_path):
    steep = AVERAGED.but(learning_rate=1e30, clip_norm=0.0, warmup=0)
    with pytest.raises(
        RuntimeError,
        match=r"(the loss|a weight) is not a finite number at step \d+, at learning rate [\d.e+]+"
        rf"\. The last good state is {tmp_path / STATE}, of step \d+; .* lower learning rate",
    ):
        simply(tmp_path, recipe=steep)
    kept = load_file(tmp_path / STATE)
    assert all(np.isfinite(a).all() for a in kept.values() if a.dtype.kind == "f")


def test_weights_that_are_no_numbers_are_not_kept(tmp_path):
    class Poison(keras.callbacks.Callback):
        steps = 0

        def on_train_batch_end(self, batch, logs=None):
            self.steps += 1
            if self.steps == 24:  # the second epoch's last: its loss was still a number
                self.model.layers[-1].bias.assign([np.nan] * 3)

    images, _ = sources()
    with pytest.raises(RuntimeError, match="a weight is not a finite number at step 24"):
        training.train(SHALLOW, images, recipe=AVERAGED, folder=tmp_path, callbacks=[Poison()])
    kept = load_file(tmp_path / STATE)
    assert all(np.isfinite(a).all() for a in kept.values() if a.dtype.kind == "f")
    best = keras.saving.load_model(tmp_path / "best.keras")  # by its loss the second were better
    assert all(np.isfinite(w).all() for w in best.get_weights())
