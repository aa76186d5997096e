"""Kinds of input: good ones to begin with, how they are changed, and what reads them."""

import json
import os
import tempfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image
from safetensors.numpy import load_file

import keras_mixer
from keras_mixer import tflite
from keras_mixer.data.pictures import check_picture, read_picture, unreadable
from keras_mixer.tflite.file.labels import check_labels, read_labels, to_lines
from tests.cases import CASES
from tests.fuzz import files_tflite, files_weights
from tests.fuzz.mutate import TEXTS, damaged, json_bytes, of
from tests.pictures import every_kind


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Attributes:
        suffix: Of its files.
        seeds: Makes good inputs, bytes.
        mutate: A random generator and a good input -> another input.
        use: Does with a file's path all that users do.
    """

    suffix: str
    seeds: Callable
    mutate: Callable
    use: Callable


LABELS = tuple("abcdefg")


def tflite_seeds():
    import tensorflow as tf

    from tests.tflite.files import tiny_files

    metadata = tflite.Metadata("Letters", "Tells.", input_range=(-1, 1), labels=LABELS)
    yield from (tflite.with_metadata(content, metadata) for content in tiny_files().values())

    def converted(function, *specs):
        function = tf.function(function, input_signature=[tf.TensorSpec(*spec) for spec in specs])
        concrete = [function.get_concrete_function()]
        return tf.lite.TFLiteConverter.from_concrete_functions(concrete, tf.Module()).convert()

    def loop(x):
        def body(i, y):
            return i + 1, tf.cond(y[0, 0] > 0, lambda: y * 2, lambda: y - 1)

        return tf.while_loop(lambda i, y: i < 5, body, (0, x))[1]

    def misc(x):
        parts = [tf.cumsum(x), tf.pad(x, [[1, 1], [0, 0]]), tf.reverse(x, [0]), tf.tile(x, [2, 1])]
        parts += [tf.one_hot(tf.argmax(x, 1), 4), tf.transpose(x)[:, :4][:2], tf.roll(x, 1, 0)]
        return tf.concat(parts, 0)

    def words(x):
        return tf.gather(tf.constant(["a", "bcd", "é"]), x)

    yield converted(loop, ((1, 4), tf.float32))
    yield converted(misc, ((4, 4), tf.float32))
    yield converted(words, ((2,), tf.int32))
    layers = tf.keras.layers
    images = np.random.default_rng(0).random((4, 1, 16, 16, 3), np.float32)
    for quantised in (False, True):
        image = tf.keras.Input((16, 16, 3))
        x = layers.DepthwiseConv2D(3)(layers.Conv2D(4, 3, activation="relu6")(image))
        x = layers.AveragePooling2D(2)(layers.Conv2DTranspose(3, 2, strides=2)(x))
        x = layers.Dense(7, activation="softmax")(layers.GlobalAveragePooling2D()(x))
        converter = tf.lite.TFLiteConverter.from_keras_model(tf.keras.Model(image, x))
        if quantised:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ([image] for image in images)
        yield converter.convert()


def use_tflite(path):
    found = tflite.inspect(path)
    json.dumps(found.as_dict(), allow_nan=False)
    str(found)
    tflite.read_metadata(path)
    classifier = tflite.Classifier(path, input_range=(0, 1))
    classifier(np.zeros(classifier.runner.shape, np.float32))
    tflite.with_metadata(path.read_bytes(), tflite.Metadata("new", input_range=(0, 1)))


@cache
def mixer():
    return CASES[0].tiny()


def saved(*saves):
    """Seeds of a kind of weights: the tiny model's, written by each `save(model, path)`."""

    def seeds():
        for name, save in saves:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / name
                save(CASES[0].trained(), path)
                yield path.read_bytes()

    return seeds


def save_pth(model, path, now=True):
    import torch

    keras_mixer.save_weights(model, path.with_suffix(".safetensors"))
    arrays = load_file(path.with_suffix(".safetensors"))
    tensors = OrderedDict((name, torch.from_numpy(array)) for name, array in arrays.items())
    torch.save(tensors, path, _use_new_zipfile_serialization=now)


def use_weights(path):
    keras_mixer.load_weights(mixer(), path)
    if path.suffix == ".keras":
        keras_mixer.load_model(path)


def picture_seeds():
    return (kind.content for kind in every_kind().values())


def use_picture(path):
    reason = check_picture(path)
    if (path in unreadable([path])) != (reason is not None):
        raise AssertionError(f"check_picture and unreadable differ: {reason}")
    for channels in (1, 3):
        read_picture(path, channels)


def label_seeds():
    text = to_lines(LABELS)
    return (t.encode() for t in (text, text.rstrip(), text.replace("\n", "\r\n"), f"\ufeff{text}"))


