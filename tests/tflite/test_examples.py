"""Images from disk."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_mixer import Preprocessing
from keras_mixer.tflite.examples import batches, read

IMAGES = np.random.default_rng(0).uniform(-1, 1, (6, 4, 6, 3)).astype(np.float32)
SHAPE = IMAGES.shape[1:]
TAKES = Preprocessing()


def test_arrays_come_back_as_they_were_saved(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    np.savez_compressed(tmp_path / "a.npz", images=IMAGES)
    np.savez_compressed(tmp_path / "b.npz", images=IMAGES, labels=np.arange(6))
    assert np.array_equal(read(tmp_path / "a.npy", SHAPE, TAKES), IMAGES)
    assert np.array_equal(read(tmp_path / "a.npz", SHAPE, TAKES), IMAGES)
    images, labels = read(tmp_path / "b.npz", SHAPE, TAKES)
    assert np.array_equal(images, IMAGES)
    assert np.array_equal(labels, np.arange(6))


def test_a_folder_s_classes_are_numbered_in_the_order_of_their_names(tmp_path):
    for i, name in enumerate(("zebra", "ant", "mole")):
        (tmp_path / name).mkdir()
        Image.new("L", (9, 9), 50 * i).save(tmp_path / name / "one.png")
        (tmp_path / name / "notes.txt").write_text("no picture")
    images, labels = read(tmp_path, SHAPE, TAKES)
    assert images.shape == (3, *SHAPE)
    assert labels.tolist() == [0, 1, 2]
    greys = [0, 50, 100]
    expected = [greys[("zebra", "ant", "mole").index(name)] for name in ("ant", "mole", "zebra")]
    assert np.allclose((images[:, 0, 0, 0] + 1) * 127.5, expected, atol=1e-4)  # float32 scaling


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_read_wherever_images_are_taken(tmp_path, kind):
    pixels = np.random.default_rng(0).integers(0, 256, (2, *SHAPE), np.uint8)
    np.save(tmp_path / "pixels.npy", pixels)
    for i, picture in enumerate(pixels):
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
    for path in (tmp_path / "pixels.npy", tmp_path):
        [(images, labels)] = batches(kind(path), SHAPE, "x", TAKES, labelled=True)
        assert np.array_equal(images, TAKES.scaled(pixels))
        assert labels is None


def test_a_folder_of_pictures_has_no_labels(tmp_path):
    for i in range(3):
        Image.new("L", (9, 9), 50 * i).save(tmp_path / f"{i}.jpg")
    assert read(tmp_path, SHAPE, TAKES).shape == (3, *SHAPE)


@pytest.mark.parametrize(("name", "size"), [("a.npy", 300), ("a.npz", 300), ("a.npz", 1200)])
def test_a_truncated_file_of_arrays_is_refused(tmp_path, name, size):
    save = np.save if name == "a.npy" else np.savez
    save(tmp_path / name, **{"arr": IMAGES} if save is np.save else {"images": IMAGES})
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:size])
    with pytest.raises(ValueError, match=rf"{name} is neither a readable"):
        read(tmp_path / name, SHAPE, TAKES)


def test_a_damaged_array_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", images=IMAGES)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[200:260] = bytes(60)
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npz is neither a readable"):
        read(tmp_path / "a.npz", SHAPE, TAKES)


def test_pickled_arrays_are_refused_and_not_run(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="Object arrays cannot be loaded"):
        read(tmp_path / "a.npy", SHAPE, TAKES)


def test_what_holds_no_images_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", x=IMAGES)
    with pytest.raises(ValueError, match=r"needs an array 'images'; it has x"):
        read(tmp_path / "x.npz", SHAPE, TAKES)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="have no readable pictures"):
        read(tmp_path / "empty", SHAPE, TAKES)
    with pytest.raises(FileNotFoundError, match="'nowhere'"):
        read("nowhere", SHAPE, TAKES)
