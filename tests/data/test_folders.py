"""Folders of pictures are read by the same rules, whoever asks."""

import numpy as np
import pytest
from PIL import Image

from keras_mixer import Preprocessing, data
from keras_mixer.data.folders import LeftOutWarning, read_any_folder, read_folder
from keras_mixer.tflite.examples import read


def save(path, grey):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (9, 9), grey).save(path)


@pytest.fixture
def mixed(tmp_path):
    """Two classes with all that may lie among pictures: some of it hidden, some unreadable."""
    for grey, name in enumerate(("b/2.png", "b/1.PNG", "b/more/3.jpg", "a/9.bmp")):
        save(tmp_path / name, 50 * grey)
    for name in (".hidden/1.png", "b/._1.png", "b/.ipynb_checkpoints/1-checkpoint.png"):
        save(tmp_path / name, 0)
    (tmp_path / "b" / "notes.txt").write_text("no picture")
    (tmp_path / "a" / "cut.png").write_text("no picture either")
    (tmp_path / "empty").mkdir()
    return tmp_path


def test_training_and_verify_read_the_same_pictures_in_the_same_order(mixed):
    found = read_any_folder(mixed)
    assert found == read_folder(mixed)
    names = [file.relative_to(mixed).as_posix() for file in found.files]
    assert names == ["a/9.bmp", "b/1.PNG", "b/2.png", "b/more/3.jpg"]
    assert found.labels == (0, 1, 1, 1)
    assert found.classes == ("a", "b", "empty")
    assert {path.name for path in found.skipped} == {"notes.txt", "cut.png"}

    source = data.folder(mixed)
    contents = [source.read(i) for i in source.order()]
    assert [int(label) for _, label in contents] == [*found.labels]
    assert [c.numpy() for c, _ in contents] == [file.read_bytes() for file in found.files]
    assert source.skipped.keys() == found.skipped.keys() | {mixed / "empty"}

    with pytest.warns(LeftOutWarning, match=r"left out 1: cut\.png: it is not among JPEG"):
        images, labels = read(mixed, (9, 9, 1), Preprocessing())
    assert labels.tolist() == [*found.labels]
    greys = np.round((images.mean((1, 2, 3)) + 1) * 127.5).tolist()
    assert greys == [150, 50, 0, 100]


def test_a_folder_without_classes_is_read_by_the_same_rules(mixed):
    found = read_any_folder(mixed / "b")
    assert [file.name for file in found.files] == ["3.jpg"]  # `more` counts as a class
    reasons = {path.name: why for path, why in found.skipped.items()}
    assert reasons == dict.fromkeys(["1.PNG", "2.png"], "it is not in the folder of a class")
    (mixed / "b" / "more" / "3.jpg").unlink()
    found = read_any_folder(mixed / "b")
    assert [file.name for file in found.files] == ["1.PNG", "2.png"]
    assert (found.labels, found.classes) == (None, ())
    assert [path.name for path in found.skipped] == ["notes.txt"]
