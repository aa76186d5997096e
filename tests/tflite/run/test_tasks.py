"""Models with one score, with several labels and of quantities, from the file to the card."""

import json
from functools import cache

import keras
import numpy as np
import pytest
from PIL import Image

from keras_mixer import data, training
from keras_mixer.layers import ImagePreprocessing
from keras_mixer.tflite import (
    Classifier,
    Metadata,
    convert,
    export,
    read_metadata,
    sensitivity,
    verify,
    with_metadata,
)

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
IMAGES = (PIXELS / 127.5 - 1).astype(np.float32)
SHARE = 1e-6  # float32's rounding of a share


@cache
def model(units, activation, seed=0):
    keras.utils.set_random_seed(seed)
    layers = [ImagePreprocessing(), keras.layers.Flatten(), keras.layers.Dense(units, activation)]
    return keras.Sequential([keras.Input((8, 8, 3)), *layers])


@cache
def file(units, activation):
    return convert(model(units, activation))


def scores(units, activation):
    return model(units, activation).predict(IMAGES, verbose=0)


@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_one_score_is_a_yes_or_no_by_its_threshold(activation):
    answers = scores(1, activation)[:, 0] > (0.5 if activation else 0)
    assert 3 < answers.sum() < 17
    labels = np.where(np.arange(20) < 5, ~answers, answers)
    for given in (labels, labels[:, None].astype(np.float32), np.eye(2)[labels.astype(int)]):
        report = verify(model(1, activation), file(1, activation), (IMAGES, given))
        assert report.task == "binary"
        assert (report.accuracy, report.keras_accuracy, report.agreement) == (0.75, 0.75, 1)
        assert "accuracy 75.00%" in str(report)
    other = model(1, activation, seed=1)
    expected = np.mean(answers == (other.predict(IMAGES, verbose=0)[:, 0] > 0.5 * bool(activation)))
    found = verify(other, file(1, activation), IMAGES, task="binary").agreement
    assert found == pytest.approx(expected, abs=SHARE)
    assert found < 1


def test_several_labels_are_rated_one_by_one():
    answers = scores(3, "sigmoid") > 0.5
    labels = answers.copy()
    labels[:5, 0] ^= True
    report = verify(model(3, "sigmoid"), file(3, "sigmoid"), (IMAGES, labels))
    assert report.task == "multilabel"
    assert report.accuracy == report.keras_accuracy == pytest.approx(55 / 60)
    assert "accuracy of single labels 91.67%" in str(report)
    other = model(3, "sigmoid", seed=1)
    expected = np.mean(answers == (other.predict(IMAGES, verbose=0) > 0.5))
    assert verify(other, file(3, "sigmoid"), IMAGES).agreement == pytest.approx(expected)
    # A head of sigmoids may still be trained for one class, as in big_vision.
    numbers = scores(3, "sigmoid").argmax(-1)
    report = verify(model(3, "sigmoid"), file(3, "sigmoid"), (IMAGES, numbers))
    assert (report.task, report.accuracy) == ("classification", 1)


def test_quantities_have_errors_instead_of_accuracies():
    labels = scores(1, None) + np.where(np.arange(20) < 10, 0.5, -0.25)[:, None]
    report = verify(model(1, None), file(1, None), (IMAGES, labels))
    assert report.task == "regression"
    assert report.accuracy is report.keras_accuracy is report.agreement is None
    assert report.error == pytest.approx(0.375, abs=1e-5)
    assert report.keras_error == pytest.approx(0.375, abs=1e-5)
    assert "task regression\nmean absolute error 0.375, Keras 0.375\nlargest" in str(report)
    report = verify(model(1, None), file(1, None), IMAGES)
    assert report.error is report.agreement is None
    assert json.loads(json.dumps(report.as_dict(), allow_nan=False))["task"] == "regression"
    assert all(
        loss.agreement is None for loss in sensitivity(model(1, None), "float16", IMAGES, count=2)
    )


