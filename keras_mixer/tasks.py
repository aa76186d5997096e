"""Tasks: what the numbers in a model's output are, which labels belong to them, how they are rated.

`verify`, `sensitivity`, `export` with its card, `Classifier` and `evaluate` ask a model's task.
"""

from dataclasses import dataclass

import numpy as np

from keras_mixer._arrays import as_array
from keras_mixer._text import did_you_mean

SUM = 1e-2  # how far the probabilities of an image may add up beside 1, for bfloat16


@dataclass(frozen=True)
class Task:
    """A model's task.

    Each kind says what its answers are (`answers(scores)`, from `[N, units]`), checks labels and
    brings them into the form of the answers (`labels(labels, who)`), and describes the scores for a
    model card: `means(names)` and, for the scores of one image, `example(scores, names)`.

    Attributes:
        units: Number of scores of an image.
        activation: What the scores come from: `"softmax"`, `"sigmoid"`, `"linear"`, or None for
            anything else.
        name: Its name in `TASKS`.
        noun: What the scores are of, in the card.
        heading: Of the card's table of accuracies: the file's, Keras's and the agreement.
    """

    units: int
    activation: str | None = None

    noun = "Classes"
    for_mediapipe = True  # whether MediaPipe's image classifier shows what the scores mean

    @property
    def threshold(self):
        """The score above which the answer is yes."""
        return 0.0 if self.activation == "linear" else 0.5

    def named(self, names, who):
        """The names that belong to the scores, from those of the user."""
        return names

    def counted(self, names, file):
        """The number of classes, labels or quantities, and where their names are."""
        return f"{self.units:,}, {f'named in `{file}`' if names else 'not named'}"

    def accuracy(self, scores, labels):
        """The share of right answers, or None without labels.

        Answers from scores that are not finite are wrong.
        """
        finite = np.isfinite(scores).all(-1)
        return None if labels is None else _share(self.answers(scores) == labels, finite)

    def agreement(self, scores, others, finite):
        """The share of answers that two models give alike, on images with finite scores."""
        return _share(self.answers(scores) == self.answers(others), finite)

    def error(self, scores, labels):
        """The mean absolute error of quantities, infinite if a score is not finite.

        None for other tasks and without labels.
        """


@dataclass(frozen=True)
class Classification(Task):
    """One of several classes: that with the highest score."""

    name = "classification"
    heading = ("top-1", "Keras, top-1", "same class")

    def answers(self, scores):
        return scores.argmax(-1)

    def labels(self, labels, who):
        return class_numbers(labels, self.units, who)

    def means(self, names=()):
        if self.activation == "softmax":
            return "probabilities: they are at least 0 and add up to 1."
        if self.activation == "sigmoid":
            return (
                "from 0 to 1, each from a sigmoid of its own: the best class has the highest. They "
                "do not add up to 1."
            )
        return (
            "as from the Keras model: the best class has the highest. They are not probabilities."
        )

    def example(self, scores, names=()):
        best = int(np.argmax(scores))
        name = f"{best}, {names[best]}" if names else best
        return f"the best class is {name}, score {scores[best]:.4f}"


@dataclass(frozen=True)
class Binary(Task):
    """Yes or no, from one score."""

    name = "binary"
    heading = ("accuracy", "Keras, accuracy", "same class")

    def answers(self, scores):
        return scores[:, 0] > self.threshold

    def labels(self, labels, who):
        return class_numbers(labels, 2, who)

    def named(self, names, who):
        if len(names) > 2:
            raise ValueError(
                f"{who} needs two labels, that of class 1 second, or that of class 1 alone, for a "
                f"model with one score; got {len(names):,} labels."
            )
        return names[-1:]

    def counted(self, names, file):
        no, yes = self.pair(names)
        return f"2, {no} and {yes}, from one score"

    def pair(self, names=()):
        """The names of the classes 0 and 1, from two names, that of class 1, or none."""
        return (f"not {names[0]}", *names) if len(names) == 1 else (*names,) or ("0", "1")

    def means(self, names=()):
        no, yes = (f"“{name}”" if names else f"class {name}" for name in self.pair(names))
        if self.activation == "sigmoid":
            return f"the probability of {yes}; 1 minus it is the probability of {no}."
        return (
            f"a score above {self.threshold:g} for {yes} and below for {no}. It is no probability; "
            "1 / (1 + exp(-score)) is, if the model was trained with a loss of logits."
        )

    def example(self, scores, names=()):
        return f"the score is {scores[0]:.4f}"