def mutate_labels(random, content):
    if random.random() < 0.5:
        return damaged(random, content)
    lines = content.decode("utf-8", "replace").split("\n")
    for _ in range(int(of(random, (1, 2)))):
        lines[random.integers(len(lines))] = of(random, (*TEXTS, "\ufeff", "\r", "x" * 10**6))
    lines += [""] * int(of(random, (0, 1, 2, 10**6)))
    return of(random, ("\n", "\r\n", "\r")).join(lines).encode("utf-8", "surrogatepass")


@cache
def tiny_tflite():
    from tests.tflite.files import tiny_file

    return tiny_file()


def use_labels(path):
    labels = read_labels(path)
    check_labels(labels, len(LABELS), "fuzz")
    tflite.with_metadata(tiny_tflite(), tflite.Metadata("x", labels=labels))


COMMANDS = {  # command -> what it is given where nothing is wrong
    "inspect": ["model.tflite", "--json"],
    "predict": ["model.tflite", "cat.png", "--top", "3", "--threads", "1"],
    "verify": ["model.keras", "model.tflite", "--data", "images.npz", "--layers"],
    "models": ["Mixer*"],
    "show-weights": ["model.keras", "--blocks", "0,1", "--units", "4", "--overwrite"],
    "recipes": [],
    "evaluate": ["runs/none", "--batch-size", "4"],
    "train": ["MixerTi4", "--dataset", "nowhere", "--epochs", "1", "--set", "batch_size=4"],
}
WORDS = (
    *("", "-1", "0", "1", "1e9", "nan", "inf", "99999999999999999999", "--", "--help", "-x", "é"),
    *("--top", "--threads", "--labels", "--input-range", "--weights", "--set", "--json", "--debug"),
    *(
        "model.tflite",
        "model.keras",
        "cat.png",
        "images.npz",
        ".",
        "/",
        "nowhere",
        "a b",
        "\x1b[31m",
    ),
    *("labels.txt", "MixerTi4", "mixerti4", "0,1,99", "a=b", "batch_size=0", "\udcff", "x" * 3000),
)


def argument_seeds():
    return (json_bytes([command, *given]) for command, given in COMMANDS.items())


def mutate_arguments(random, content):
    words = json.loads(content)
    for _ in range(int(of(random, (1, 1, 2, 3)))):
        at = int(random.integers(len(words) + 1))
        kind = random.integers(3)
        if kind == 0:
            words.insert(at, of(random, WORDS))
        elif kind == 1:
            words[at : at + 1] = [of(random, WORDS)]
        else:
            words[at : at + 1] = []
    return json_bytes(words)


@cache
def workshop():
    """A folder with a file of each kind that commands take; the process stays in it."""
    folder = Path(tempfile.mkdtemp())
    mixer().save(folder / "model.keras")
    (folder / "model.tflite").write_bytes(tiny_tflite())
    (folder / "labels.txt").write_text(to_lines(LABELS))
    Image.new("RGB", (40, 30), "red").save(folder / "cat.png")
    np.savez(folder / "images.npz", images=CASES[0].images(2), labels=np.zeros(2, int))
    os.chdir(folder)
    return folder


def use_arguments(path):
    from keras_mixer import cli

    words = json.loads(path.read_bytes())
    workshop()
    try:
        cli.app(words, obj=SimpleNamespace(debug=False))
    except SystemExit as end:
        if end.code not in (0, 2, None):
            raise AssertionError(f"exit code {end.code}") from None


saves = {
    ".npz": [("m.npz", keras_mixer.save_weights)],
    ".safetensors": [("m.safetensors", keras_mixer.save_weights)],
    ".pth": [("m.pth", save_pth), ("m.pth", partial(save_pth, now=False))],
    ".weights.h5": [("m.weights.h5", lambda model, path: model.save_weights(path))],
    ".keras": [("m.keras", lambda model, path: model.save(path))],
}
KINDS = {
    "tflite": Kind(".tflite", tflite_seeds, files_tflite.mutate, use_tflite),
    "metadata": Kind(".tflite", tflite_seeds, files_tflite.mutate_metadata, use_tflite),
    **{
        name: Kind(suffix, saved(*saves[suffix]), mutate, use_weights)
        for name, suffix, mutate in (
            ("npz", ".npz", files_weights.npz),
            ("safetensors", ".safetensors", files_weights.safetensors),
            ("pth", ".pth", files_weights.pth),
            ("h5", ".weights.h5", files_weights.h5),
            ("keras", ".keras", files_weights.keras),
        )
    },
    "pictures": Kind(".jpg", picture_seeds, damaged, use_picture),
    "labels": Kind(".txt", label_seeds, mutate_labels, use_labels),
    "arguments": Kind(".json", argument_seeds, mutate_arguments, use_arguments),
}
