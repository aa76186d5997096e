"""The one reader of pictures: training, evaluation, `verify`, calibration and `predict` call it.

A file gives the same pixels everywhere, or is refused everywhere for the same reason:

- Formats: JPEG (including MPO, from phones), PNG, GIF, BMP, WebP and TIFF. The content decides, not
  the suffix.
- A picture is rotated upright by the orientation in its EXIF data. No other part of the EXIF data
  is read, so that damage there does no harm. An orientation in XMP data is ignored, and so are EXIF
  data that begin after the first 16 KiB of a JPEG.
- The alpha channel is dropped; the colours below it are used, as in TensorFlow.
- Of 16 bits a channel the upper 8 are used, as in TensorFlow. Other types (32 bits, floating point)
  have no known range and are refused.
- Palettes are converted to colours, and CMYK to RGB without a colour profile. Of an animation, or
  of several pages, the first picture is used.
- Incomplete files, damaged ones and pictures of more than `PIXELS` pixels are refused.

TensorFlow decodes ordinary JPEGs and PNGs inside the graph, without Python. Pillow decodes all
other files. Which of the two reads a file depends on the file alone, so that its pixels are bit-
identical for every caller. On JPEGs the two differ by a few of 255 levels, because TensorFlow uses
a faster inverse cosine transform.
"""

import io
import os
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_mixer._extras import needs

with needs(__name__):
    from PIL import (
        BmpImagePlugin,
        GifImagePlugin,
        Image,
        JpegImagePlugin,
        PngImagePlugin,
        TiffImagePlugin,
        WebPImagePlugin,
    )

# Suffixes of files that count as pictures, in lower case.
PICTURES = (
    *(".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg"),
    *(".mpo", ".png", ".tif", ".tiff", ".webp"),
)
FORMATS = "JPEG, PNG, GIF, BMP, WebP and TIFF"
PIXELS = (2**29 - 1) // 3  # 178,956,970: TensorFlow decodes less than 2^29 bytes, Pillow the same

MODES = {1: "L", 3: "RGB"}
# Pillow's modes that convert to grey or RGB without loss of range.
CONVERTIBLE = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
# Formats that are found under a picture's name: first bytes, their offset, name of the format.
OTHERS = (
    (b"%!PS", 0, "EPS"),
    (b"\xc5\xd0\xd3\xc6", 0, "EPS"),
    (b"%PDF", 0, "PDF"),
    (b"8BPS", 0, "Photoshop"),
    (b"ftypavif", 4, "AVIF"),
    (b"ftyp", 4, "HEIC"),
    (b"<svg", 0, "SVG"),
    (b"<?xml", 0, "SVG or other XML"),
    (b"<!DOCTYPE html", 0, "HTML"),
    (b"<html", 0, "HTML"),
    (b"\0\0\1\0", 0, "ICO"),
    (b"\0\0\0\x0cjP  ", 0, "JPEG 2000"),
    (b"\0\0\0\x0cJXL ", 0, "JPEG XL"),
    (b"\xff\x0a", 0, "JPEG XL"),
    (b"II+\0", 0, "BigTIFF"),
    (b"MM\0+", 0, "BigTIFF"),
)
PNG = b"\x89PNG\r\n\x1a\n"
# Its header: sides of less than 2^13 + 2^12 + 2^10, 8 bits a channel; grey, or also RGB. In RE2 \C
# matches any byte.
PNG_HEADER = {
    channels: r"(?s)\CPNG\r\n\x1a\n\x00\x00\x00\rIHDR"
    rf"\x00\x00[\x00-\x33]\C\x00\x00[\x00-\x33]\C\x08[{colours}]"
    for channels, colours in ((1, r"\x00"), (3, r"\x00\x02"))
}
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
ORIENTATION = 0x112
EXIF_BEGINS = b"Exif\0\0"
HEAD = 2**14  # EXIF data that begin after so many bytes of a JPEG are ignored
# A JPEG is ordinary if the replacement `Exi\1` of this pattern leaves it unchanged. Not ordinary
# are EXIF data, unless they begin with tags of lower numbers and then the orientation 1, as those
# of cameras do; the header of a picture with four channels; and a CMYK colour profile.
NOT_PLAIN = (
    r"(?s)Exi(f\x00\x00(?:"
    r"II\*\x00\x08\x00\x00\x00\C\x00(?:[\x00-\x11]\x01\C{10}){0,18}"
    r"\x12\x01\x03\x00\x01\x00\x00\x00\x01\x00|"
    r"MM\x00\*\x00\x00\x00\x08\x00\C(?:\x01[\x00-\x11]\C{10}){0,18}"
    r"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x01))|Exif|"
    r"\x00\x14\x08\C{4}\x04|CMYK"
)
# The tags of a TIFF that say how its pixels are stored; no other tag is needed.
TIFF_TAGS = {
    *(256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324),
    *(325, 332, 338, 339, 347, 529, 530, 531, 532),
}


