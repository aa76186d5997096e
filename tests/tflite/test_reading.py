"""Images from files."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_mixer import Preprocessing
from keras_mixer.tflite.examples import batches
from keras_mixer.tflite.reading import read_file

IMAGES = np.random.default_rng(0).uniform(-1, 1, (6, 4, 6, 3)).astype(np.float32)
SHAPE = IMAGES.shape[1:]
TAKES = Preprocessing()


def test_arrays_come_back_as_they_were_saved(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    np.savez_compressed(tmp_path / "a.npz", images=IMAGES)
    np.savez_compressed(tmp_path / "b.npz", images=IMAGES, labels=np.arange(6))
    assert np.array_equal(read_file(tmp_path / "a.npy"), IMAGES)
    assert np.array_equal(read_file(tmp_path / "a.npz"), IMAGES)
    images, labels = read_file(tmp_path / "b.npz")
    assert np.array_equal(images, IMAGES)
    assert np.array_equal(labels, np.arange(6))


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_read_wherever_images_are_taken(tmp_path, kind):
    pixels = np.random.default_rng(0).integers(0, 256, (2, *SHAPE), np.uint8)
    np.save(tmp_path / "pixels.npy", pixels)
    for i, picture in enumerate(pixels):
        (tmp_path / "x").mkdir(exist_ok=True)
        Image.fromarray(picture).save(tmp_path / "x" / f"{i}.png")
    for path in (tmp_path / "pixels.npy", tmp_path / "x"):
        [(images, labels)] = batches(kind(path), SHAPE, "x", TAKES, labelled=True)
        assert np.array_equal(images, TAKES.scaled(pixels))
        assert labels is None


@pytest.mark.parametrize(("name", "size"), [("a.npy", 300), ("a.npz", 300), ("a.npz", 1200)])
def test_a_truncated_file_of_arrays_is_refused(tmp_path, name, size):
    save = np.save if name == "a.npy" else np.savez
    save(tmp_path / name, **{"arr": IMAGES} if save is np.save else {"images": IMAGES})
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:size])
    with pytest.raises(ValueError, match=rf"{name} is neither a readable"):
        read_file(tmp_path / name)


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_an_array_larger_than_any_memory_is_refused(tmp_path, name):
    header = io.BytesIO()
    said = {"descr": "<f4", "fortran_order": False, "shape": (10**15,)}
    np.lib.format.write_array_header_1_0(header, said)
    if name == "a.npy":
        (tmp_path / name).write_bytes(header.getvalue())
    else:
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("images.npy", header.getvalue())
    with pytest.raises(ValueError, match=rf"{name} is neither a readable"):
        read_file(tmp_path / name)


def test_a_damaged_array_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", images=IMAGES)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[200:260] = bytes(60)
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npz is neither a readable"):
        read_file(tmp_path / "a.npz")


def test_pickled_arrays_are_refused_and_not_run(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="Object arrays cannot be loaded"):
        read_file(tmp_path / "a.npy")


def test_what_holds_no_images_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", x=IMAGES)
    with pytest.raises(ValueError, match=r"needs an array 'images'; it has x"):
        read_file(tmp_path / "x.npz")
    with pytest.raises(FileNotFoundError, match="'nowhere'"):
        read_file("nowhere")
