"""What is in the folder of a run of training, and which of its two models is used."""

import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

STATE = "state.safetensors"  # what the next step depends on
BEST, LAST = "best.keras", "last.keras"  # models ready for use
LABELS, LOG, SKIPPED = "labels.txt", "log.csv", "skipped.txt"
CONFUSION, CLASSES, RESULTS = "confusion.csv", "classes.csv", "results.json"
LOCK = ".lock"  # stays in the folder; the operating system forgets who held it
NORMAL = 1.959964  # 95 % of a normal distribution lie within so many standard deviations


def interval(accuracy, images):
    """The 95 % interval of an accuracy that was measured on so many images: `(low, high)`.

    Source: Wilson 1927; Brown, Cai and DasGupta 2001, equation 4, recommend it for few images.
    """
    z = NORMAL**2 / images
    middle = accuracy + z / 2
    half = math.sqrt(z * (accuracy * (1 - accuracy) + z / 4))
    return max(0.0, (middle - half) / (1 + z)), min(1.0, (middle + half) / (1 + z))


@dataclass(frozen=True)
class Choice:
    """Which model of a finished run is used where a run's folder is given.

    Attributes:
        file: `last.keras` or `best.keras`.
        reason: Why that one, a clause; `""` where both are the same model.
    """

    file: str
    reason: str

    def said(self, folder):
        """A clause for users: which model commands take of a folder, why, and how to choose."""
        if not self.reason:
            return f"predict, evaluate and export take {self.file}, which is the best model, too"
        other = BEST if self.file == LAST else LAST
        return (
            f"predict, evaluate and export take {self.file}: {self.reason}; for the other give "
            f"{Path(folder) / other}"
        )


def best_of(rows):
    """The best row of a run's log; None while the log is empty.

    That is the highest accuracy on the held-out images, then the lowest loss on them, then the
    later row; without held-out images the lowest loss of the training.
    """

    def rank(row):
        loss = float(row["val_loss" if "val_accuracy" in row else "loss"])
        return float(row.get("val_accuracy", 0)), -loss, float(row["step"])

    return max(rows, key=rank, default=None)


def choice(rows):
    """The model that is used of a finished run with this log.

    It is the last one, unless the best one is better than chance explains: unless the last one's
    accuracy is below the 95 % interval of the best one's. The accuracy of the best is the highest
    of many, so that among few images it is high by chance.
    """
    best, last = best_of(rows), rows[-1]
    if best is last:
        return Choice(LAST, "")
    if "val_accuracy" not in last:
        return Choice(LAST, "no images were held out to tell which is better")
    of_best, of_last = float(best["val_accuracy"]), float(last["val_accuracy"])
    images = int(float(best["val_images"]))
    low, high = interval(of_best, images)
    measured = (
        f"on {images:,} held-out images {LAST} has {of_last:.2%} and {BEST} {of_best:.2%} "
        f"(95% interval {low:.1%} to {high:.1%})"
    )
    if of_last < low:
        return Choice(BEST, measured)
    return Choice(LAST, f"{measured}, which is no clear difference")


def chosen(folder):
    """The `Choice` of a run's folder; None where it does not hold two models and a log."""
    folder = Path(folder)
    if not ((folder / BEST).is_file() and (folder / LAST).is_file()):
        return None
    try:
        with (folder / LOG).open(newline="", encoding="utf-8") as file:
            return choice(list(csv.DictReader(file)))
    except (OSError, KeyError, ValueError, TypeError, IndexError, csv.Error):
        return None  # not a log of ours


def recorded(folder):
    """The record that a run's folder keeps in its state, as plain JSON; None where it has none."""
    try:
        with safe_open(Path(folder) / STATE, "numpy") as file:
            return json.loads(file.metadata()["record"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def model_file(model):
    """The model to use of a run's folder, see `choice`; any other path or name as it is.

    A run that is not finished has its best model only.

    Raises:
        FileNotFoundError: The folder has no best model.
    """
    path = Path(model)
    if not path.is_dir():
        return path
    if not (path / BEST).is_file():
        hint = f" It has {path / LAST}; give that." if (path / LAST).is_file() else ""
        raise FileNotFoundError(
            f"{path} holds no {BEST}: it is not the folder of a run, or the run has not finished "
            f"its first epoch.{hint}"
        )
    found = chosen(path)
    return path / (found.file if found else BEST)
