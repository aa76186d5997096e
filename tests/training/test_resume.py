"""A run that was stopped ends as one that was not: at the same weights, bit by bit."""

import contextlib
import csv
import errno
import functools
import multiprocessing
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
from keras_mixer._runs import LOG, STATE
from keras_mixer.training import run as running
from tests.conftest import ROOT
from tests.marks import slow
from tests.training import runs
from tests.training.runs import BUILD, RECIPE, sources, train

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


def from_a_fork(output, *arguments):
    """`start`, as a target for processes that need not import TensorFlow again."""
    with output.open("w", buffering=1) as file, contextlib.redirect_stdout(file):
        runs.main(*arguments)


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
    model, rows = train(folder)
    return folder, model, rows


class Crash(keras.callbacks.Callback):
    """The machine goes at a step; nobody has the time to do anything."""

    def __init__(self, step):
        super().__init__()
        self.left = step

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise ConnectionResetError


def test_a_crash_anywhere_changes_nothing(whole, tmp_path, monkeypatch):
    # Nothing was kept yet; the state of a step was; the state of an epoch's end.
    for steps, save_every in ((5, 1e9), (12, 0), (15, 1e9)):
        monkeypatch.setattr(running, "SAVE_EVERY", save_every)
        with pytest.raises(ConnectionResetError):
            train(tmp_path, resume=True, callbacks=[Crash(steps)])
    _, rows = train(tmp_path, resume=True)
    folder, _, expected = whole
    assert same(tmp_path, folder)
    check_rows(rows, expected)
    assert (tmp_path / LOG).read_text().count("\n") == 5


@pytest.mark.slow
def test_steps_that_are_done_at_once_are_the_same_steps(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "SAVE_EVERY", 0)
    calls = []
    seen = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: calls.append(batch)
    )
    with pytest.raises(ConnectionResetError):  # 12 steps a round: 6 at once
        train(tmp_path, steps_per_execution=9, callbacks=[seen, Crash(3)])
    assert calls == [5, 11, 5]
    train(tmp_path, steps_per_execution=4, callbacks=[seen], resume=True)  # 18 are done: 3 at once
    assert calls[3:] == [2, 5, *[2, 5, 8, 11] * 2]
    assert same(tmp_path, whole[0])


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), slow(signal.SIGINT, -2)],
)
def test_a_signal_keeps_the_state_and_ends_the_process(whole, tmp_path, number, code):
    process = start(tmp_path, 1e9, "without")
    while not (tmp_path / STATE).exists():  # it begins
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.01)
    process.send_signal(number)
    seen, _ = process.communicate(timeout=120)
    assert process.returncode == code, seen
    assert f"Stopped by {number.name}. Step 1 of 48 is saved in {tmp_path}" in seen
    train(tmp_path, resume=True)
    assert same(tmp_path, whole[0])


class Terminate(keras.callbacks.Callback):
    """SIGTERM before the last training step of a round, or before a step of its evaluation."""

    def __init__(self, where, epoch):
        super().__init__()
        self.where, self.epoch = where, epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if (self.where, self.epoch, batch) == ("training", self.now, 11):
            os.kill(os.getpid(), signal.SIGTERM)

    def on_test_batch_begin(self, batch, logs=None):
        if (self.where, self.epoch, batch) == ("evaluation", self.now, 1):
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(
    ("where", "epoch"),
    [
        ("training", 0),
        *(slow(*moment) for moment in (("evaluation", 0), ("training", 3), ("evaluation", 3))),
    ],
)
def test_a_signal_at_the_end_of_a_round_loses_neither_the_round_nor_its_row(
    whole, tmp_path, where, epoch
):
    with pytest.raises(SystemExit) as stopped:
        train(tmp_path, callbacks=[Terminate(where, epoch)])
    assert stopped.value.code == 128 + signal.SIGTERM
    _, rows = train(tmp_path, resume=True)
    assert same(tmp_path, whole[0])
    check_rows(rows, whole[2])
    assert (tmp_path / "best.keras").exists()
    assert (tmp_path / "README.md").exists()


