"""A run of training that can be stopped anywhere and taken up again, bit by bit the same."""

import csv
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
from keras_mixer._runs import BEST, LABELS, LAST, LOG, STATE
from keras_mixer.training.averages import averaged
from keras_mixer.training.card import card
from keras_mixer.training.devices import largest, process
from keras_mixer.training.heads import for_a_while
from keras_mixer.training.record import differences

SAVE_EVERY = 300  # seconds: what a machine that is taken away can cost
AGREE_EVERY = 20  # steps, after which several machines ask each other whether to save or to stop


class Run(keras.callbacks.Callback):
    """Keeps a run in its folder, and takes it up where it was kept.

    `state.safetensors` holds all that the next step depends on: weights, optimizer, random numbers
    and the number of steps done; beside them the rows of the log. It is written every few minutes
    and after each epoch. `log.csv` has one row an epoch, `best.keras` is the model of the best
    epoch, ready for use.

    Args:
        folder: A `Path`.
        record: What the run is, JSON; a run is taken up only as the same.
        plan: A `Plan`.
        schedule: Step -> learning rate.
        activation: Of the finished model's head.
        save_every: Seconds between two savings within an epoch.
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
        self.so_far = {}  # means over the steps of a round before it was taken up
        self.signal = 0

    @property
    def best(self):
        """The best row of the log, the first of equals; None where there is none."""
        return max(self.rows, key=lambda row: row.get("val_accuracy", -row["loss"]), default=None)

    # Keeping and taking up

    def save(self):
        """Keeps the state, unless it is one that nobody could go on from."""
        arrays = self._state()
        progress = {
            "step": self.step,
            "rows": self.rows,
            "so_far": self._means(),
            "seconds": self._seconds(),
        }
        if process()[0] == 0:
            kept = {"record": json.dumps(self.record), "progress": json.dumps(progress)}
            with whole_file(self.folder / STATE, overwrite=True) as path:
                save_file(arrays, path, kept)
        self.saved_step, self.saved_at = self.step, time.monotonic()

    def _state(self):
        """All that the next step depends on; raises RuntimeError if some of it is no number."""
        self._fetch()
        arrays = {
            name: np.asarray(keras.ops.convert_to_numpy(variable), order="C")
            for name, variable in _variables(self.model)
        }
        if not all(np.isfinite(a).all() for a in arrays.values() if a.dtype.kind == "f"):
            raise self._diverged("a weight")
        return arrays

    def _fetch(self):
        """Has Keras put into its variables what it computes with on JAX."""
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()

    def take_up(self):
        """Gives the model the state that was kept.

        Raises:
            ValueError: It is of another run, or damaged; the model is as it was then.
        """
        path = self.folder / STATE
        variables = dict(_variables(self.model))
        try:
            with safe_open(path, "numpy") as file:
                kept = file.metadata() or {}
                record, progress = (json.loads(kept[key]) for key in ("record", "progress"))
                self._check(record)
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, KeyError, json.JSONDecodeError) as error:
            raise ValueError(f"{path} is not a state that can be resumed: {error}") from None
        if {n: a.shape for n, a in arrays.items()} != {n: v.shape for n, v in variables.items()}:
            raise ValueError(f"{path} is of another model or optimizer than the one to resume.")
        for name, variable in variables.items():
            variable.assign(arrays[name])
        self.step = self.saved_step = progress["step"]
        self.rows, self.so_far = progress["rows"], progress["so_far"]
        self.seconds = progress["seconds"]

    def _check(self, kept):
        if found := differences(kept, self.record):
            raise ValueError(
                f"The run in {self.folder} cannot be resumed with other settings: "
                f"{'; '.join(found)}."
            )

    # What Keras calls. Its epochs are our rounds.

    def on_train_begin(self, logs=None):
        self.started = self.saved_at = time.monotonic()
        self.first = self.step
        if process()[0] == 0:
            for name in (STATE, BEST, LAST, LOG):  # what a process that was killed left behind
                for half_written in self.folder.glob(f".{name}.*"):
                    shutil.rmtree(half_written)
        if not self.step:
            # Now, so that a disk that is full, or not ours, shows before it costs anything.
            self._write_text(LABELS, "".join(f"{c}\n" for c in self.record["classes"]))
            self.save()

    def on_epoch_begin(self, epoch, logs=None):
        self.first, self.logs, self.begun = self.step, {}, None

    def on_train_batch_end(self, batch, logs=None):
        before, self.step = self.step, self.first + batch + 1
        self.logs = {key: float(value) for key, value in logs.items()}
        self.now = time.monotonic()
        if self.begun is None:
            self.begun, self.begun_at = self.now, self.step  # what was before has compiled
        if not math.isfinite(self.logs["loss"]):
            raise self._diverged("the loss")
        ends = self._at_an_end
        self.model.stop_training = ends  # the round, which may have begun in its middle
        number, due = self._wishes(before)
        if number or (due and not ends):
            self.save()
        if number:
            self._stop(number)

    def on_test_batch_end(self, batch, logs=None):
        if self.signal and process()[1] == 1:
            self._fetch()
            with averaged(self.model):  # which takes them out again: they are being evaluated
                self.save()
            self._stop(self.signal)

    def _wishes(self, before):
        """`(signal that came or 0, whether it is time to save)`, the same on all machines."""
        wishes = self.signal, self.now - self.saved_at > self.save_every
        if process()[1] == 1:
            return wishes
        agreed = self.step // AGREE_EVERY > before // AGREE_EVERY
        return largest(*wishes) if agreed else (0, False)

    @property
    def _at_an_end(self):
        """Whether all the steps of a round are done."""
        return self.step % self.plan.round == 0 or self.step == self.plan.steps

    @property
    def owes_a_row(self):
        """Whether it was kept between the last step of a round and the end of its evaluation."""
        return self._at_an_end and self.step > (self.rows[-1]["step"] if self.rows else 0)

    def make_up(self, logs):
        """Ends the round that was kept so, with what its evaluation gives."""
        self.started, self.first, self.begun = time.monotonic(), self.step, None
        self.on_epoch_end(None, {f"val_{key}": value for key, value in logs.items()})

    def on_epoch_end(self, epoch, logs=None):
        # A round that ends earlier was ended by somebody else's callback.
        self.model.stop_training = self.step >= self.plan.steps or not self._at_an_end
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
        self._state()  # before anything is written: none of it may be lost to what is no number
        self.rows.append(row)
        self.so_far, self.first = {}, self.step
        if process()[0] == 0:
            _write(self.folder / LOG, self.rows)
        if self.best is row:
            self.write(BEST)
        self.save()

    def write(self, name):
        """Writes the model as it is used: averaged weights, and an answer in probabilities."""
        with (
            tempfile.TemporaryDirectory() as elsewhere,
            averaged(self.model),
            for_a_while(self.model, self.activation) as model,
            # Of several machines all must read the weights, which they do together, and one writes.
            whole_file(Path(elsewhere if process()[0] else self.folder) / name, True) as path,
        ):
            model.save(path)

    def finish(self):
        """Writes what belongs to the end: the model as it is now, and its card."""
        self.write(LAST)
        self._write_text("README.md", card(self.model, self, self.model.input_shape[1:]))

    def _write_text(self, name, text):
        if process()[0] == 0:
            with whole_file(self.folder / name, overwrite=True) as path:
                path.write_text(text, encoding="utf-8")

    def _means(self):
        """Means over the steps of the round so far, before and after it was taken up."""
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
            f"step {self.saved_step}; resumed as it is, it would end here again. A lower learning "
            "rate, a longer warm-up or a smaller clip_norm may help."
        )

    # Signals

    @contextmanager
    def listening(self):
        """While it lasts, SIGTERM and Ctrl-C keep the state before they end the process."""
        if threading.current_thread() is not threading.main_thread():
            yield  # where Python allows no handlers
            return

        def remember(number, frame):
            if self.signal:  # asked twice: at once
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
        print(
            f"\nStopped by {signal.Signals(number).name}. Step {self.saved_step:,} of "
            f"{self.plan.steps:,} is kept in {self.folder}; resume it to go on.",
            flush=True,
        )
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)


def _variables(model):
    """All that a step reads and changes: pairs of a name that repeats and a variable."""
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
