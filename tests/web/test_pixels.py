"""The page gives a model the pixels that `Classifier` gives it."""

import itertools
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_mixer.data.evaluation import fitted
from keras_mixer.data.pictures import read_picture
from keras_mixer.images import CROPS, LIBRARIES, Preprocessing
from tests.pictures import Kind, encoded, every_kind
from tests.web.node import needs_node, run

# Pictures [H, W, C] and images [H, W]: smaller, larger, equal, and one axis of each.
SIZES = (
    ((97, 130, 3), (32, 32)),
    ((20, 31, 1), (48, 40)),
    ((32, 32, 3), (32, 32)),
    ((201, 64, 3), (56, 72)),
    ((1, 9, 3), (8, 8)),
)
CROP = """
import { prepare } from "PAGE/crop.js";
given.forEach(({ shape: [height, width, channels], preprocessing }, i) => {
  const picture = { data: bytes(`${i}.picture`), width, height, channels };
  const { image, values } = prepare(picture, preprocessing);
  writeFileSync(`${folder}/${i}.image`, Float32Array.from(image.data));
  writeFileSync(`${folder}/${i}.values`, values);
});
give(null);
"""


def for_page(preprocessing, channels):
    """A `Preprocessing` as the page's `readFile` gives it."""
    p = preprocessing
    return {
        **{key: getattr(p, key) for key in ("crop", "library", "interpolation", "antialias")},
        **{"cropShare": p.crop_share, "height": p.size[0], "width": p.size[1]},
        "channels": channels,
        "scale": np.broadcast_to(p.scale, channels).tolist(),
        "offset": np.broadcast_to(p.offset, channels).tolist(),
    }


def of_page(script, pictures, preprocessings, folder):
    """What the page makes of pictures: pairs of the image and the model's input, float32."""
    given = []
    for i, (picture, preprocessing) in enumerate(zip(pictures, preprocessings, strict=True)):
        (folder / f"{i}.picture").write_bytes(picture.tobytes())
        about = for_page(preprocessing, picture.shape[-1])
        given.append({"shape": picture.shape, "preprocessing": about})
    run(script, folder, given)
    for i in range(len(given)):
        yield [np.fromfile(folder / f"{i}.{kind}", "<f4") for kind in ("image", "values")]


@needs_node
@pytest.mark.parametrize("crop", CROPS)
def test_every_preprocessing_crops_as_in_the_package(crop, tmp_path):
    random = np.random.default_rng(0)
    pictures, preprocessings = [], []
    for (shape, size), (library, methods) in itertools.product(SIZES, LIBRARIES.items()):
        scale = ((0.1, 0.2, 0.3), (0.3, 0.4, 0.5)) if shape[-1] == 3 else (0.3, 0.7)
        for method, antialias in itertools.product(methods, (False, True)):
            preprocessings.append(
                Preprocessing(*scale, size, crop, 0.875, method, antialias, library)
            )
            pictures.append(random.integers(0, 256, shape, np.uint8))
    found = of_page(CROP, pictures, preprocessings, tmp_path)
    for picture, preprocessing, (image, values) in zip(
        pictures, preprocessings, found, strict=True
    ):
        wanted = fitted(tf.constant(picture), preprocessing).numpy()
        # C's sine of a float32 and JavaScript's differ in the last digit.
        within = 1e-4 if preprocessing.interpolation.startswith("lanczos") else 0
        assert np.abs(image - wanted.ravel()).max() <= within, preprocessing
        scaled = preprocessing.scaled(wanted).ravel()
        assert np.abs(values - scaled).max() <= within / 50, preprocessing


@needs_node
@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
def test_the_rules_of_pillow_give_pillow_s_bytes(method, tmp_path):
    picture = np.random.default_rng(1).integers(0, 256, (479, 641, 3), np.uint8)
    sizes = (224, 224), (600, 100), (500, 700)
    preprocessings = [
        Preprocessing(size=size, interpolation=method, library="pillow") for size in sizes
    ]
    found = of_page(CROP, [picture] * len(sizes), preprocessings, tmp_path)
    for (height, width), (image, _) in zip(sizes, found, strict=True):
        resample = getattr(Image.Resampling, method.upper())
        wanted = np.asarray(Image.fromarray(picture).resize((width, height), resample))
        # Pillow rounds weights to 22 bits; TensorFlow, whose pixels `Classifier` takes, rounds sums
        # to float32: where a sum is near a half, a byte may be the next one.
        difference = np.abs(image - wanted.ravel())
        assert difference.max() <= 1
        assert np.mean(difference > 0) < 3e-3


PNG = """
import { readPicture } from "PAGE/picture.js";
const found = {};
for (const name of given) {
  for (const channels of [1, 3]) {
    try {
      const file = new Blob([bytes(name + ".png")]);
      const { data, width, height } = await readPicture(file, channels);
      writeFileSync(`${folder}/${name}.${channels}`, data);
      found[`${name}.${channels}`] = [height, width, channels];
    } catch (error) {
      found[`${name}.${channels}`] = error.message;
    }
  }
}
give(found);
"""


BOMB = """
import { readPicture } from "PAGE/picture.js";
let unpacked = 0;
const Unpacker = DecompressionStream;
globalThis.DecompressionStream = class {
  constructor(format) {
    const { readable, writable } = new Unpacker(format);
    const count = new TransformStream({
      transform(chunk, controller) {
        unpacked += chunk.length;
        controller.enqueue(chunk);
      },
    });
    Object.assign(this, { writable, readable: readable.pipeThrough(count) });
  }
};
const { width, height } = await readPicture(new Blob([bytes("bomb.png")]), 3);
give([width, height, unpacked / 2 ** 20]);
"""


@needs_node
def test_a_small_png_that_unpacks_to_much_takes_little_memory(tmp_path):
    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(2**28), 9)), (b"IEND", b"")]
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    width, height, mib = run(BOMB, tmp_path, None)
    assert (width, height) == (1, 1)
    assert mib <= 32  # of the 256 that it holds


@needs_node
def test_png_of_every_kind_is_decoded_to_the_package_s_bytes(tmp_path):
    kinds = {name: kind for name, kind in every_kind().items() if name.startswith("png")}
    assert len(kinds) > 25
    rough = np.random.default_rng(2).integers(0, 8, (70, 90, 3), np.uint8).cumsum(1, np.uint8)
    for mode in ("RGB", "RGBA", "L", "LA"):  # every filter, and ties between its neighbours
        kinds[f"rough, {mode}"] = Kind(encoded(rough, "PNG", mode), rough)
    names = {name: str(i) for i, name in enumerate(kinds)}
    for name, i in names.items():
        (tmp_path / f"{i}.png").write_bytes(kinds[name].content)
    found = run(PNG, tmp_path, [*names.values()])
    for (name, kind), channels in itertools.product(kinds.items(), (1, 3)):
        file = f"{names[name]}.{channels}"
        if kind.pixels is None:
            with pytest.raises(ValueError, match="is not a picture that can be read"):
                read_picture(kind.content, channels)
            assert "is not a picture that can be read" in found[file], name
        else:
            wanted = read_picture(kind.content, channels)
            assert found[file] == [*wanted.shape], (name, found[file])
            assert (tmp_path / file).read_bytes() == wanted.tobytes(), (name, channels)
