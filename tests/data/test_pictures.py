"""One reader of pictures: the same pixels whoever asks, or refused in the same words."""

import io
import os
import re
import sys
import warnings

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_mixer import data
from keras_mixer.data.pictures import (
    HEAD,
    PICTURES,
    PIXELS,
    check_picture,
    decode,
    read_picture,
    unreadable,
)
from tests.pictures import every_kind, noise, quadrants, saved

KINDS = every_kind()
READ = [name for name, kind in KINDS.items() if kind.pixels is not None]
REFUSED = [name for name, kind in KINDS.items() if kind.pixels is None]
# What only TensorFlow's decoder meets.
INSIDE = ("jpeg, no pixels", "jpeg of 200 megapixels", "png, a byte wrong")
IN_GRAPH = {
    channels: tf.function(
        lambda content, channels=channels: decode(content, channels),
        input_signature=[tf.TensorSpec((), tf.string)],
    )
    for channels in (1, 3)
}


@pytest.mark.parametrize("name", READ)
def test_a_picture_has_the_same_pixels_whoever_reads_it(name, tmp_path):
    kind = KINDS[name]
    path = tmp_path / "picture"
    path.write_bytes(kind.content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for channels in (1, 3):
            pixels = read_picture(path, channels)
            assert pixels.dtype == np.uint8
            assert pixels.shape == (64, 96, channels)
            for other in (
                read_picture(kind.content, channels),
                decode(tf.constant(kind.content), channels),
                IN_GRAPH[channels](tf.constant(kind.content)),
            ):
                np.testing.assert_array_equal(other, pixels)
    distance = np.abs(pixels.astype(int) - kind.pixels)
    if kind.within:  # lossy, and most so where colours meet
        distance = distance.reshape(2, 32, 2, 48, 3)[:, 4:-4, :, 4:-4]
    assert distance.max() <= kind.within
    assert check_picture(path) is None


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_is_refused_in_the_same_words_whoever_reads_it(name, tmp_path, capfd):
    kind = KINDS[name]
    path = tmp_path / "picture.jpg"
    path.write_bytes(kind.content)
    with pytest.raises(ValueError):  # noqa: PT011
        read_picture(path, 3)
    assert "Traceback" not in capfd.readouterr().err
    reason = check_picture(path)
    assert kind.reason in reason
    words = f"is not a picture that can be read: {re.escape(reason)}\\."
    with pytest.raises(ValueError, match=f"^{re.escape(repr(str(path)))} {words}$"):
        read_picture(path, 3)
    with pytest.raises(ValueError, match=f"^A file of .* bytes {words}$"):
        read_picture(kind.content, 3)
    with pytest.raises(ValueError, match=words):
        decode(tf.constant(kind.content), 3)
    in_graph = "Invalid" if name in INSIDE else words
    with pytest.raises(tf.errors.InvalidArgumentError, match=in_graph):
        IN_GRAPH[3](tf.constant(kind.content))


def test_a_folder_is_checked_in_one_go(tmp_path):
    paths = []
    for number, kind in enumerate(KINDS.values()):
        paths.append(tmp_path / str(number))
        paths[-1].write_bytes(kind.content)
    found = unreadable([*paths, tmp_path / "gone"])
    refused = [path for path, name in zip(paths, KINDS, strict=True) if name in REFUSED]
    assert found == {path: check_picture(path) for path in refused} | {
        tmp_path / "gone": "there is no such file"
    }


def test_ordinary_pictures_are_read_without_python(monkeypatch):
    def asked(*_):
        raise AssertionError("Python was asked")

    monkeypatch.setattr("keras_mixer.data.pictures._by_pillow", asked)
    fast = (
        *("jpeg, grey", "jpeg, 4:4:4", "jpeg, 4:2:2", "jpeg, 4:2:0", "jpeg, progressive"),
        *("jpeg, RGB", "jpeg, restart markers", "jpeg, colour profile", "jpeg, orientation 1"),
        *("jpeg, orientation 1, big-endian", "png", "png, grey", "png, interlaced", "png, text"),
        *("jpeg, another behind it", "mpo", "png, animated", "png, one colour clear"),
    )
    for name in fast:
        IN_GRAPH[3](tf.constant(KINDS[name].content))
    for name in READ:
        if name not in fast:
            with pytest.raises(tf.errors.OpError, match="Python was asked"):
                IN_GRAPH[3](tf.constant(KINDS[name].content))


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (37, 53), (66, 97)])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_tensorflow_and_pillow_decode_a_jpeg_to_nearly_the_same(size, subsampling, progressive):
    rough = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    for pixels in (rough, noise(*size)):
        image = Image.fromarray(pixels)
        for quality in (20, 75, 97):
            content = saved(
                image, "jpeg", subsampling=subsampling, progressive=progressive, quality=quality
            )
            for channels, read in IN_GRAPH.items():
                expected = read_picture(content, channels)
                np.testing.assert_array_equal(read(tf.constant(content)), expected)
            with Image.open(io.BytesIO(content)) as plain:
                differ = np.abs(read_picture(content, 3).astype(int) - plain)
            # TensorFlow's inverse cosine transform is the faster one; few bits and noise show it.
            assert differ.mean() < 4
            assert differ.max() < 25


def test_a_jpeg_damaged_anywhere_is_read_alike_by_tensorflow_and_pillow():
    random = np.random.default_rng(0)
    whole = saved(Image.fromarray(noise(60, 90)), "jpeg")
    begin = whole.index(b"\xff\xda") + 14
    read = 0
    for _ in range(200):
        damaged = bytearray(whole)
        for at in random.integers(begin, len(whole) - 2, 3):
            damaged[at] = random.integers(256)
        content = bytes(damaged)
        try:
            expected = read_picture(content, 3)
        except ValueError:
            with pytest.raises(tf.errors.InvalidArgumentError):
                IN_GRAPH[3](tf.constant(content))
        else:
            read += 1
            np.testing.assert_array_equal(IN_GRAPH[3](tf.constant(content)), expected)
    assert read > 100


