"""Pictures for tests of data and training: smooth noise, so that JPEG keeps it nearly."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

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
