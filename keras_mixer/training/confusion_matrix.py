"""Which classes a model takes for which."""

import csv
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mixer._files import whole_file
from keras_mixer._types import StrPath

MOST_CLASSES = 1000  # a matrix of more cells than a million is neither read nor small


@dataclass(frozen=True)
class Confusion:
    """How often a model gives each class for the images of each class.

    Attributes:
        classes: Names of the classes.
        counts: Integers `[classes, classes]`: rows are true classes, columns predicted ones.
        measured: What `keras_mixer.training.evaluate` gives, of the same evaluation.
    """

    classes: tuple[str, ...]
    counts: np.ndarray
    measured: dict[str, Any]

    def worst(self, count: int = 3) -> list[str]:
        """The classes of the lowest accuracy, those without an error left out.

        Returns:
            At most `count` texts such as `"cat 60.00% of 20 (mostly dog)"`.
        """
        images, right = self.counts.sum(1), np.diagonal(self.counts)
        share = right / np.maximum(images, 1)
        order = np.lexsort((-images, share))
        wrong = self.counts - np.diag(right)
        return [
            f"{self.classes[i]} {share[i]:.2%} of {images[i]:,} "
            f"(mostly {self.classes[wrong[i].argmax()]})"
            for i in order
            if right[i] < images[i]
        ][:count]

    def write(self, path: StrPath, *, overwrite: bool = False) -> None:
        """Writes the counts as CSV: a row for each true class, a column for each predicted one.

        Raises:
            FileExistsError: The file exists already, and `overwrite` is not set.
        """
        rows = zip(self.classes, self.counts.tolist(), strict=True)
        table = [["true class", *self.classes], *([name, *row] for name, row in rows)]
        _write(path, table, overwrite)

    def write_classes(self, path: StrPath, *, overwrite: bool = False) -> None:
        """Writes a row for each class as CSV: its images, how many are right, and the accuracy.

        Raises:
            FileExistsError: The file exists already, and `overwrite` is not set.
        """
        images, right = self.counts.sum(1).tolist(), np.diagonal(self.counts).tolist()
        rows = zip(self.classes, images, right, strict=True)
        table = [[*row, row[2] / row[1] if row[1] else ""] for row in rows]
        _write(path, [["class", "images", "right", "accuracy"], *table], overwrite)


@keras.saving.register_keras_serializable("keras_mixer")
class Counts(keras.metrics.Metric):
    """Counts images by true and predicted class, `[classes, classes]`; not those of weight 0."""

    def __init__(self, classes, name="counts", **kwargs):
        super().__init__(name=name, **kwargs)
        self.classes = classes
        self.total = self.add_variable((classes, classes), "zeros", dtype="int32", name="total")

    def update_state(self, labels, scores, sample_weight=None):
        counted = ops.ones(ops.shape(labels)[:1]) if sample_weight is None else sample_weight
        true, given = (
            ops.one_hot(ops.argmax(x, -1), self.classes, dtype="float32") for x in (labels, scores)
        )
        true *= ops.cast(ops.not_equal(counted, 0), "float32")[:, None]
        pairs = ops.matmul(ops.transpose(true), given)
        self.total.assign_add(ops.cast(pairs, "int32"))

    def result(self):
        return ops.convert_to_tensor(self.total)

    def get_config(self):
        return super().get_config() | {"classes": self.classes}


def _write(path, table, overwrite):
    with (
        whole_file(path, overwrite) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file).writerows(table)