class RefusedError(ValueError):
    """The reason why a picture is refused, worded to follow its name and a colon."""


@tf.autograph.experimental.do_not_convert
def decode(content, channels, window=None):
    """A picture's pixels, in a graph or eagerly.

    Args:
        content: A file's bytes, a string tensor; or pixels `[H, W, C]`, which are not changed.
        channels: 1 for grey, 3 for RGB.
        window: A function from the picture's shape `[H, W, C]`, a tensor, to the `(begin, size)` of
            a part of the picture, as for `tf.slice`; by default the whole picture. Of an ordinary
            JPEG only this part is decoded.

    Returns:
        uint8 `[H, W, channels]`; see the module for orientation, alpha and so on.

    Raises:
        ValueError: The content is not a readable picture. A graph raises
            `tf.errors.InvalidArgumentError`, with TensorFlow's message if an ordinary JPEG or PNG
            is complete but damaged inside.
    """

    def part(image):
        return image if window is None else tf.slice(image, *window(tf.shape(image)))

    if content.dtype != tf.string:
        return part(content)
    if tf.executing_eagerly():
        return part(tf.constant(_named(content.numpy(), channels, _pixels)))

    def jpeg():
        if window is None:
            return tf.io.decode_jpeg(content, channels)
        begin, size = window(tf.image.extract_jpeg_shape(content))
        box = tf.concat((begin[:2], size[:2]), axis=0)
        return tf.io.decode_and_crop_jpeg(content, box, channels)

    def in_python(content):
        return _named(content, channels, _by_pillow)

    def other():
        return tf.numpy_function(in_python, [content], tf.uint8, stateful=False)

    image = _if_ordinary_jpeg(content, jpeg, lambda: part(_png_or(content, channels, other)))
    return tf.ensure_shape(image, (None, None, channels))


def read_picture(source, channels):
    """Reads the pixels of one picture, the same as those of `decode`.

    Args:
        source: A path, a file's bytes, a Pillow image or a uint8 array `[H, W]` or `[H, W, C]`. A
            file is rotated upright; an image and an array are not.
        channels: 1 for grey, 3 for RGB.

    Returns:
        A NumPy array, uint8 `[H, W, channels]`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The source is not a readable picture.
    """
    if channels not in MODES:
        raise ValueError(f"A picture has 1 or 3 channels; got {channels}.")
    try:
        if isinstance(source, np.ndarray):
            name = f"An array {source.shape} of type {source.dtype}"
            return _of_image(_of_array(source), channels)
        if isinstance(source, Image.Image):
            name = "A Pillow image"
            return _of_image(source, channels)
        if isinstance(source, bytes):
            name = f"A file of {len(source):,} bytes"
            return _pixels(source, channels)
        name = repr(str(source))
        return _pixels(_content(source), channels)
    except RefusedError as reason:
        raise ValueError(f"{name} is not a picture that can be read: {reason}.") from None


def check_picture(path):
    """None if `decode` and `read_picture` can read a file as a picture, else the reason."""
    try:
        content = _content(path)
        _by_pillow(content, 3)  # TensorFlow logs a traceback for each file that it cannot read
        _pixels(content, 3)
    except FileNotFoundError:
        return "there is no such file"
    except RefusedError as reason:
        return str(reason)


