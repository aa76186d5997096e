"""Throughput of the input pipelines, from JPEGs in memory to batches.

    python -m benchmarks.input_pipeline

Training: Inception's crops to 224 x 224, flips and normalisation, by a plain pipeline that decodes
the whole picture and then crops it, and by our `training_batches`, which decodes only the cropped
window of a JPEG. Evaluation: `evaluation_batches`. Both are also run with TensorFlow's reader
instead of `keras_mixer.data.pictures`; it ignores EXIF data. The ratio is our speed over
TensorFlow's.

Pictures are JPEGs of 500 x 375, a usual size in ImageNet, at three qualities, and larger ones. At a
lower quality a pixel takes fewer bits, so that less time is spent on entropy decoding, which a crop
cannot skip. Pictures are synthetic, with the spectrum of photographs (amplitude 1 / frequency).
Runs are interleaved. Images are counted per second of CPU time, which other processes on the
machine affect less than wall-clock time.
"""

import io
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from time import process_time

import numpy as np
import tensorflow as tf
from PIL import Image

from benchmarks.measure import interleaved, machine, write_csv
from keras_mixer import data
from keras_mixer.data.decoding import AREA, ASPECT

PICTURES, SIZE, BATCH, RUNS = 64, 224, 64, 9
# Height, width and quality of the JPEGs, and the number of batches.
KINDS = ((375, 500, 92, 5), (375, 500, 80, 5), (375, 500, 60, 5), (1200, 1600, 80, 1))


def picture(random, height, width, quality):
    """A JPEG of noise whose amplitude falls as 1 / frequency, as that of photographs does."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = np.inf
    grey = random.normal(size=(height, width))
    colour = 0.3 * random.normal(size=(3, height, width))
    waves = np.fft.irfft2(np.fft.rfft2(grey + colour) / frequency, (height, width))
    pixels = 128 + 50 * (waves - waves.mean()) / waves.std()
    file = io.BytesIO()
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8).transpose(1, 2, 0))
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def source(contents, count):
    encoded, label = tf.constant(contents), tf.constant(0, tf.int64)
    numbers = data.arrays(np.zeros((count, 1, 1, 3), np.uint8), np.zeros(count, int))
    return replace(numbers, read=lambda i: (encoded[i % len(contents)], label))


def by_tensorflow(content, channels, window=None):
    """TensorFlow's reader, with the arguments of `keras_mixer.data.pictures.decode`."""
    if window is None:
        return tf.io.decode_image(content, channels, expand_animations=False)

    def window_of_jpeg():
        begin, size = window(tf.image.extract_jpeg_shape(content))
        box = tf.concat((begin[:2], size[:2]), axis=0)
        return tf.io.decode_and_crop_jpeg(content, box, channels)

    def window_of_image():
        image = tf.io.decode_image(content, channels, expand_animations=False)
        return tf.slice(image, *window(tf.shape(image)))

    return tf.cond(tf.io.is_jpeg(content), window_of_jpeg, window_of_image)


def pipelines(contents, batches):
    """Name -> batches, endless for training; a name ends in the reader if that is not ours."""
    images = source(contents, BATCH * batches)
    ours = {
        "training_batches": partial(data.training_batches, images, BATCH, SIZE),
        "evaluation_batches": partial(data.evaluation_batches, images, BATCH, SIZE),
    }
    found = {"decode, then crop": plain(contents)}
    for name, batches_of in ours.items():
        found[f"{name}, TensorFlow's reader"] = batches_of(decode=by_tensorflow)
        found[name] = batches_of()
    return found


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


def consume(dataset, batches):
    for _ in dataset.take(batches):
        pass


def main():
    rows = []
    for height, width, quality, batches in KINDS:
        random = np.random.default_rng(0)
        contents = [picture(random, height, width, quality) for _ in range(PICTURES)]
        size = np.mean([*map(len, contents)]) / 1e3
        seconds = interleaved(
            {
                name: lambda dataset=dataset, batches=batches: consume(dataset, batches)
                for name, dataset in pipelines(contents, batches).items()
            },
            RUNS,
            warmup=1,
            clock=process_time,
        )
        for name, value in seconds.items():
            before = seconds.get(f"{name}, TensorFlow's reader", value)
            row = {
                "pipeline": name,
                "pictures": f"{width} x {height} JPEG, quality {quality}, {size:.0f} KB",
                "images_per_cpu_second": round(BATCH * batches / value),
                "speed_over_tensorflow_reader": round(before / value, 3),
                "images": BATCH * batches,
                "runs": RUNS,
                "machine": machine(),
                "versions": f"tensorflow {tf.__version__} keras {version('keras')}",
            }
            rate, ratio = row["images_per_cpu_second"], row["speed_over_tensorflow_reader"]
            print(f"{row['pictures']}, {name}: {rate} images per CPU second, x {ratio}")
            rows.append(row)
    write_csv("input_pipeline", rows)


if __name__ == "__main__":
    main()