@dataclass(frozen=True)
class Multilabel(Task):
    """Several labels at once, each yes or no by its own score."""

    name = "multilabel"
    noun = "Labels"
    heading = ("right labels", "Keras, right labels", "same labels")

    def answers(self, scores):
        return scores > self.threshold

    def labels(self, labels, who):
        labels = labels[:, None] if labels.ndim == 1 else labels
        if labels.shape[1] != self.units or not _zeros_and_ones(labels):
            raise ValueError(
                f"{who} with task 'multilabel' needs labels [N, {self.units}] of 0 and 1; got "
                f"{_described(labels)}."
            )
        return labels.astype(bool)

    def means(self, names=()):
        kind = {"sigmoid": "probabilities", "linear": "logits"}.get(self.activation, "scores")
        return (
            f"independent {kind}, one a label: any number of labels may apply to an image, those "
            f"with a score above {self.threshold:g} in our measurements. They do not add up to 1."
        )

    def example(self, scores, names=()):
        best = int(np.argmax(scores))
        return f"the highest score is {scores[best]:.4f}, of label {best}" + (
            f", {names[best]}" if names else ""
        )


@dataclass(frozen=True)
class Regression(Task):
    """Quantities, in the unit of the labels."""

    name = "regression"
    noun = "Quantities"
    heading = ("mean absolute error", "Keras, mean absolute error", "largest difference")
    for_mediapipe = False

    def labels(self, labels, who):
        labels = labels[:, None] if labels.ndim == 1 else labels
        if labels.shape[1] != self.units:
            raise ValueError(
                f"{who} with task 'regression' needs labels [N, {self.units}]; got "
                f"{_described(labels)}."
            )
        return labels.astype(np.float64)

    def named(self, names, who):
        if names:
            raise ValueError(
                f"{who} takes no labels with task 'regression': they would name classes; got "
                f"{len(names):,}."
            )
        return names

    def counted(self, names, file):
        return f"{self.units:,}"

    def accuracy(self, scores, labels):
        return None

    def agreement(self, scores, others, finite):
        return None

    def error(self, scores, labels):
        if labels is None:
            return None
        return float(np.abs(scores - labels).mean()) if np.isfinite(scores).all() else float("inf")

    def means(self, names=()):
        return (
            "numbers in the unit of the labels that the model was trained on: no probabilities, "
            "and no scores of classes."
        )

    def example(self, scores, names=()):
        return f"the first number is {scores[0]:.4f}"


def _share(equal, finite):
    return float(np.mean(equal.reshape(len(equal), -1) & finite[:, None]))


TASKS = {kind.name: kind for kind in (Classification, Binary, Multilabel, Regression)}


def task_of(activation, units, who, labels=None, task=None):
    """The task of a model, from its last activation, the number of its scores and its labels.

    - One score: yes or no from a sigmoid, or if every label is 0 or 1; otherwise a quantity.
    - Several from a softmax: one of as many classes.
    - Several from a sigmoid: labels that are independent, unless each image has just one.
    - Several others, such as logits: one of as many classes, unless images have several labels or
      quantities.

    Args:
        activation: As in `Task`.
        units: Number of scores.
        who: The caller, with whose name errors begin.
        labels: The labels of all images, as from `label_array`, or None.
        task: A name of `TASKS`, if the user chose one.

    Raises:
        ValueError: There is no such task, or the model cannot have it.
    """
    if task is not None and task not in TASKS:
        raise ValueError(
            f"{who} needs task to be {', '.join(map(repr, TASKS))}; got {task!r}. "
            f"{did_you_mean(task, TASKS)}".rstrip()
        )
    if units == 1 and (activation == "softmax" or task == "classification"):
        raise ValueError(
            f"{who} cannot rate a model with one score "
            + ("from a softmax, which is always 1." if activation == "softmax" else "by its class.")
            + " For yes or no, end the model with a sigmoid; for two classes, with two scores."
        )
    if task == "binary" and units != 1:
        raise ValueError(
            f"{who} with task 'binary' needs a model with one score; this one has {units}. Two "
            "classes with a score each are 'classification'."
        )
    kind = TASKS[task] if task else _inferred(activation, units, labels)
    return kind(units, activation)


