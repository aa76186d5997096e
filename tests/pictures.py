"""Pictures for tests of data and training: smooth noise, so that JPEG keeps it nearly."""

import io
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

SHARED = Path(__file__).parents[2] / "shared" / "tfds"  # CIFAR-10, where a developer has it


def noise(height, width, seed=0):
    """A smooth uint8 picture [height, width, 3]."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def encoded(pixels, kind="JPEG", mode="RGB"):
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(
        file, kind, **({"quality": 95} if kind == "JPEG" else {})
    )
    return file.getvalue()


def labelled(count, classes=3, side=8, seed=0):
    """Pictures whose brightest channel tells their class: uint8 [count, side, side, 3], labels."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    images = random.integers(0, 128, (count, side, side, 3), dtype=np.uint8)
    images[np.arange(count), :, :, labels % 3] += 100
    return images, labels


def class_folders(root, count=4, sides=(20, 30)):
    """A folder with `count` pictures of each of two classes, and all that people have in theirs."""
    height, width = sides
    for name in ("cat", "dog", "empty"):
        (root / name).mkdir(parents=True)
    for i in range(count):
        (root / "cat" / f"{i}.jpg").write_bytes(encoded(noise(height, width, i)))
        (root / "dog" / f"{i}.PNG").write_bytes(encoded(noise(height, width, 100 + i), "PNG"))
    (root / "cat" / "cmyk.jpg").write_bytes(encoded(noise(height, width, 200), mode="CMYK"))
    (root / "dog" / "grey.png").write_bytes(encoded(noise(height, width, 201), "PNG", "L"))
    whole = encoded(noise(200, 300, 202))
    (root / "cat" / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "dog" / "text.jpg").write_text("this is no picture")
    (root / "dog" / "notes.txt").write_text("nor is this")
    (root / "cat" / ".DS_Store").write_text("hidden")
    return root


# One picture of every kind that people have, for whatever reads pictures.


@dataclass(frozen=True)
class Kind:
    """A file of one kind.

    Attributes:
        content: Its bytes.
        pixels: What it shows, upright, uint8 [H, W, 3]; None where it is refused.
        within: How far a reader's pixels may be from that: 0, or more where the file is lossy.
        reason: Why it is refused, a part of the message.
    """

    content: bytes
    pixels: np.ndarray | None = None
    within: int = 0
    reason: str = ""


COLOURS = np.array([[(220, 30, 40), (30, 200, 60)], [(40, 50, 210), (235, 225, 70)]], np.uint8)
T = Image.Transpose
# From an upright picture to how it lies in a file of each orientation.
LIES = {
    1: None,
    2: T.FLIP_LEFT_RIGHT,
    3: T.ROTATE_180,
    4: T.FLIP_TOP_BOTTOM,
    5: T.TRANSPOSE,
    6: T.ROTATE_90,
    7: T.TRANSVERSE,
    8: T.ROTATE_270,
}