@pytest.mark.parametrize("name", ["jpeg, orientation 6", "png", "tiff", "bmp, palette of 4 bits"])
def test_a_random_crop_is_upright_too(name):
    kind = KINDS[name]
    box = tf.constant([20, 30, 0]), tf.constant([30, 40, 3])
    part = tf.function(lambda content: decode(content, 3, lambda shape: box))
    content = tf.constant(kind.content)
    np.testing.assert_array_equal(part(content), read_picture(kind.content, 3)[20:50, 30:70])
    view = data.training_image(content, 64, "inception", tf.constant([1, 2]))
    assert view.shape == (64, 64, 3)


def test_the_crop_of_an_ordinary_jpeg_is_the_part_of_the_whole():
    content = saved(Image.fromarray(noise(90, 120)), "jpeg", subsampling=0)
    box = tf.constant([33, 41, 0]), tf.constant([30, 50, 3])
    part = tf.function(lambda content: decode(content, 3, lambda shape: box))(tf.constant(content))
    np.testing.assert_array_equal(part, read_picture(content, 3)[33:63, 41:91])


def test_exif_data_far_inside_a_jpeg_do_not_count():
    exif = Image.Exif()
    exif[0x112] = 6
    content = saved(Image.fromarray(quadrants()), "jpeg", exif=exif)
    comment = b"\xff\xfe" + (HEAD + 2).to_bytes(2, "big") + bytes(HEAD)
    far = content[:2] + comment + content[2:]
    assert read_picture(content, 3).shape == (96, 64, 3)
    assert read_picture(far, 3).shape == IN_GRAPH[3](tf.constant(far)).shape == (64, 96, 3)


def test_pixels_in_hand_are_read_as_they_lie():
    colours = quadrants()
    exif = Image.Exif()
    exif[0x112] = 6
    lying = Image.open(io.BytesIO(saved(Image.fromarray(colours), "png", exif=exif)))
    for source in (colours, Image.fromarray(colours), np.dstack((colours, colours[..., 0])), lying):
        np.testing.assert_array_equal(read_picture(source, 3), colours)
    grey = colours[:, :, 0]
    for source in (grey, grey[:, :, None], Image.fromarray(grey.astype(np.uint16) * 257)):
        for channels in (1, 3):
            expected = grey[:, :, None].repeat(channels, 2)
            np.testing.assert_array_equal(read_picture(source, channels), expected)
    tensor = tf.constant(colours)
    assert decode(tensor, 3) is tensor


@pytest.mark.parametrize(
    ("source", "channels", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), 3, r"An array \(4, 4, 3\) of type float32 .* uint8"),
        (np.zeros((4, 4, 2), np.uint8), 3, "C of 1, 3 or 4"),
        (np.zeros((4,), np.uint8), 3, "C of 1, 3 or 4"),
        (np.zeros((0, 4, 3), np.uint8), 3, "at least one pixel"),
        (Image.new("F", (4, 4)), 3, "A Pillow image .* floating-point"),
        (np.zeros((4, 4, 3), np.uint8), 2, "1 or 3 channels; got 2"),
    ],
)
def test_what_is_no_picture_is_an_error(source, channels, message):
    with pytest.raises(ValueError, match=message):
        read_picture(source, channels)


def test_what_is_not_there_is_an_error_that_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no picture at '.*gone\.jpg'\."):
        read_picture(tmp_path / "gone.jpg", 3)
    with pytest.raises(ValueError, match="cannot be opened"):
        read_picture(tmp_path, 3)
    assert "cannot be opened" in check_picture(tmp_path)


def test_the_limit_of_pixels_is_that_of_tensorflow():
    assert PIXELS * 3 < 2**29 <= (PIXELS + 1) * 3


def test_a_folder_takes_every_format_in_every_suffix(tmp_path):
    assert {".jfif", ".jpe", ".webp", ".tif", ".tiff", ".bmp", ".gif"} < set(PICTURES)
    (tmp_path / "all").mkdir()
    for suffix in PICTURES:
        (tmp_path / "all" / f"picture{suffix.upper()}").write_bytes(KINDS["webp"].content)
    source = data.folder(tmp_path, classes=["all"])
    assert (source.count, source.skipped) == (len(PICTURES), {})


def test_a_picture_that_tensorflow_alone_refuses_is_left_out_of_a_folder(tmp_path):
    content = bytearray(KINDS["jpeg, restart markers"].content)
    at = content.index(b"\xff\xd2", content.index(b"\xff\xda"))
    content[at + 1] = 0xE5
    path = tmp_path / "picture.jpg"
    path.write_bytes(content)
    with pytest.raises(tf.errors.InvalidArgumentError):
        IN_GRAPH[3](tf.constant(bytes(content)))
    assert unreadable([path]) == {path: "it is damaged"}


@pytest.mark.skipif(sys.platform != "linux", reason="file names are UTF-8 here")
def test_a_file_name_need_not_be_utf_8(tmp_path):
    (tmp_path / "all").mkdir()
    path = tmp_path / "all" / os.fsdecode(b"caf\xe9.jpg")
    path.write_bytes(KINDS["png"].content)
    source = data.folder(tmp_path, classes=["all"])
    content, _ = source.read(next(iter(source.order())))
    np.testing.assert_array_equal(decode(content, 3), read_picture(path, 3))
