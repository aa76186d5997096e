"""What it is worth to decode of a JPEG only the window that is cropped.

    python -m benchmarks.input_pipeline

Inception's crops to 224 x 224, flips and normalisation of 500 x 375 JPEGs, the size of ImageNet's
usual picture: our `training_batches`, and the plain pipeline that decodes the whole picture and
then crops it. Same pictures, in memory; runs in turn; images for each second that a core works,
which other processes disturb less than the clock on the wall. The pictures are synthetic, with the
spectrum of photographs (amplitude 1 / frequency), at three qualities of JPEG: the fewer bits a
pixel has, the less of the time goes into reading them, which a crop cannot skip.
"""

import io
from dataclasses import replace
from importlib.metadata import version
from time import process_time

import numpy as np
import tensorflow as tf
from PIL import Image

from benchmarks.measure import interleaved, machine, write_csv
from keras_mixer import data
from keras_mixer.data.decoding import AREA, ASPECT

PICTURES, HEIGHT, WIDTH, SIZE, QUALITIES = 64, 375, 500, 224, (92, 80, 60)
BATCH, BATCHES, RUNS = 64, 40, 7


def picture(random, quality):
    """A JPEG of noise whose amplitude falls as 1 / frequency, as that of photographs does."""
    frequency = np.hypot(np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH))
    frequency[0, 0] = np.inf
    grey = random.normal(size=(HEIGHT, WIDTH))
    colour = 0.3 * random.normal(size=(3, HEIGHT, WIDTH))
    waves = np.fft.irfft2(np.fft.rfft2(grey + colour) / frequency, (HEIGHT, WIDTH))
    pixels = 128 + 50 * (waves - waves.mean()) / waves.std()
    file = io.BytesIO()
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8).transpose(1, 2, 0))
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def ours(contents):
    encoded, label = tf.constant(contents), tf.constant(0, tf.int64)
    numbers = data.arrays(
        np.zeros((len(contents), 1, 1, 3), np.uint8), np.zeros(len(contents), int)
    )
    source = replace(numbers, read=lambda i: (encoded[i], label))
    return data.training_batches(source, BATCH, SIZE)


def plain(contents):
    def view(content):
        image = tf.io.decode_jpeg(content, channels=3)
        begin, sides, _ = tf.image.sample_distorted_bounding_box(
            tf.shape(image),
            tf.zeros((1, 0, 4)),
            min_object_covered=0.0,
            aspect_ratio_range=ASPECT,
            area_range=AREA,
            use_image_if_no_bounding_boxes=True,
        )
        image = tf.image.resize(tf.slice(image, begin, sides), (SIZE, SIZE))
        image = tf.image.random_flip_left_right(image)
        return image / 127.5 - 1, tf.one_hot(0, 1)

    dataset = tf.data.Dataset.from_tensor_slices(contents).repeat().shuffle(len(contents))
    dataset = dataset.map(view, tf.data.AUTOTUNE).batch(BATCH, drop_remainder=True)
    return dataset.prefetch(tf.data.AUTOTUNE)


def consume(batches):
    for _ in batches.take(BATCHES):
        pass


def main():
    rows = []
    for quality in QUALITIES:
        random = np.random.default_rng(0)
        contents = [picture(random, quality) for _ in range(PICTURES)]
        size = np.mean([*map(len, contents)]) / 1e3
        pipelines = {"decode, then crop": plain(contents), "training_batches": ours(contents)}
        seconds = interleaved(
            {name: lambda batches=batches: consume(batches) for name, batches in pipelines.items()},
            RUNS,
            warmup=1,
            clock=process_time,
        )
        slowest = max(seconds.values())
        rows += [
            {
                "pipeline": name,
                "pictures": f"{WIDTH} x {HEIGHT} JPEG, quality {quality}, {size:.0f} KB",
                "images_per_core_second": round(BATCH * BATCHES / value),
                "ratio": round(slowest / value, 2),
                "images": BATCH * BATCHES,
                "runs": RUNS,
                "machine": machine(),
                "versions": f"tensorflow {tf.__version__} keras {version('keras')}",
            }
            for name, value in seconds.items()
        ]
        for row in rows[-2:]:
            rate, ratio = row["images_per_core_second"], row["ratio"]
            print(f"{row['pictures']}, {row['pipeline']}: {rate} images a core second, x {ratio}")
    write_csv("input_pipeline", rows)


if __name__ == "__main__":
    main()
