"""Folders of pictures are what they look like, or are refused, whoever reads them."""

import os
import re
import warnings
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_mixer import data, training
from keras_mixer._arrays import DataWarning
from keras_mixer.data.files import in_order
from keras_mixer.data.folders import read_any_folder, read_folder, read_pictures
from keras_mixer.tflite import Classifier, Metadata, convert, verify, with_metadata
from tests.layouts import ABC, CAFE, CLASSES, LAYOUTS, Layout, pictures, split
from tests.marks import slow

SCALE = (-1, 1)


@pytest.fixture(scope="module")
def model():
    """A model that tells the classes a, b and c by the brightness of the pictures."""
    image = keras.Input((8, 8, 3))
    brightness = keras.layers.GlobalAveragePooling2D()(image)
    scores = keras.layers.Dense(3, "softmax")(brightness)
    model = keras.Model(image, scores)
    centres = np.array([-0.7, 0.0, 0.7])
    model.layers[-1].set_weights([np.tile(20 * centres, (3, 1)), -30 * centres**2])
    return model


@pytest.fixture(scope="module")
def file(model):
    return convert(model, input_range=SCALE)


def write(name, tmp_path):
    """Writes a row of `LAYOUTS`; returns it and its folder."""
    Layout(pictures(".=b")).write(tmp_path / "inside" / "others")  # which one of them links to
    row = LAYOUTS[name]
    return row, row.write(tmp_path / "inside" / "pictures")


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_folder_is_trained_on_as_it_looks_or_refused(name, tmp_path):
    row, root = write(name, tmp_path)
    if row.splits is None:
        with pytest.raises(ValueError, match=row.says):
            data.load_splits(root)
        return
    found = data.load_splits(root)
    assert tuple(source.count if source else 0 for source in found) == row.splits
    for source in filter(None, found):
        assert source.classes == row.classes
    assert {path.name for path in found.train.skipped} == set(row.left_out)


FAST = "train, valid and test", "test lacks a class", "links"


@pytest.mark.parametrize(
    "name", [n if row.measured is None or n in FAST else slow(n) for n, row in LAYOUTS.items()]
)
def test_evaluate_verify_and_classifier_agree_on_a_folder_or_all_refuse_it(
    name, tmp_path, model, file
):
    row, root = write(name, tmp_path)

    def evaluate():
        images = training.evaluation_source(root, classes=CLASSES)
        return training.evaluate(model, images, input_range=SCALE)

    def check():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return verify(model, file, root, labels=CLASSES, input_range=SCALE)

    if row.measured is None:
        with pytest.raises(ValueError, match=row.says) as ours:
            evaluate()
        if not row.files[0].startswith("./"):
            with pytest.raises(ValueError, match=re.escape(str(ours.value))):
                check()
        else:
            assert check().accuracy is None  # pictures alone have no classes
        return
    result, report = evaluate(), check()
    assert result["images"] == report.images == row.measured
    assert result["accuracy"] == report.accuracy == report.keras_accuracy == 1
    classifier = Classifier(file, labels=CLASSES, input_range=SCALE)
    source = training.evaluation_source(root, classes=CLASSES)
    for item in source.order():
        content, label = source.read(item)
        [best] = classifier(content.numpy(), top=1)
        assert best.index == label


def test_a_class_that_is_not_there_keeps_its_number(tmp_path, model, file):
    root = Layout(pictures("a", "c")).write(tmp_path / "x")
    images = training.evaluation_source(root, classes=("a", "b", "c"))
    assert [label for _, label in map(images.read, images.order())] == [0] * 5 + [2] * 5
    assert verify(model, file, root, labels=images.classes, input_range=SCALE).accuracy == 1
    with pytest.raises(ValueError, match="has 2 classes, a/ and c/, and the model has 3"):
        verify(model, file, root, input_range=SCALE)
    with pytest.raises(ValueError, match="has 2 classes, a/ and c/, and the model has 3"):
        training.evaluation_source(root, classes=3)


def test_verify_refuses_the_names_of_the_file_in_another_order(tmp_path, model, file):
    named = with_metadata(file, Metadata(input_range=SCALE, labels=CLASSES))
    root = Layout(ABC).write(tmp_path / "x")
    for data_, labels in ((root, "cba"), (data.folder(root, classes="cba"), None)):
        with pytest.raises(ValueError, match="The model: the labels are the model's own names"):
            verify(model, named, data_, labels=labels and [*labels], input_range=SCALE)
    assert verify(model, named, data.folder(root), input_range=SCALE).accuracy == 1


def test_a_run_numbers_its_classes_whose_names_may_be_others(tmp_path, monkeypatch):
    record = {"classes": ["a", "b", "c"], "origin": {"images": {}}}
    monkeypatch.setattr(training.images, "record_of", lambda run: record)
    for names, classes in (("abc", None), ("abc", 3), ("abc", "cba"), ("xyz", "xyz")):
        root = Layout(pictures(names[1] + "=b", count=1)).write(tmp_path / f"{names} {classes}")
        assert training.evaluation_source(root, run="run", classes=classes).labels == (1,)


def test_order_does_not_depend_on_the_operating_system(tmp_path):
    names = ["B", "a", "C", CAFE[1], "cafz", "b2", "b10"]
    root = Layout(pictures(*(f"{name}=a" for name in names), count=1)).write(tmp_path / "x")
    in_nfc = [CAFE[0] if name == CAFE[1] else name for name in names]
    assert data.folder(root).classes == tuple(sorted(in_nfc))
    paths = [root / "a" / name for name in ("b", "B", "a.png", "a/x", CAFE[1], "cafz")]
    assert [p.name for p in in_order(paths)] == ["B", "x", "a.png", "b", "cafz", CAFE[1]]