def quadrants(height=64, width=96):
    """Four colours, one a quarter, which no rotation, mirror or palette index leaves in place."""
    return COLOURS.repeat(height // 2, axis=0).repeat(width // 2, axis=1)


def every_kind():
    """Pictures of every kind, and files that are no pictures: name -> `Kind`."""
    colours = quadrants()
    image = Image.fromarray(colours)
    grey_image = image.convert("L")
    grey = np.repeat(np.asarray(grey_image)[:, :, None], 3, axis=2)
    alpha = Image.fromarray(np.arange(colours[..., 0].size).astype(np.uint8).reshape(64, 96))
    clear = image.copy()
    clear.putalpha(alpha)
    grey_clear = Image.merge("LA", (grey_image, alpha))
    palette = image.quantize(4)
    black = np.asarray(grey_image.convert("1"))
    black_rgb = np.repeat(black[:, :, None], 3, axis=2).astype(np.uint8) * 255
    kinds = {}

    def add(name, content, pixels=colours, within=0):
        kinds[name] = Kind(content, pixels, within)

    def refuse(name, content, reason):
        kinds[name] = Kind(content, reason=reason)

    for kind, within in (("jpeg", 16), ("png", 0), ("webp", 12), ("tiff", 0)):
        for orientation, way in LIES.items():
            lies = image if way is None else image.transpose(way)
            for order in "<>" if kind == "jpeg" else "<":
                exif = Image.Exif()
                exif.endian = order
                exif[0x10F], exif[0x112] = "Camera", orientation
                name = f"{kind}, orientation {orientation}{', big-endian' * (order == '>')}"
                add(name, saved(lies, kind, exif=exif), within=within)
    turned = image.transpose(T.ROTATE_90)
    for name, exif in damaged_exif().items():
        add(f"jpeg, EXIF with {name}", saved(turned, "jpeg", exif=exif), within=16)
    no_exif = b"Exif\0\0II*\0\xff\xff\xff\xff"
    add("jpeg, EXIF cut short", saved(image, "jpeg", exif=no_exif), within=16)

    for name, options in {
        "4:4:4": {"subsampling": 0},
        "4:2:2": {"subsampling": 1},
        "4:2:0": {"subsampling": 2},
        "progressive": {"progressive": True},
        "RGB": {"keep_rgb": True},
        "restart markers": {"restart_marker_blocks": 2},
        "comment": {"comment": b"this is no Exif\xff\xd9"},
        "colour profile": {"icc_profile": b"x" * 200_000},
    }.items():
        add(f"jpeg, {name}", saved(image, "jpeg", **options), within=16)
    jpeg = saved(image, "jpeg")
    add("jpeg, grey", saved(grey_image, "jpeg"), grey, within=6)
    add("jpeg, CMYK", saved(image.convert("CMYK"), "jpeg"), within=16)
    add("jpeg, YCCK", ycck(image), within=16)
    add("jpeg, bytes behind its end", jpeg + b"\0" * 100 + b"SEFT", within=16)
    add("jpeg, another behind it", jpeg + saved(grey_image, "jpeg"), within=16)
    add(
        "mpo",
        saved(image, "mpo", save_all=True, append_images=[grey_image.convert("RGB")]),
        within=16,
    )

    add("png", saved(image, "png"))
    add("png, grey", saved(grey_image, "png"), grey)
    add("png, grey and alpha", saved(grey_clear, "png"), grey)
    add("png, alpha", saved(clear, "png"))
    add("png, palette", saved(palette, "png"))
    add("png, palette, one clear", saved(palette, "png", transparency=1))
    add("png, palette, each clear", saved(palette, "png", transparency=b"\0\x40\x80\xff"))
    add("png, one colour clear", saved(image, "png", transparency=(220, 30, 40)))
    add("png, text", saved(image, "png", pnginfo=long_text()))
    add(
        "png, animated",
        saved(image, "png", save_all=True, append_images=[turned.resize(image.size)]),
    )
    add("png, interlaced", png(colours, 8, 2, interlaced=True))
    add("png, damaged EXIF", png(colours, 8, 2, (b"eXIf", b"MM\0*\xff")))
    sixteen = colours.astype(np.uint16) * 256 + 200
    opaque = np.full((64, 96, 1), 0x1234, np.uint16)
    add("png, 16-bit grey", png(sixteen[:, :, :1], 16, 0), colours[:, :, :1].repeat(3, 2))
    add("png, 16-bit", png(sixteen, 16, 2))
    add(
        "png, 16-bit grey and alpha",
        png(np.dstack((sixteen[:, :, :1], opaque)), 16, 4),
        colours[:, :, :1].repeat(3, 2),
    )
    add("png, 16-bit alpha", png(np.dstack((sixteen, opaque)), 16, 6))
    for bits in (1, 2, 4):
        few = colours[:, :, :1] >> (8 - bits)
        add(f"png, {bits}-bit grey", png(few, bits, 0), few.repeat(3, 2) * (255 // (2**bits - 1)))

    add("bmp", saved(image, "bmp"))
    add("bmp, grey", saved(grey_image, "bmp"), grey)
    add("bmp, 1 bit", saved(grey_image.convert("1"), "bmp"), black_rgb)
    add("bmp, 32-bit", saved(clear, "bmp"))
    indices, table = np.asarray(palette), palette.getpalette()[:12]
    for bits in (1, 4, 8):
        shown = indices if bits > 1 else indices % 2
        for down in (False, True):
            name = f"bmp, palette of {bits} bits{', top-down' * down}"
            add(
                name,
                bmp(shown, bits, table, down),
                np.reshape(table, (4, 3)).astype(np.uint8)[shown],
            )
    add("bmp, run lengths", bmp(indices, 8, table, runs=True))
    five = colours >> 3
    add("bmp, 16-bit", bmp(five, 16), (five.astype(int) * 255 // 31).astype(np.uint8), within=1)

    add("gif", saved(palette, "gif"))
    add("gif, grey", saved(grey_image, "gif"), grey)
    add("gif, interlaced", saved(palette, "gif", interlace=1))
    add("gif, one clear", saved(palette, "gif", transparency=1))
    add("gif, animated", saved(palette, "gif", save_all=True, append_images=[grey_image], loop=0))

    add("webp", saved(image, "webp", quality=95), within=12)
    add("webp, lossless", saved(image, "webp", lossless=True))
    add("webp, alpha", saved(clear, "webp", lossless=True, exact=True))
    add("webp, animated", saved(image, "webp", lossless=True, save_all=True, append_images=[clear]))

    add("tiff", saved(image, "tiff"))
    add("tiff, LZW", saved(image, "tiff", compression="tiff_lzw"))
    add("tiff, JPEG", saved(image, "tiff", compression="jpeg"), within=16)
    add("tiff, grey", saved(grey_image, "tiff"), grey)
    add("tiff, 1 bit", saved(grey_image.convert("1"), "tiff", compression="group4"), black_rgb)
    add("tiff, palette", saved(palette, "tiff"))
    add("tiff, alpha", saved(clear, "tiff"))
    add("tiff, CMYK", saved(image.convert("CMYK"), "tiff"))
    add(
        "tiff, 16-bit grey",
        saved(Image.fromarray(sixteen[:, :, 0]), "tiff"),
        colours[:, :, :1].repeat(3, 2),
    )
    add("tiff, pages", saved(image, "tiff", save_all=True, append_images=[grey_image]))

    real = Image.fromarray(np.linspace(0, 1, 64 * 96, dtype=np.float32).reshape(64, 96))
    refuse("tiff, floating point", saved(real, "tiff"), "floating-point")
    refuse("tiff, 32-bit", saved(Image.fromarray(np.ones((4, 4), np.int32)), "tiff"), "32-bit")
    refuse("tiff, LAB", saved(Image.merge("LAB", image.split()), "tiff"), "LAB")
    whole = Image.fromarray(noise(200, 300))
    for kind in ("jpeg", "png", "gif", "bmp", "webp", "tiff"):
        content = saved(whole.quantize(200) if kind == "gif" else whole, kind)
        for share in (0.3, 0.9):
            cut = content[: int(len(content) * share)]
            refuse(f"{kind}, {share:.0%} of it", cut, "cut short")
    refuse("jpeg, its head alone", jpeg[:100], "cut short")
    refuse("jpeg, no end", jpeg[:-2], "cut short")
    cmyk = saved(image.convert("CMYK"), "jpeg")
    refuse("jpeg, a segment of no size", cmyk[:2] + b"\xff\xe1\0\0" + cmyk[2:], "damaged")
    refuse("png, a chunk of no name", png(sixteen, 16, 2, (b"ab1d", b"")), "damaged")
    refuse("tiff, no directory", b"II*\0" + b"\xff" * 40, "cut short")
    refuse("jpeg, no pixels", b"\xff\xd8\xff\xd9", "cut short")
    flipped = bytearray(saved(whole, "png"))
    flipped[len(flipped) // 2] ^= 0xFF
    refuse("png, a byte wrong", bytes(flipped), "damaged")
    refuse("empty", b"", "empty")
    refuse("one byte", b"\xff", "not among JPEG, PNG")
    refuse("text", b"this is no picture", "not among JPEG, PNG")
    refuse(
        "eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "EPS is not among JPEG, PNG"
    )
    refuse("svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG is not among JPEG, PNG")
    refuse("html", b"\n<!doctype html><html>", "HTML is not among JPEG, PNG")
    refuse("heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(50), "HEIC is not among JPEG, PNG")
    refuse("ico", saved(image, "ico"), "ICO is not among JPEG, PNG")
    at = jpeg.index(b"\xff\xc0") + 5
    size = struct.pack(">HH", 12_240, 16_320)
    large = jpeg[:at] + size + jpeg[at + 4 :]
    refuse("jpeg of 200 megapixels", large, "16,320 x 12,240 pixels")
    png_end = chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    refuse("png of 200 megapixels", png_header(16_320, 12_240) + png_end, "16,320 x 12,240 pixels")
    return kinds


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def damaged_exif():
    """EXIF data of orientation 6 (the picture lies on its side), each with damage elsewhere."""

    def exif(kind, count, value):
        entries = struct.pack("<HHII", 0x112, 3, 1, 6) + struct.pack("<HHI", 0x11A, kind, count)
        return b"Exif\0\0II*\0\x08\0\0\0\x02\0" + entries + value + bytes(4)

    far = struct.pack("<I", 38)
    return {
        "a rational of -1/0": exif(10, 1, far) + struct.pack("<ii", -1, 0),
        "a negative LONG": exif(4, 1, struct.pack("<i", -1)),
        "a NaN": exif(11, 1, struct.pack("<f", float("nan"))),
        "data beyond its end": exif(5, 9999, far),
        "an unknown type": exif(99, 1, far),
    }


def ycck(image):
    """A JPEG of luminance, colour and black, which Adobe's programs write, and inverted."""
    negative = image.point(lambda x: 255 - x).convert("YCbCr")
    planes = [plane.point(lambda x: 255 - x) for plane in negative.split()]
    content = saved(Image.merge("CMYK", [*planes, Image.new("L", image.size)]), "jpeg", quality=95)
    at = content.index(b"Adobe") + 11
    return content[:at] + b"\2" + content[at + 1 :]


def long_text():
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "x" * 2_000_000, zip=True)  # more than Pillow unpacks
    return info


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_header(width, height, depth=8, colour=2, interlaced=False):
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)


def png(samples, depth, colour, *extra, interlaced=False):
    """A PNG of samples [H, W, C], unsigned integers of `depth` bits."""
    height, width, _ = samples.shape

    def rows(part):
        part = part.reshape(len(part), -1)
        if depth == 16:
            part = part.astype(">u2").view(np.uint8)
        elif depth < 8:
            bits = np.unpackbits(part.astype(np.uint8)[:, :, None], axis=2)[:, :, 8 - depth :]
            part = np.packbits(bits.reshape(len(part), -1), axis=1)
        return b"".join(b"\0" + row.tobytes() for row in part)

    passes = (
        (
            (0, 8, 0, 8),
            (0, 8, 4, 8),
            (4, 8, 0, 4),
            (0, 4, 2, 4),
            (2, 4, 0, 2),
            (0, 2, 1, 2),
            (1, 2, 0, 1),
        )
        if interlaced
        else ((0, 1, 0, 1),)
    )
    data = b"".join(rows(samples[top::down, left::across]) for top, down, left, across in passes)
    middle = b"".join(chunk(*each) for each in extra)
    pixels = chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return png_header(width, height, depth, colour, interlaced) + middle + pixels


def bmp(pixels, bits, palette=(), down=False, runs=False):
    """A BMP of palette indices [H, W], or of 5 bits a channel [H, W, 3]."""
    height, width = pixels.shape[:2]
    rows = pixels if down else pixels[::-1]
    if bits == 16:
        rows = (rows.astype("<u2") @ np.array([1024, 32, 1], "<u2")).astype("<u2").view(np.uint8)
    elif bits < 8:
        rows = np.unpackbits(rows[:, :, None], axis=2)[:, :, 8 - bits :].reshape(height, -1)
        rows = np.packbits(rows, axis=1)
    if runs:  # every row in two halves of one colour each
        half = width // 2
        data = b"".join(bytes((half, r[0], half, r[-1], 0, 0)) for r in rows) + b"\0\1"
    else:
        data = b"".join(row.tobytes() + bytes(-len(row) % 4) for row in rows)
    entries = b"".join(
        bytes((*palette[i : i + 3][::-1], 0)) for i in range(0, min(len(palette), 3 * 2**bits), 3)
    )
    begin = 54 + len(entries)
    info = struct.pack(
        "<IiiHHIIiiII",
        40,
        width,
        -height if down else height,
        1,
        bits,
        int(runs),
        len(data),
        0,
        0,
        len(entries) // 4,
        0,
    )
    return struct.pack("<2sIHHI", b"BM", begin + len(data), 0, 0, begin) + info + entries + data