@pytest.mark.slow
def test_who_stops_within_a_round_is_obeyed_and_may_go_on_later(whole, tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training |= batch == 4

    _, rows = train(tmp_path, callbacks=[Stop()])
    assert [row["step"] for row in rows] == [5]
    _, rows = train(tmp_path, resume=True)
    assert [row["step"] for row in rows] == [5, 12, 24, 36, 48]
    assert same(tmp_path, whole[0])


def test_what_a_killed_process_left_half_written_is_cleared_away(whole, tmp_path):
    left = tmp_path / f".{STATE}.abc"
    left.mkdir()
    (left / STATE).write_bytes(b"half of it")
    with pytest.raises(ConnectionResetError):
        train(tmp_path, callbacks=[Crash(1)])
    assert not left.exists()


@pytest.mark.slow
def test_kill_9_at_random_moments_changes_nothing(tmp_path):
    moments, changes = random.Random(0), ["epochs=40"]

    def to_its_end(name):
        process = start(tmp_path / name, 0.05, "xla", *changes)
        seen, _ = process.communicate()
        assert process.returncode == 0, seen
        return seen

    to_its_end("whole")
    with (tmp_path / "whole" / LOG).open() as log:
        first, *_, last = csv.DictReader(log)
    epoch = (float(last["seconds"]) - float(first["seconds"])) / 39
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload([__name__])  # TensorFlow is imported once, and not yet used
    for i in range(4):
        output = tmp_path / f"output{i}.txt"
        process = forks.Process(
            target=from_a_fork, args=(output, tmp_path / "killed", 0.05, "xla", *changes)
        )
        process.start()
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
        train(tmp_path / "run")
    kept = {p.name for p in (tmp_path / "run").iterdir()}
    assert not [name for name in kept if name.startswith(".")]  # nothing half written
    monkeypatch.setattr(running, "save_file", save)
    train(tmp_path / "run", resume=True)
    assert same(tmp_path / "run", whole[0])


def test_what_was_resumed_to_its_end_stays_as_it_is(whole, tmp_path, capsys):
    folder, model, rows = whole
    before = {p.name: p.read_bytes() for p in (folder / STATE, folder / LOG)}
    again, rows_again = train(folder, resume=True)
    assert "is finished" in capsys.readouterr().out
    assert rows_again == rows
    for a, b in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert before == {p.name: p.read_bytes() for p in (folder / STATE, folder / LOG)}


def test_a_run_is_not_overwritten_and_not_taken_for_another(whole):
    folder, *_ = whole
    with pytest.raises(FileExistsError, match="resume it"):
        train(folder)
    other = RECIPE.but(learning_rate=0.1, mixup=0.0)
    with pytest.raises(
        ValueError,
        match=r"recipe mixup was 0\.4 and is now 0\.0; recipe learning_rate was 0\.003 .* 0\.1; "
        "seed was 0 and is now 1",
    ):
        train(folder, resume=True, recipe=other, seed=1)
    with pytest.raises(
        ValueError, match=r"layer_arguments was .*; evaluate_every was 12 and is now 6"
    ):
        images, held_out = sources()
        build = functools.partial(BUILD, gelu="erf")
        arguments = {"recipe": RECIPE, "folder": folder, "resume": True, "evaluate_every": 6}
        training.train(build, images, held_out, **arguments)
    train(folder, resume=True, recipe=replace(RECIPE, source="said in other words"))


@pytest.mark.parametrize("damage", ["cut", "foreign", "empty"])
def test_a_damaged_state_is_an_error(whole, tmp_path, damage):
    content = (whole[0] / STATE).read_bytes()
    damaged = {"cut": content[: len(content) // 2], "foreign": b"PK" * 99, "empty": b""}[damage]
    (tmp_path / STATE).write_bytes(damaged)
    with pytest.raises(ValueError, match="not a state that can be resumed"):
        train(tmp_path, resume=True)
    assert (tmp_path / STATE).read_bytes() == damaged


def test_training_on_after_nan_is_refused_with_the_place_and_the_cure(tmp_path):
    steep = RECIPE.but(learning_rate=1e30, optimizer="sgd", clip_norm=0.0, warmup=0, ema=0.0)
    with pytest.raises(
        RuntimeError,
        match=r"(the loss|a weight) is not a finite number at step \d+, at learning rate [\d.e+]+"
        rf"\. The last good state is {tmp_path / STATE}, of step \d+; .* lower learning rate",
    ):
        train(tmp_path, recipe=steep)
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
        training.train(BUILD, images, recipe=RECIPE, folder=tmp_path, callbacks=[Poison()])
    kept = load_file(tmp_path / STATE)
    assert all(np.isfinite(a).all() for a in kept.values() if a.dtype.kind == "f")
    best = keras.saving.load_model(tmp_path / "best.keras")  # by its loss the second were better
    assert all(np.isfinite(w).all() for w in best.get_weights())
