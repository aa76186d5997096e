"""What a model's scores are, and which labels go with them."""

import numpy as np
import pytest

from keras_mixer.tasks import TASKS, class_numbers, label_array, task_of

ONE_HOT = np.eye(3)[[0, 2, 1, 1]]
SEVERAL = np.array([[1, 1, 0], [0, 0, 0], [1, 0, 1], [0, 1, 0]])
QUANTITIES = np.array([[0.5, -2, 7], [1, 1, 1], [0, 0, 3], [1, 0, 0]])
SOFT = np.array([[0.9, 0.1, 0.0], [0.2, 0.2, 0.6], [0, 1, 0], [1, 0, 0]])
NUMBERS = np.array([0, 2, 1, 1])
YES_OR_NO = np.array([0, 1, 1, 0])


@pytest.mark.parametrize(
    ("activation", "units", "labels", "task"),
    [
        ("softmax", 3, None, "classification"),
        ("softmax", 3, SEVERAL, "classification"),  # refused when labels are read
        ("linear", 3, None, "classification"),
        ("linear", 3, NUMBERS, "classification"),
        ("linear", 3, ONE_HOT, "classification"),
        ("linear", 3, SOFT, "classification"),
        ("linear", 3, SEVERAL, "multilabel"),
        ("linear", 3, QUANTITIES, "regression"),
        ("relu", 3, QUANTITIES, "regression"),
        ("sigmoid", 3, None, "multilabel"),
        ("sigmoid", 3, NUMBERS, "classification"),
        ("sigmoid", 3, ONE_HOT, "classification"),
        ("sigmoid", 3, SEVERAL, "multilabel"),
        ("sigmoid", 1, None, "binary"),
        ("sigmoid", 1, YES_OR_NO, "binary"),
        ("linear", 1, None, "regression"),
        ("linear", 1, YES_OR_NO, "binary"),
        ("linear", 1, YES_OR_NO.astype(float), "binary"),
        ("linear", 1, NUMBERS, "regression"),
        ("relu", 1, np.array([0.5, 3.0]), "regression"),
    ],
)
def test_a_task_is_found_from_activation_scores_and_labels(activation, units, labels, task):
    assert task_of(activation, units, "x", labels).name == task


@pytest.mark.parametrize("task", TASKS)
def test_a_task_that_the_user_chose_is_taken(task):
    units = 1 if task == "binary" else 3
    assert task_of("sigmoid", units, "x", NUMBERS, task).name == task


@pytest.mark.parametrize(
    ("activation", "units", "task", "message"),
    [
        ("softmax", 1, None, "one score from a softmax, which is always 1.*end the model"),
        ("linear", 1, "classification", "one score by its class"),
        ("linear", 3, "binary", "needs a model with one score; this one has 3"),
        ("linear", 3, "multi-label", "'regression'; got 'multi-label'. Did you mean 'multilabel'"),
    ],
)
def test_a_task_that_a_model_cannot_have_is_refused(activation, units, task, message):
    with pytest.raises(ValueError, match=f"^x .*{message}"):
        task_of(activation, units, "x", task=task)


KINDS = ("bool", "int8", "int64", "uint8", "uint64", "float16", "float64")


@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_any_type_are_class_numbers(kind):
    labels = YES_OR_NO.astype(kind)
    for given in (labels, labels[:, None], labels.tolist(), np.eye(2)[YES_OR_NO].astype(kind)):
        found = class_numbers(label_array(given, 4, "x"), 2, "x")
        assert found.dtype == np.int64
        assert found.tolist() == YES_OR_NO.tolist()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 2], "one label for each image; got 3 for 4"),
        ([0, 1, 2, 3], "from 0 to 2; got 0 to 3"),
        ([1, 2, 3, 3], "from 0 to 2; got 1 to 3. Numbers begin at 0: subtract 1"),
        ([0, -1, 2, 1], "from 0 to 2; got -1 to 2"),
        (np.uint64([0, 1, 2, 2**63]), f"from 0 to 2; got 0 to {2**63}"),
        ([0, 1, 2, np.nan], "finite; some are NaN"),
        ([0.5, 1, 2, 0], "which are whole; got labels of shape .4,. from 0 to 2"),
        (["cat", "dog", "cat", "cat"], "numbers; got <U3"),
        ([[0], [1, 2], [0], [1]], "numbers; got object"),
        (np.zeros((4, 2, 2)), r"\[N\], or \[N, classes\]; got an array of shape \(4, 2, 2\)"),
        (np.eye(4), r"\[N, 3\] that add up to 1 for each image; got labels of shape \(4, 4\)"),
        (SEVERAL, "add up to 1"),
        (7 * ONE_HOT - 2, "add up to 1 .*from -2 to 5"),  # scores instead of labels
    ],
)
def test_labels_that_are_no_class_numbers_are_refused(labels, message):
    with pytest.raises(ValueError, match=f"^x needs .*{message}"):
        class_numbers(label_array(labels, 4, "x"), 3, "x")


def test_answers_are_rated_as_their_task_says():
    scores = np.array([[0.2, 0.7, 0.6], [0.9, 0.2, 0.1], [0.1, 0.2, 0.3], [0.6, 0.6, 0.7]])
    finite = np.ones(4, bool)
    task = task_of("sigmoid", 3, "x", SEVERAL)
    assert task.accuracy(scores, task.labels(SEVERAL, "x")) == pytest.approx(5 / 12)
    assert task.agreement(scores, 1 - scores, finite) == 0
    assert task.agreement(scores, scores, np.array([True, True, True, False])) == 0.75
    task = task_of("sigmoid", 3, "x", NUMBERS)
    assert task.accuracy(scores, task.labels(NUMBERS, "x")) == 0
    one = np.array([[0.4], [0.6], [-0.1], [np.nan]])
    for activation, right in (("sigmoid", 0.5), ("linear", 0.25)):  # thresholds 0.5 and 0
        task = task_of(activation, 1, "x", task="binary")
        assert task.accuracy(one, task.labels(YES_OR_NO, "x")) == right
    task = task_of("linear", 1, "x")
    labels = task.labels(np.array([0.4, 1.6, -0.1, 0]), "x")
    assert task.error(one[:3], labels[:3]) == pytest.approx(1 / 3)
    assert task.error(one, labels) == np.inf
    assert task.accuracy(one, labels) is task.agreement(one, one, finite) is None


@pytest.mark.parametrize(
    ("task", "units", "labels", "message"),
    [
        ("multilabel", 3, NUMBERS, r"\[N, 3\] of 0 and 1; got labels of shape \(4, 1\) from 0 to"),
        ("multilabel", 3, QUANTITIES, r"of 0 and 1; got labels of shape \(4, 3\) from -2 to 7"),
        ("regression", 2, QUANTITIES, r"\[N, 2\]; got labels of shape \(4, 3\)"),
        ("binary", 1, NUMBERS, "from 0 to 1; got 0 to 2"),
        ("binary", 1, np.array([-1, 1]), "from 0 to 1; got -1 to 1"),
    ],
)
def test_labels_of_another_task_are_refused(task, units, labels, message):
    with pytest.raises(ValueError, match=f"^x .*{message}"):
        task_of("linear", units, "x", task=task).labels(labels, "x")
