"""A training run that can be stopped at any step and resumed, with bit-identical results."""

import csv
import hashlib
import json
import math
import shutil
import signal
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from keras_mixer._files import whole_file
from keras_mixer._runs import BEST, LABELS, LAST, LOG, STATE, best_of, choice
from keras_mixer._text import listed, say
from keras_mixer.training.averages import averaged
from keras_mixer.training.card import card
from keras_mixer.training.devices import largest, process
from keras_mixer.training.heads import with_activation
from keras_mixer.training.record import differences

SAVE_EVERY = 300  # seconds: the most work that is lost when a machine is preempted
AGREE_EVERY = 20  # steps between two agreements of several machines on saving and stopping
PROGRESS = {"step": int, "rows": list, "so_far": dict, "seconds": (int, float)}  # in the state


class Run(keras.callbacks.Callback):
    """Saves a run to its folder, and resumes it from there.

    `state.safetensors` holds everything that the next step depends on: weights, optimizer state,
    random seeds and the number of steps done. It also holds the rows of the log. It is written
    every few minutes and after each evaluation interval, by default an epoch. `log.csv` has one row
    an interval, and `best.keras` is the model of the best one, ready for use.

    Args:
        folder: A `Path`.
        record: The settings of the run, JSON; a run resumes only with the same settings.
        plan: A `Plan`.
        schedule: Step -> learning rate.
        activation: Activation of the saved models' heads.
        save_every: Seconds between two saves within an interval.
    """

    def __init__(self, folder, record, plan, schedule, activation, save_every=None):
        super().__init__()
        self.folder = folder
        self.record = record
        self.plan = plan
        self.schedule = schedule
        self.activation = activation
        self.save_every = save_every or SAVE_EVERY
        self.step = self.saved_step = 0
        self.rows = []
        self.seconds = 0.0
        self.so_far = {}  # means over the steps of this interval that were done before a resume
        self.signal = 0

    @property
    def best(self):
        """The best row of the log, see `best_of`; None while the log is empty."""
        return best_of(self.rows)

    # Saving and resuming

    def save(self):
        """Saves the state; raises RuntimeError instead if its weights are not finite."""
        arrays = self._state()
        progress = {
            "step": self.step,
            "rows": self.rows,
            "so_far": self._means(),
            "seconds": self._seconds(),
        }
        if process()[0] == 0:
            kept = {"record": json.dumps(self.record), "progress": json.dumps(progress)}
            kept["checksum"] = _checksum(arrays, kept)
            with whole_file(self.folder / STATE, overwrite=True) as path:
                save_file(arrays, path, kept)
        self.saved_step, self.saved_at = self.step, time.monotonic()

    def _state(self):
        """Everything that the next step depends on; RuntimeError if a value is not finite."""
        self._fetch()
        arrays = {
            name: np.asarray(keras.ops.convert_to_numpy(variable), order="C")
            for name, variable in _variables(self.model)
        }
        if not all(np.isfinite(a).all() for a in arrays.values() if a.dtype.kind == "f"):
            raise self._diverged("a weight")
        return arrays

    def _fetch(self):
        """Copies the values that Keras trains with on JAX into its variables."""
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()

    def resume(self):
        """Loads the saved state into the model.

        Raises:
            ValueError: The state belongs to another run, or is damaged. The model is unchanged.
        """
        record, progress, arrays = _read(self.folder / STATE)
        self._check(record)
        variables = dict(_variables(self.model))
        if {n: a.shape for n, a in arrays.items()} != {n: v.shape for n, v in variables.items()}:
            raise ValueError(
                f"{self.folder / STATE} belongs to another model or optimizer than the one to "
                "resume."
            )
        for name, variable in variables.items():
            variable.assign(arrays[name])
        self.step = self.saved_step = progress["step"]
        self.rows, self.so_far = progress["rows"], progress["so_far"]
        self.seconds = progress["seconds"]

    def _check(self, kept):
        if found := differences(kept, self.record):
            raise ValueError(
                f"The run in {self.folder} cannot be resumed with other settings or images: "
                f"{'; '.join(found)}. Resume it with what it had, or start another run in another "
                f"folder, from its weights if you like (--weights {self.folder})."
            )

    # Callback methods. Each epoch of `fit` is one evaluation interval.

    def on_train_begin(self, logs=None):
        self.started = self.saved_at = time.monotonic()
        self.first = self.step
        if process()[0] == 0:
            for name in (STATE, BEST, LAST, LOG):  # left behind by a killed process
                for half_written in self.folder.glob(f".{name}.*"):
                    shutil.rmtree(half_written)
            (self.folder / LAST).unlink(missing_ok=True)  # it is not the last if training goes on
        if not self.step:
            # Before the first step, so that a full or read-only disk fails at once.
            self._write_text(LABELS, "".join(f"{c}\n" for c in self.record["classes"]))
            self.save()

    def on_epoch_begin(self, epoch, logs=None):
        self.first, self.logs, self.begun = self.step, {}, None

    def on_train_batch_end(self, batch, logs=None):
        before, self.step = self.step, self.first + batch + 1
        self.logs = {key: float(value) for key, value in logs.items()}
        self.now = time.monotonic()
        if self.begun is None:
            self.begun, self.begun_at = self.now, self.step  # the first call also compiles
        if not math.isfinite(self.logs["loss"]):
            raise self._diverged("the loss")
        ends = self._at_interval_end
        self.model.stop_training = ends  # a resumed interval has fewer steps than `fit` expects
        number, due = self._requests(before)
        if number or (due and not ends):
            self.save()
        if number:
            self._stop(number)

    def on_test_batch_end(self, batch, logs=None):
        if self.signal and process()[1] == 1:
            self._fetch()
            with averaged(self.model):  # swaps the weights back: averages are being evaluated
                self.save()
            self._stop(self.signal)

    def _requests(self, before):
        """`(received signal or 0, whether a save is due)`, the same on all machines."""
        requests = self.signal, self.now - self.saved_at > self.save_every
        if process()[1] == 1:
            return requests
        agree_now = self.step // AGREE_EVERY > before // AGREE_EVERY
        return largest(*requests) if agree_now else (0, False)

    @property
    def _at_interval_end(self):
        """Whether all steps of an evaluation interval are done."""
        return self.step % self.plan.interval == 0 or self.step == self.plan.steps

    @property
    def misses_row(self):
        """Whether the log has no row for the finished interval.

        That is so when the run was saved after the last step of an interval and stopped before the
        end of its evaluation.
        """
        return self._at_interval_end and self.step > (self.rows[-1]["step"] if self.rows else 0)

    def record_missing_row(self, logs):
        """Adds the missing row to the log, from the results of an evaluation."""
        self.started, self.first, self.begun = time.monotonic(), self.step, None
        self.on_epoch_end(None, {f"val_{key}": value for key, value in logs.items()})

    def on_epoch_end(self, epoch, logs=None):
        # An interval that ends early was stopped by another callback.
        self.model.stop_training = self.step >= self.plan.steps or not self._at_interval_end
        means = self._means()
        timed = (self.step - self.begun_at) * self.plan.batch_size if self.begun else 0
        row = {
            "epoch": round(self.step / self.plan.steps_per_epoch, 2),
            "step": self.step,
            "learning_rate": self._learning_rate(),
            **{key: means[key] for key in means if key not in ("steps", "images")},
            **{key: float(value) for key, value in logs.items() if key.startswith("val_")},
            "images_per_second": timed / (self.now - self.begun) if timed else None,
            "seconds": self._seconds(),
        }
        self._state()  # raises before anything is written if a weight is not finite
        self.rows.append(row)
        self.so_far, self.first = {}, self.step
        if process()[0] == 0:
            _write(self.folder / LOG, self.rows)
        if self.best is row:
            self.write(BEST)
        self.save()

    def write(self, name):
        """Writes the model for use: with averaged weights, and probabilities as its output."""
        with (
            tempfile.TemporaryDirectory() as elsewhere,
            averaged(self.model),
            with_activation(self.model, self.activation) as model,
            # Reading the weights is a collective operation of all machines; the first one writes.
            whole_file(Path(elsewhere if process()[0] else self.folder) / name, True) as path,
        ):
            model.save(path)

    def finish(self, results):
        """Writes the card, with what `results` found, and prints which model is used."""
        if process()[0] == 0:
            text = card(self.model, self, results, self.model.input_shape[1:])
            self._write_text("README.md", text)
        say(f"Done. Of {self.folder} {choice(self.rows).said(self.folder)}.")

    def _write_text(self, name, text):
        if process()[0] == 0:
            with whole_file(self.folder / name, overwrite=True) as path:
                # The names of files and folders need not be UTF-8.
                path.write_text(text, encoding="utf-8", errors="backslashreplace")

    def _means(self):
        """Means over the steps of the interval so far, those before a resume included."""
        before, now = self.so_far.get("steps", 0), self.step - self.first
        if not now:
            return self.so_far
        means = {
            key: (before * self.so_far[key] + now * value) / (before + now) if before else value
            for key, value in self.logs.items()
        }
        return {"steps": before + now, **means}

    def _seconds(self):
        return self.seconds + time.monotonic() - self.started

    def _learning_rate(self):
        return float(self.schedule(max(0, self.step - 1)))

    def _diverged(self, what):
        return RuntimeError(
            f"Training diverged: {what} is not a finite number at step {self.step}, at learning "
            f"rate {self._learning_rate():.3g}. The last good state is {self.folder / STATE}, of "
            f"step {self.saved_step}; resumed without a change, it would diverge again. A lower "
            "learning rate, a longer warm-up or a smaller clip_norm may help."
        )

    # Signals

    @contextmanager
    def handling_signals(self):
        """A context in which SIGTERM and Ctrl-C save the state before they end the process."""
        if threading.current_thread() is not threading.main_thread():
            yield  # Python allows signal handlers in the main thread only
            return

        def remember(number, frame):
            if self.signal:  # the second signal stops at once
                raise KeyboardInterrupt
            self.signal = number

        both = signal.SIGTERM, signal.SIGINT
        before = {number: signal.signal(number, remember) for number in both}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number):
        say(
            f"\nStopped by {signal.Signals(number).name}. Step {self.saved_step:,} of "
            f"{self.plan.steps:,} is saved in {self.folder}; resume the run to continue.",
        )
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)