def test_labels_of_another_task_are_refused_before_the_second_batch():
    def twice():
        yield IMAGES, np.full(20, 2)
        raise AssertionError("one batch too many")

    with pytest.raises(ValueError, match="verify needs labels from 0 to 1; got 2 to 2"):
        verify(model(1, "sigmoid"), file(1, "sigmoid"), twice())
    batches = [(IMAGES, np.arange(20) % 3), (IMAGES, np.eye(3)[np.arange(20) % 3])]
    with pytest.raises(ValueError, match=r"same shape in all batches; got \['N'\] and \['N', 3\]"):
        verify(model(3, "sigmoid"), file(3, "sigmoid"), batches)


def test_pixels_of_any_integer_type_get_the_answers_of_the_picture():
    labels = scores(3, "sigmoid").argmax(-1)
    for kind in (np.uint8, np.int64, np.uint16):
        images = PIXELS.astype(kind)
        report = verify(model(3, "sigmoid"), file(3, "sigmoid"), (images, labels))
        assert report.accuracy == report.keras_accuracy == 1


def test_a_classifier_with_one_score_gives_both_classes_their_probabilities(tmp_path):
    yes = float(scores(1, "sigmoid")[0, 0])
    path = export(model(1, "sigmoid"), tmp_path, labels=["cat", "dog"])
    alone = export(model(1, "sigmoid"), tmp_path / "alone", labels=["dog"])
    assert read_metadata(path).labels == ("cat", "dog")
    assert (tmp_path / "labels.txt").read_text() == "dog\n"
    again = with_metadata(path.read_bytes(), read_metadata(path))
    assert again == path.read_bytes()
    assert read_metadata(with_metadata(again, Metadata(labels=("dog",)))).labels == ("dog",)
    for source, labels, names in (
        (path, None, {"dog": yes, "cat": 1 - yes}),
        (path, ["wolf", "fox"], {"fox": yes, "wolf": 1 - yes}),
        (alone, None, {"dog": yes, "not dog": 1 - yes}),
        (alone, ["cat", "dog"], {"dog": yes, "cat": 1 - yes}),
        (model(1, "sigmoid"), None, {"1": yes, "0": 1 - yes}),
    ):
        found = Classifier(source, labels=labels)(PIXELS[0])
        assert {p.label: p.score for p in found} == pytest.approx(names, abs=SHARE)
        assert found[0].score == max(p.score for p in found)
    with pytest.raises(ValueError, match="1 scores; got 3 labels"):
        Classifier(path, labels=["a", "b", "c"])
    with pytest.raises(ValueError, match="own names in another order"):
        Classifier(path, labels=["dog", "cat"])
    for source in (file(1, None), model(1, None)):
        with pytest.raises(ValueError, match="gives one number that does not come from a sigmoid"):
            Classifier(source)


def test_one_score_is_measured_on_a_folder_of_two_classes_by_every_way(here, tmp_path):
    answers = scores(1, "sigmoid")[:, 0] > 0.5
    for i, (pixels, yes) in enumerate(zip(PIXELS, answers, strict=True)):
        path = tmp_path / "pets" / ("dog" if yes else "cat") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    model(1, "sigmoid").save(tmp_path / "one.keras")
    (tmp_path / "plain.tflite").write_bytes(file(1, "sigmoid"))
    export(model(1, "sigmoid"), tmp_path / "app", labels=["cat", "dog"], data=tmp_path / "pets")
    assert "| as trained | 20 | 100.00% | 100.00% |" in (tmp_path / "app/README.md").read_text()
    for line in (
        ("verify", "one.keras", "plain.tflite", "--data", "pets"),
        ("evaluate", "one.keras", "--dataset", "pets"),
    ):
        said = here(*line, cwd=tmp_path).stdout
        assert "accuracy 100.00%" in said or "accuracy 1.0000, images 20" in said


def test_mediapipe_shows_a_single_score_under_its_name(tmp_path):
    vision = pytest.importorskip("mediapipe.tasks.python.vision")
    from mediapipe import Image as Picture
    from mediapipe import ImageFormat
    from mediapipe.tasks.python import BaseOptions

    path = export(model(1, "sigmoid"), tmp_path, labels=["cat", "dog"])
    options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=str(path)))
    with vision.ImageClassifier.create_from_options(options) as classifier:
        [head] = classifier.classify(Picture(ImageFormat.SRGB, PIXELS[0])).classifications
    [category] = head.categories
    assert category.category_name == "dog"
    assert category.score == pytest.approx(float(scores(1, "sigmoid")[0, 0]), abs=1e-4)