def unreadable(paths):
    """The files among many that `check_picture` refuses: path -> reason.

    Ordinary JPEGs, at an eighth of their size, and PNGs are decoded in the graph, others by Pillow.
    """
    names = tf.constant([os.fsencode(p) for p in paths], tf.string)
    checked = tf.data.Dataset.from_tensor_slices(names).enumerate()
    checked = checked.map(_checked, num_parallel_calls=tf.data.AUTOTUNE)
    checked = checked.ignore_errors(log_warning=False).as_numpy_iterator()
    pixels = {int(number): int(count) for count, number in checked}

    rest = [i for i in range(len(paths)) if not pixels.get(i)]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        reasons = threads.map(check_picture, [paths[i] for i in rest])
        return {paths[i]: why for i, why in zip(rest, reasons, strict=True) if why}


@tf.autograph.experimental.do_not_convert
def _checked(number, path):
    content = tf.io.read_file(path)

    def jpeg():
        height, width = tf.unstack(tf.cast(tf.image.extract_jpeg_shape(content)[:2], tf.int64))
        small = tf.io.decode_jpeg(content, 3, ratio=8)  # also of pictures that are too large
        return tf.where(height * width > PIXELS, 0, tf.size(small))

    def other():
        ordinary = _is_ordinary_png(content, 3)
        return tf.cond(ordinary, lambda: tf.size(tf.io.decode_png(content, 3)), lambda: 0)

    return _if_ordinary_jpeg(content, jpeg, other), number


def _content(path):
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no picture at {str(path)!r}.") from None
    except OSError as error:
        raise RefusedError(f"it cannot be opened ({error.strerror})") from None


def _if_ordinary_jpeg(content, jpeg, other):
    """`jpeg()` for a JPEG that TensorFlow reads as Pillow does, `other()` for all other files.

    It runs for every picture, so it has few operations and one `tf.cond`.
    """
    head = tf.strings.substr(content, 0, HEAD)
    plain = tf.strings.regex_replace(head, NOT_PLAIN, r"Exi\1") == head
    complete = tf.logical_and(tf.io.is_jpeg(content), _end(content, 2) == b"\xff\xd9")
    return tf.cond(tf.logical_and(complete, plain), jpeg, other)


def _png_or(content, channels, other):
    """The pixels of an ordinary PNG, `other()` for all other files."""
    ordinary = _is_ordinary_png(content, channels)
    return tf.cond(ordinary, lambda: tf.io.decode_png(content, channels), other)


def _is_ordinary_png(content, channels):
    """Whether it is a complete PNG of 8 bits, grey or RGB, upright, without alpha or palette."""
    # TensorFlow converts a PNG to grey with weights of its own.
    header = tf.strings.regex_full_match(tf.strings.substr(content, 0, 26), PNG_HEADER[channels])
    complete = _end(content, 12) == PNG_END
    upright = tf.strings.regex_replace(content, "eXIf", "", replace_global=False) == content
    return tf.reduce_all((header, complete, upright))


def _end(content, count):
    return tf.strings.substr(content, tf.maximum(tf.strings.length(content) - count, 0), count)


def _named(content, channels, read):
    try:
        return read(content, channels)
    except RefusedError as reason:
        raise ValueError(
            f"A file of {len(content):,} bytes, which begins with {content[:12]!r}, is not a "
            f"picture that can be read: {reason}."
        ) from None


def _pixels(content, channels):
    """A file's bytes -> uint8 [H, W, channels], or `RefusedError`; as the graph of `decode`."""
    try:
        image = _ordinary(channels)(content).numpy()
    except tf.errors.OpError:
        _by_pillow(content, channels)  # which says why
        raise RefusedError("it is damaged") from None  # Pillow reads it, TensorFlow does not
    return image if image.size else _by_pillow(content, channels)