def _read(path):
    """`(record, progress, arrays)` of a state.

    Raises:
        ValueError: It is damaged, or not a state.
    """
    try:
        with safe_open(path, "numpy") as file:
            kept = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if "checksum" in kept and kept["checksum"] != _checksum(arrays, kept):  # not in older ones
            raise ValueError("its checksum is another one, so that it is damaged")
        record, progress = (json.loads(kept[key]) for key in ("record", "progress"))
        wrong = [k for k, kind in PROGRESS.items() if not isinstance(progress[k], kind)]
        if wrong or not isinstance(record, dict):
            raise ValueError(f"its {listed(wrong or ['record'])} cannot be read")
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else error
        raise ValueError(
            f"{path} is not a state that can be resumed: {reason}. Put back a copy of it, or start "
            f"another run in another folder, from {path.with_name(BEST)} if that is there "
            "(--weights)."
        ) from None
    return record, progress, arrays


def _checksum(arrays, kept):
    """Of everything in a state: tensors with their names, types and shapes, record and progress."""
    digest = hashlib.blake2b(digest_size=16)
    for text in (kept["record"], kept["progress"]):
        digest.update(text.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8))
    return digest.hexdigest()


def _variables(model):
    """All variables that a step reads or changes: pairs of a reproducible name and a variable."""
    counted = {id(variable) for variable in model.metrics_variables}
    own = [variable for variable in model.variables if id(variable) not in counted]
    for part, variables in (("model", own), ("optimizer", model.optimizer.variables)):
        for i, variable in enumerate(variables):
            yield f"{part}/{i}/{variable.name}", variable


def _write(path, rows):
    with whole_file(path, overwrite=True) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), restval="")
        writer.writeheader()
        writer.writerows(rows)
