"""Progress on the terminal while a model trains."""

import sys

import keras
from tqdm import tqdm

from keras_mixer._text import say
from keras_mixer.training.results import uncertain


class Progress(keras.callbacks.Callback):
    """A bar for each evaluation interval, with images a second, and a line after it.

    Args:
        run: The `Run`, which must come first in the list of callbacks.
    """

    def __init__(self, run):
        super().__init__()
        self.run = run

    def on_epoch_begin(self, epoch, logs=None):
        plan, step = self.run.plan, self.run.step
        first = step - step % plan.interval
        self.bar = tqdm(
            total=(min(first + plan.interval, plan.steps) - first) * plan.batch_size,
            initial=(step - first) * plan.batch_size,
            unit=" images",
            unit_scale=True,
            desc=f"epoch {step / plan.steps_per_epoch:.4g}",
            leave=False,
            disable=not (
                sys.stderr.isatty() or "ipykernel" in sys.modules
            ),  # no terminal, no notebook
        )

    def on_train_batch_end(self, batch, logs=None):
        logs, done = self.run.logs, self.run.step % self.run.plan.interval or self.run.plan.interval
        self.bar.update(done * self.run.plan.batch_size - self.bar.n)
        self.bar.set_postfix_str(f"loss {logs['loss']:.3f}, accuracy {logs['accuracy']:.1%}")

    def on_test_begin(self, logs=None):
        self.bar.set_postfix_str("evaluating")

    def on_epoch_end(self, epoch, logs=None):
        self.bar.close()
        row = self.run.rows[-1]
        line = f"epoch {row['epoch']:.4g}: loss {row['loss']:.3f}, accuracy {row['accuracy']:.2%}"
        if "val_accuracy" in row:
            line += f"; held out {row['val_loss']:.3f}, {row['val_accuracy']:.2%}"
            line += uncertain(row["val_accuracy"], row["val_images"])
            line += " (best)" * (self.run.best is row)
        if row["images_per_second"]:
            line += f"; {row['images_per_second']:,.0f} images/s"
        say(line)

    def on_train_end(self, logs=None):
        self.bar.close()