@cache
def _ordinary(channels):
    """A graph that decodes ordinary JPEGs and PNGs, and gives no pixels of other files.

    These are read outside of a graph, because TensorFlow logs the traceback of an error in it.
    """

    def read(content):
        return _if_ordinary_jpeg(
            content,
            lambda: tf.io.decode_jpeg(content, channels),
            lambda: _png_or(content, channels, lambda: tf.zeros((0, 0, channels), tf.uint8)),
        )

    whole = tf.function(read, autograph=False)
    return whole.get_concrete_function(tf.TensorSpec((), tf.string))


def _by_pillow(content, channels):
    """A file's bytes -> uint8 [H, W, channels], or `RefusedError`."""
    clean, kind, orientation = _clean(content)
    try:
        image = kind(io.BytesIO(clean))
        width, height = image.size
        if width * height > PIXELS:
            raise RefusedError(_too_large(width, height))
        image.draft(MODES[channels], None)  # the luma of a JPEG, as TensorFlow uses it
        image.load()
        orientation = orientation or _orientation(image.info.get("exif", b""))
    except (RefusedError, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise RefusedError(
            f"it has more than the {PIXELS:,} pixels that a picture may have"
        ) from None
    except Exception as error:  # the errors of Pillow's decoders have no common class
        cut = isinstance(error, EOFError) or "truncated" in str(error)
        raise RefusedError("it is cut short" if cut else "it is damaged") from None
    return np.ascontiguousarray(_upright(_of_image(image, channels), orientation))


def _clean(content):
    """Bytes without metadata, the class in Pillow that reads them, and an orientation.

    Damaged metadata would raise errors or warnings in Pillow.
    """
    if content[:3] == b"\xff\xd8\xff":
        clean, orientation = _clean_jpeg(content)
        return clean, JpegImagePlugin.JpegImageFile, orientation
    if content[:8] == PNG:
        clean, orientation = _clean_png(content)
        return clean, PngImagePlugin.PngImageFile, orientation
    if content[:4] in (b"II*\0", b"MM\0*"):
        clean, orientation = _clean_tiff(content)
        return clean, TiffImagePlugin.TiffImageFile, orientation
    if content[:6] in (b"GIF87a", b"GIF89a"):
        return content, GifImagePlugin.GifImageFile, 1
    if content[:2] == b"BM":
        return content, BmpImagePlugin.BmpImageFile, 1
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        if int.from_bytes(content[4:8], "little") + 8 > len(content):
            raise RefusedError("it is cut short")
        return content, WebPImagePlugin.WebPImageFile, None
    if not content:
        raise RefusedError("it is empty")
    start = content.lstrip(b"\xef\xbb\xbf \t\r\n") if content[:1] in b"\xef \t\r\n" else content
    for magic, at, name in OTHERS:
        if start[at : at + len(magic)].lower() == magic.lower():
            raise RefusedError(f"{name} is not among {FORMATS}")
    raise RefusedError(f"it is not among {FORMATS}")


def _clean_jpeg(content):
    """A JPEG without metadata other than the colour encoding (JFIF, Adobe); its orientation."""
    parts, orientation, at = [b"\xff\xd8"], None, 2
    while True:
        at = content.find(b"\xff", at)
        while content[at : at + 1] == b"\xff":
            at += 1
        marker = content[at : at + 1]
        if at <= 0 or not marker or marker == b"\xd9":
            raise RefusedError("it is cut short")
        code, at = marker[0], at + 1
        if code in (0x00, 0x01) or 0xD0 <= code <= 0xD8:  # no marker, or one without data
            continue
        if code == 0xDA:  # the pixels begin
            rest = content[at:]
            if b"\xff\xd9" not in rest:
                raise RefusedError("it is cut short")
            return b"".join((*parts, b"\xff\xda", rest)), orientation or 1
        length = int.from_bytes(content[at : at + 2], "big")
        data = content[at : at + length]
        if len(data) < length:
            raise RefusedError("it is cut short")
        if length < 2:
            raise RefusedError("it is damaged")
        if code == 0xE1 and data[2:8] == EXIF_BEGINS and orientation is None and at + 6 <= HEAD:
            orientation = _orientation(data[2:])
        if code in (0xE0, 0xEE) or not (0xE0 <= code <= 0xEF or code == 0xFE):
            parts.append(b"\xff" + marker + data)
        at += length


def _clean_png(content):
    """A PNG with its pixels and palette only; its orientation."""
    parts, orientation, at = [PNG], 1, 8
    while True:
        length, name = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        chunk = content[at : at + length + 12]
        if len(chunk) < length + 12:
            raise RefusedError("it is cut short")
        if name in (b"IHDR", b"PLTE", b"IDAT", b"IEND"):
            if zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
                raise RefusedError("it is damaged")
            parts.append(chunk)
        elif name == b"eXIf":
            orientation = _orientation(chunk[8:-4])
        elif name[:1].isupper() or not name.isalpha():  # needed for the pixels, or no name
            raise RefusedError("it is damaged")
        if name == b"IEND":
            return b"".join(parts), orientation
        at += length + 12


def _clean_tiff(content):
    """A TIFF with a directory of only the tags that describe its pixels; its orientation."""
    order, entries = _entries(content)
    if not entries:
        raise RefusedError("it is cut short")
    kept = [e for e in entries if struct.unpack(order + "H", e[:2])[0] in TIFF_TAGS]
    place = len(content) + len(content) % 2
    directory = struct.pack(order + "H", len(kept)) + b"".join(kept) + bytes(4)
    header = content[:4] + struct.pack(order + "I", place)
    body = content[8:].ljust(place - 8, b"\0")
    return header + body + directory, _orientation(content)


def _entries(tiff):
    """Byte order and 12-byte entries of the first directory; no entries if it is damaged."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    try:
        (place,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, place)
    except (struct.error, TypeError):  # too short, or no TIFF at all
        return order, []
    entries = [tiff[at : at + 12] for at in range(place + 2, place + 2 + 12 * count, 12)]
    return order, [e for e in entries if len(e) == 12]


def _orientation(exif):
    """The orientation in EXIF data, from 1 to 8; 1 if there is none."""
    order, entries = _entries(exif.removeprefix(EXIF_BEGINS))
    for entry in entries:
        tag, kind, count = struct.unpack_from(order + "HHI", entry)
        if tag == ORIENTATION and count == 1 and kind in (1, 3, 4):
            (value,) = struct.unpack_from(order + {1: "B", 3: "H", 4: "I"}[kind], entry, 8)
            return value if 1 <= value <= 8 else 1
    return 1


def _upright(pixels, orientation):
    if orientation > 4:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _of_array(array):
    if array.dtype != np.uint8 or not array.size:
        raise RefusedError("it needs type uint8 and at least one pixel")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim != 2 and (array.ndim != 3 or array.shape[2] not in (3, 4)):
        raise RefusedError("it needs shape [H, W] or [H, W, C] with C of 1, 3 or 4")
    return Image.fromarray(array)


def _of_image(image, channels):
    """A Pillow image -> uint8 [H, W, channels]."""
    if image.mode.startswith("I;16"):
        grey = np.asarray(image) >> 8
        grey = grey.astype(np.uint8)[:, :, None]
        return np.repeat(grey, channels, axis=2)
    if image.mode not in CONVERTIBLE:
        raise RefusedError(f"its pixels are {MEANINGS.get(image.mode, f'of kind {image.mode}')}")
    if "transparency" in image.info:  # Pillow warns about it when it converts
        image = image.copy()
        del image.info["transparency"]
    try:
        pixels = np.asarray(image.convert(MODES[channels]))
    except OSError:  # Pillow reads the file only now
        raise RefusedError("it is cut short") from None
    return pixels.reshape(*pixels.shape[:2], channels)


MEANINGS = {
    "F": "floating-point numbers, whose range is not known",
    "I": "32-bit or signed numbers, whose range is not known",
    "LAB": "in the colour space LAB",
    "HSV": "in the colour space HSV",
}


def _too_large(width, height):
    return f"its {width:,} x {height:,} pixels are more than the {PIXELS:,} that a picture may have"