ALTERNATE = np.arange(20) % 2


@pytest.mark.parametrize(
    ("units", "activation", "arguments", "texts"),
    [
        (
            *(1, "sigmoid", {"labels": ["cat", "dog"], "data": (IMAGES, ALTERNATE)}),
            (
                "Classes: 2, cat and dog, from one score",
                "the probability of “dog”; 1 minus it is the probability of “cat”",
                "| accuracy | Keras, accuracy | same class |",
                "the score is 0.",
            ),
        ),
        (1, None, {"labels": ["dog"]}, ("a score above 0 for “dog” and below for “not dog”",)),
        (
            *(1, None, {"data": (IMAGES, np.arange(20) / 7)}),
            (
                "Quantities: 1\n",
                "numbers in the unit of the labels",
                "| mean absolute error | Keras, mean absolute error | largest difference |",
                "the first number is ",
            ),
        ),
        (
            *(3, "sigmoid", {"labels": [*"abc"]}),
            ("Labels: 3, named in", "independent probabilities, one a label", ", of label "),
        ),
        (
            *(3, "sigmoid", {"data": (IMAGES, np.arange(20) % 3)}),
            ("each from a sigmoid of its own: the best class has the highest", "| top-1 |"),
        ),
    ],
)
def test_the_card_says_what_the_scores_mean(tmp_path, units, activation, arguments, texts):
    export(model(units, activation), tmp_path, **arguments)
    card = (tmp_path / "README.md").read_text()
    assert [text for text in texts if text not in card] == []
    assert ("MediaPipe Tasks" in card) == ("Quantities" not in card)


@pytest.mark.parametrize(
    ("units", "arguments", "message"),
    [
        (1, {"labels": [*"abc"]}, "two labels, that of class 1 second.*got 3"),
        (3, {"labels": [*"ab"]}, "one label for each of 3 classes; got 2"),
        (3, {"labels": [*"abc"], "task": "regression"}, "no labels with task 'regression'"),
        (3, {"task": "binary"}, "needs a model with one score; this one has 3"),
        (3, {"labels": {*"abc"}}, "Labels need an order.*got a set"),
    ],
)
def test_what_does_not_fit_the_task_is_not_exported(tmp_path, units, arguments, message):
    with pytest.raises(ValueError, match=message):
        export(model(units, "sigmoid"), tmp_path / "app", **arguments)
    assert not (tmp_path / "app").exists()


def test_a_softmax_over_one_score_is_refused():
    always_1 = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(1, "softmax")]
    )
    with pytest.raises(ValueError, match=r"a softmax, which is always 1. For yes or no"):
        verify(always_1, file(1, "sigmoid"), IMAGES)
    with pytest.raises(ValueError, match=r"Classifier cannot rate .* a softmax"):
        Classifier(always_1, input_range=(-1, 1))
    with pytest.raises(ValueError, match=r"evaluate cannot rate .* a softmax"):
        training.evaluate(always_1, data.arrays(PIXELS, ALTERNATE), input_range=(-1, 1))


@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_evaluate_rates_one_score_on_two_classes(activation):
    answers = scores(1, activation)[:, 0] > (0.5 if activation else 0)
    labels = np.where(np.arange(20) < 5, ~answers, answers)
    found = training.evaluate(model(1, activation), data.arrays(PIXELS, labels), batch_size=8)
    assert found["accuracy"] == pytest.approx(0.75)
    yes = scores(1, "sigmoid")[:, 0]  # both models have the same weights
    loss = -np.log(np.where(labels, yes, 1 - yes)).mean()
    assert found["loss"] == pytest.approx(loss, abs=1e-4)
    assert found["images"] == 20
    with pytest.raises(ValueError, match="answers with 1 classes; arrays has 3 classes"):
        training.evaluate(model(1, activation), data.arrays(PIXELS, np.arange(20) % 3))
