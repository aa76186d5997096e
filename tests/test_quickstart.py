"""The main job, as a user runs it, but shorter."""

import json

import numpy as np
import pytest
from PIL import Image

from keras_mixer.quickstart import FILES, MixedUp, digits, quickstart


def test_it_learns_the_digits_and_every_file_classifies_as_well(quickstarted):
    report = json.loads((quickstarted / "quickstart" / "report.json").read_text())
    assert report["keras_accuracy"] >= 0.9
    assert set(report["files"]) == {
        "model_float32.tflite",
        "model_dynamic_int8.tflite",
        "model_int8.tflite",
    }
    for file in report["files"].values():
        assert file["images"] == report["held_out_images"] == 599
        assert abs(file["accuracy"] - report["keras_accuracy"]) <= 0.005
        assert file["agreement"] >= 0.99


def test_it_writes_what_it_says_and_nothing_else(quickstarted):
    folder = quickstarted / "quickstart"
    assert {p.name for p in folder.iterdir()} == set(FILES)
    report = json.loads((folder / "report.json").read_text())
    for name, file in report["files"].items():
        assert (folder / name).stat().st_size == file["bytes"]
    with Image.open(folder / "report.png") as picture:
        assert picture.size == (1440, 960)
        colours = {c for _, c in picture.convert("RGB").getcolors(picture.width * picture.height)}
        assert (255, 0, 0) in colours  # some answers are wrong, and marked


def test_it_prints_one_table_with_every_file(quickstarted):
    output = (quickstarted / "output.txt").read_text()
    assert output.count("┏") == 1
    assert "Curves and predictions: " in output
    report = json.loads((quickstarted / "quickstart" / "report.json").read_text())
    for name, file in report["files"].items():
        [row] = [line for line in output.splitlines() if f" {name} " in line]
        assert f"{file['accuracy']:.2%}" in row
        assert f"{file['agreement']:.2%}" in row


def test_it_stops_before_training_when_a_file_is_in_the_way(tmp_path, monkeypatch):
    (tmp_path / "report.png").write_text("mine")
    monkeypatch.setattr("keras_mixer.quickstart.train", None)
    with pytest.raises(FileExistsError, match=r"report\.png exists"):
        quickstart(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["report.png"]


def test_it_stops_before_training_when_its_folder_is_a_file(tmp_path, monkeypatch):
    (tmp_path / "mine").write_text("mine")
    monkeypatch.setattr("keras_mixer.quickstart.train", None)
    for folder in ("mine", "mine/quickstart"):
        with pytest.raises(NotADirectoryError, match="mine is a file"):
            quickstart(tmp_path / folder)


def test_no_held_out_digit_is_trained_on_and_every_class_is_in_both_parts():
    images, labels, held_out_images, held_out_labels = digits()
    assert len(images) + len(held_out_images) == 1797
    assert set(labels) == set(held_out_labels) == set(range(10))
    for part in (images, held_out_images):
        assert (part.min(), part.max(), part.dtype) == (-1, 1, np.float32)
    again = digits()
    assert np.array_equal(again[0], images)


def test_mixing_blends_labels_as_it_blends_images():
    """Images that are their own label: after MixUp they still must be."""
    labels = np.arange(40) % 10
    images = np.eye(10, dtype=np.float32)[labels][:, None, :, None]
    batches = MixedUp(images, labels, 8)
    mixed = [batches[i] for i in range(len(batches))]
    assert len(mixed) == 5
    for x, y in mixed:
        assert np.allclose(x[:, 0, :, 0], y, rtol=1e-6)
        assert np.allclose(y.sum(-1), 1, rtol=1e-6)
        assert (y.max(-1) >= 0.5).all()
    assert any((y.max(-1) < 0.99).any() for _, y in mixed)