def test_folders_called_by_wordnet_ids_fit_models_of_imagenet(tmp_path):
    root = Layout(pictures("n01443537=a", "n01440764=b")).write(tmp_path / "x")
    for classes in (1000, [f"class {i}" for i in range(1000)]):
        assert Counter(read_folder(root, classes).labels) == {0: 5, 1: 5}
    with pytest.raises(ValueError, match="not among the 3"):
        read_folder(root, "abc")
    with pytest.raises(ValueError, match=r"has a/, a name that several of the 3 classes have"):
        read_folder(Layout(pictures("a", "b")).write(tmp_path / "y"), "aab")
    (tmp_path / "z").mkdir()
    (tmp_path / "z" / "a.jpg").write_text("no picture")
    with pytest.raises(
        ValueError, match=r"z holds no picture that can be read: left out 1: a\.jpg"
    ):
        read_any_folder(tmp_path / "z")


def test_each_class_of_some_images_is_in_the_validation_share(tmp_path):
    counts = {"a": 1, "b": 2, "c": 7, "d": 40}
    names = [name for label, n in counts.items() for name in pictures(label, count=n)]
    root = Layout(tuple(names)).write(tmp_path / "x")
    for share, expected in ((0.1, (0, 1, 1, 4)), (0.25, (0, 1, 2, 10)), (0.9, (0, 1, 6, 36))):
        most, held, test = data.load_splits(root, validation=share)
        assert Counter(held.labels) == Counter(dict(enumerate(expected)))
        assert most.count + held.count == 50
        assert test is None
    assert data.load_splits(root, validation=0).validation is None
    for share in (1, -0.1, float("nan")):
        with pytest.raises(ValueError, match="is a share from 0 to 1"):
            data.load_splits(root, validation=share)
    with pytest.raises(ValueError, match="not both"):
        data.load_splits(root, held_out="a", validation=0.5)


def test_a_sentence_says_what_is_trained_on_chosen_by_and_measured(tmp_path):
    root = Layout(LAYOUTS["train, valid and test"].files).write(tmp_path / "pets")
    assert str(data.load_splits(root)) == (
        "learns from 15 images in 3 classes in train/, chooses by 6 in valid/, measures 9 in test/"
    )
    root = Layout(ABC).write(tmp_path / "birds")
    assert str(data.load_splits(root)) == (
        "learns from 12 images in 3 classes in birds/, 0.9 of each class, chooses by 3 in birds/, "
        "0.1 of each class"
    )


def test_calibration_takes_pictures_at_any_depth_but_none_to_test_on(tmp_path):
    for name, count in (("train, valid and test", 15), ("pictures without folders", 5)):
        root = Layout(LAYOUTS[name].files).write(tmp_path / name)
        assert len(read_pictures(root).files) == count
    assert len(read_pictures(root, most=2).files) == 2
    with pytest.raises(ValueError, match="holds no picture"):
        read_pictures(Layout(("a/notes.txt",)).write(tmp_path / "none"))


def test_classes_that_hold_the_same_folders_may_be_splits(tmp_path):
    root = Layout((*split("entrenamiento"), *split("prueba"))).write(tmp_path / "x")
    with pytest.warns(DataWarning, match=r"all of them hold a/, b/ and c/.*--split"):
        assert data.folder(root).classes == ("entrenamiento", "prueba")


def test_classes_called_by_numbers_have_one_order_or_none(tmp_path):
    root = Layout(pictures(*(f"{i}=a" for i in range(11)), count=1)).write(tmp_path / "x")
    with pytest.raises(ValueError, match=r"called by numbers.*10 may be its last class"):
        data.folder(root, classes=11)
    assert data.folder(root, classes=range(11)).labels == tuple(range(11))
    with pytest.raises(ValueError, match="Classes need an order"):
        data.folder(root, classes={*map(str, range(11))})


def test_a_folder_that_cannot_be_opened_is_named(tmp_path, monkeypatch):
    root, scan = Layout(ABC).write(tmp_path / "x"), os.scandir

    def refuse(path):
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    closed = root / "a"
    monkeypatch.setattr(os, "scandir", refuse)
    assert data.folder(root).skipped == {closed: "it cannot be opened (Permission denied)"}
    closed = root
    with pytest.raises(PermissionError, match=r"denied: .*x"):
        data.load_splits(root)


def test_splits_are_asked_for_by_any_of_their_names(tmp_path):
    root = Layout((*split("Training"), *split("val", count=2))).write(tmp_path / "x")
    for name in ("Training", "train", "TRAIN", "training"):
        assert data.folder(root, name).count == 15
    assert data.load_splits(root, "training", "validation").validation.count == 6
    unclear = Layout((*split("X_train"), *split("x_eval"), *split("eval"))).write(tmp_path / "y")
    named = data.load_splits(unclear, "X_train", "eval")
    assert (named.train.count, named.validation.count, named.test) == (15, 15, None)
    with pytest.raises(FileNotFoundError, match="no folder of images"):
        data.folder(root, "test")
    with pytest.raises(ValueError, match=r"has splits, Training/ and val/.*--split Training"):
        data.folder(root)