def _inferred(activation, units, labels):
    if units == 1:
        yes_or_no = labels is not None and _zeros_and_ones(labels)
        return Binary if activation == "sigmoid" or yes_or_no else Regression
    if activation == "softmax":
        return Classification
    if labels is None:
        return Multilabel if activation == "sigmoid" else Classification
    if labels.ndim == 1 or _add_up_to_1(labels):
        return Classification
    return Multilabel if activation == "sigmoid" or _zeros_and_ones(labels) else Regression


def label_array(labels, count, who):
    """Labels of `count` images as an array of finite numbers, [N] or [N, n]; [N, 1] becomes [N]."""
    labels = as_array(labels)
    if labels.dtype.kind not in "biuf":
        raise ValueError(
            f"{who} needs labels to be numbers; got {labels.dtype} of shape {labels.shape}. Class "
            "names need to be numbered first."
        )
    labels = labels.reshape(1) if labels.ndim == 0 else labels
    if labels.ndim > 2:
        raise ValueError(
            f"{who} needs labels [N], or [N, classes]; got an array of shape {labels.shape}."
        )
    if len(labels) != count:
        raise ValueError(
            f"{who} needs one label for each image; got {len(labels)} for {count} images."
        )
    if not np.isfinite(labels).all():
        raise ValueError(f"{who} needs labels that are finite; some are NaN or infinite.")
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels


def class_numbers(labels, classes, who):
    """The number of each image's class, int64 [N].

    Args:
        labels: As from `label_array`: numbers of classes, of any type; or one-hot or probabilities
            `[N, classes]`, of which the largest counts.
        classes: Number of classes; None for any.
        who: As in `task_of`.

    Raises:
        ValueError: A label is no number of a class, or rows are neither one-hot nor probabilities.
    """
    if labels.ndim == 2:
        if labels.shape[1] != (classes or labels.shape[1]) or not _add_up_to_1(labels):
            raise ValueError(
                f"{who} needs labels to be class numbers [N], or one-hot or probabilities "
                f"[N, {classes or 'classes'}] that add up to 1 for each image; got "
                f"{_described(labels)}."
            )
        return labels.argmax(-1)
    if not (labels == np.floor(labels)).all():
        raise ValueError(
            f"{who} needs labels to be class numbers, which are whole; got {_described(labels)}. "
            "Quantities are labels of task 'regression'."
        )
    low, high = (int(labels.min()), int(labels.max())) if labels.size else (0, 0)
    last = (classes or 2**63) - 1
    if low < 0 or high > last:
        hint = " Numbers begin at 0: subtract 1." if (low, high) == (1, classes) else ""
        upwards = f"from 0 to {last}" if classes or low >= 0 else "from 0"
        raise ValueError(f"{who} needs labels {upwards}; got {low} to {high}.{hint}")
    return labels.astype(np.int64)


def _zeros_and_ones(labels):
    return bool(((labels == 0) | (labels == 1)).all())


def _add_up_to_1(labels):
    return bool((labels >= 0).all() and (np.abs(labels.sum(-1, dtype=float) - 1) < SUM).all())


def _described(labels):
    low, high = (labels.min(), labels.max()) if labels.size else (0, 0)
    return f"labels of shape {labels.shape} from {float(low):g} to {float(high):g}"
