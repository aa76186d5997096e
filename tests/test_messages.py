"""What users read about wrong arguments and damaged files, where no other test provokes it."""

import io
import json
import pickle
import signal
import struct
import zipfile
from functools import partial
from importlib import import_module

import flatbuffers
import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

import keras_mixer
from keras_mixer import data, tflite, training
from keras_mixer.data.augmentation import augmented
from keras_mixer.data.evaluation import fitted
from keras_mixer.data.folders import read_folder
from keras_mixer.data.pictures import read_picture
from keras_mixer.tflite.file import labels, trial
from keras_mixer.tflite.file.content import unpacked
from keras_mixer.tpu import compile as tpu
from keras_mixer.weights import limits
from keras_mixer.weights.timm import preprocessing_beside
from tests.cases import CASES
from tests.pictures import chunk, class_folders, noise
from tests.tflite.files import tiny_file, tiny_model
from tests.training import runs
from tests.weights.test_files import pth, torch_pickle

IMAGE = keras.Input((8, 8, 3))


class OwnCall(keras.Model):
    """A functional model that does something else besides."""

    def __init__(self, model):
        super().__init__(model.inputs, model.outputs)

    def call(self, x):
        return 2 * super().call(x)


class Forgets(keras.layers.Layer):
    """Its `get_config` has not what its constructor needs."""

    def __init__(self, needed):
        super().__init__()

    def get_config(self):
        return {}

    def call(self, x):
        return x


def mixer(size=(16, 32), image=None):
    """A tiny Mixer of another image, or on top of another layer's output."""
    return CASES[0].tiny(
        **({"input_shape": (*size, 3)} if image is None else {"input_tensor": image})
    )


def wrapped(layer):
    image = keras.Input((16, 32, 3))
    return keras.Model(image, mixer(image=layer(image)).output)


def two_inputs():
    other = keras.Input((8, 8, 3))
    both = keras.layers.Add()([IMAGE, other])
    return keras.Model([IMAGE, other], keras.layers.Dense(3)(keras.layers.Flatten()(both)))


def augment(augmentation):
    images = tf.zeros((2, 8, 8, 3))
    return augmented(images, tf.zeros((2, 3)), augmentation, tf.constant([0, 0]))


def flat_folder(tmp_path):
    """Pictures without classes, none of which can be read."""
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    return tflite.convert(tiny_model(), "int8", calibration=tmp_path)


def cranes(tmp_path):
    class_folders(tmp_path)
    for i, name in enumerate(("crane", "tench", "goldfish")):
        sorted(tmp_path.iterdir())[i].rename(tmp_path / name)
    read_folder(tmp_path, [name for _, name in keras_mixer.imagenet.classes(1000)])


def without_range(tmp_path):
    class_folders(tmp_path)
    image = keras.Input((8, 8, 3))
    scores = keras.layers.Dense(3, "softmax")(keras.layers.Flatten()(image))
    return tflite.convert(keras.Model(image, scores), "int8", calibration=tmp_path)


def jpeg_with_empty_segment(tmp_path):
    return read_picture(b"\xff\xd8\xff\xe1\x00\x00\xff\xda\xff\xd9", 3)


def png_with_unknown_chunk(tmp_path):
    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"ZZZZ", b"") + chunk(b"IEND", b"")
    return read_picture(b"\x89PNG\r\n\x1a\n" + chunks, 3)


def tiff_without_directory(tmp_path):
    return read_picture(b"II*\0\xff\xff\0\0" + bytes(40), 3)


def load(name, make, tmp_path):
    path = tmp_path / name
    make(path)
    keras_mixer.load_weights(mixer(), path)


def zip_of(path, **entries):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(f"model/{name.replace('_', '.')}", content)


def npy_of_version_9(path):
    stored = io.BytesIO()
    np.save(stored, np.zeros(3))
    content = bytearray(stored.getvalue())
    content[6] = 9
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", bytes(content))


def of_texts(path):
    np.savez(path, **{"stem/kernel": np.array(["a", "b"])})


def of_many_files(path):
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(2 * limits.ARRAYS + 1):
            archive.writestr(f"{i}.npy", b"")


def tensors(content, path):
    pth(path, content)


def legacy(path):
    path.write_bytes(pickle.dumps(7, protocol=2))


def channels_that_differ(tmp_path):
    config = {"mean": [0.5, 0.4], "std": [0.5, 0.5, 0.6]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    preprocessing_beside(tmp_path / "model.safetensors")


def a_large_labels_file(tmp_path):
    with (tmp_path / "labels.txt").open("wb") as file:
        file.truncate(labels.BYTES + 1)
    labels.read_labels(tmp_path / "labels.txt")


def weights_behind_the_flatbuffer(tmp_path):
    model = schema.ModelT.InitFromPackedBuf(tiny_file())
    buffer = max(model.buffers, key=lambda b: 0 if b.data is None else len(b.data))
    buffer.offset, buffer.size, buffer.data = 64, len(buffer.data), None
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    unpacked(bytes(builder.Output()), "with_metadata")


def too_slow(tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial, "SECONDS", 0.01)
        tflite.inspect(tiny_file(), untrusted=True)


def plan(**changes):
    images, _ = runs.sources(40, 10)
    return import_module("keras_mixer.training.train")._plan(
        runs.SIMPLE.but(**changes), images, 2, 1
    )


MESSAGES = {
    # models
    "input_shape beside input_tensor": (
        lambda _: CASES[0].tiny(input_tensor=keras.Input((16, 32, 3)), input_shape=(32, 32, 3)),
        r"was given an input_tensor of shape \(16, 32, 3\) and input_shape=\(32, 32, 3\)",
    ),
    "preprocessing of no model": (
        lambda _: keras_mixer.preprocessing("MixerB16"),
        "preprocessing needs a Keras model; got str",
    ),
    # other image sizes
    "resize two inputs": (
        lambda _: keras_mixer.resize(two_inputs(), 16),
        r"resize needs a model of one image of a fixed size; .* takes \(None, 8, 8, 3\), \(None",
    ),
    "resize a call of its own": (
        lambda _: keras_mixer.resize(OwnCall(mixer()), (32, 64)),
        "cannot build another OwnCall, whose call is its own",
    ),
    "resize a layer that forgets": (
        lambda _: keras_mixer.resize(wrapped(Forgets(1)), (32, 64)),
        r"Its get_config\(\) is not what its class takes: .*needed",
    ),
    # data
    "arrays of texts": (
        lambda _: data.arrays(np.full((2, 4, 4, 3), "a"), [0, 1]),
        "needs images of numbers; got dtype <U1",
    ),
    "an augmentation that shrinks": (
        lambda _: augment(keras.layers.CenterCrop(4, 4)),
        r"CenterCrop.* must keep the shape of images, \(2, 8, 8, 3\); it gave \(2, 4, 4, 3\)",
    ),
    "channels first inside": (
        lambda _: augment(
            keras.Sequential([keras.layers.RandomFlip(data_format="channels_first")])
        ),
        r"Sequential.*\(its layer .*RandomFlip.*\) takes images with channels first",
    ),
    "a crop to no size": (
        lambda _: fitted(noise(8, 8), keras_mixer.Preprocessing()),
        "cropped by a Preprocessing with a size",
    ),
    "a folder with the name of two classes": (
        cranes,
        r"has crane/, a name that several of the 1,000 classes have",
    ),
    "no picture that can be read": (flat_folder, r"holds no picture that can be read: .*1"),
    "an empty segment of a JPEG": (jpeg_with_empty_segment, "it is damaged"),
    "an unknown chunk of a PNG": (png_with_unknown_chunk, "it is damaged"),
    "a TIFF without a directory": (tiff_without_directory, "it is cut short"),
    # weights
    "texts in an .npz": (partial(load, "m.npz", of_texts), "something else than numbers: stem/k"),
    "an .npy of version 9": (
        partial(load, "m.npz", npy_of_version_9),
        r"a\.npy is of an unknown version of NumPy's format",
    ),
    "a ZIP of many files": (partial(load, "m.npz", of_many_files), "it holds 20,001 files"),
    "a .pth without a dict": (
        partial(load, "m.pth", partial(tensors, pickle.dumps([1, 2], protocol=2))),
        r"holds no dict of tensors by name, as model\.state_dict\(\) gives",
    ),
    "a .pth of another byte order": (
        partial(load, "m.pth", partial(zip_of, data_pkl=b"", byteorder=b"big")),
        "written on a big-endian machine",
    ),
    "a tensor of a number": (
        partial(
            load,
            "m.pth",
            partial(tensors, b"(dS'a'\nctorch._utils\n_rebuild_tensor_v2\n(I1\nI0\n(t(ttRs."),
        ),
        "a tensor without a storage",
    ),
    "a shape of texts": (
        partial(load, "m.pth", partial(tensors, b"(dS'a'\nctorch\nSize\n((S'x'\nttRs.")),
        "a tensor's shape makes no sense",
    ),
    "a storage of another kind": (
        partial(
            load,
            "m.pth",
            partial(tensors, torch_pickle(4, 0, (2,), (1,)).replace(b"'storage'", b"'module'")),
        ),
        "a storage of an unknown kind",
    ),
    "a number as a tensor's name": (
        partial(
            load,
            "m.pth",
            partial(tensors, torch_pickle(4, 0, (2,), (1,)).replace(b"S'stem.proj.weight'", b"I7")),
        ),
        "the name of a tensor is 7",
    ),
    "a pickle that is no PyTorch": (partial(load, "m.pth", legacy), "it is no PyTorch file"),
    "a mean of other channels": (channels_that_differ, r"config\.json: .* Correct it, or move it"),
    # .tflite
    "a large file of labels": (a_large_labels_file, "has 16,777,217 bytes; a file of labels has"),
    "weights behind the flatbuffer": (weights_behind_the_flatbuffer, "with the weights in the fl"),
    "a file that takes too long": (too_slow, "has not finished loading .* after 0.01 s"),
    "calibration without a range": (without_range, "needs the scale of pixels to read"),
    "verify the wrong way round": (
        lambda _: tflite.verify(tiny_model(), tiny_model(), CASES[0].images()),
        "verify takes the Keras model first",
    ),
    "verify cut as nobody does": (
        lambda _: tflite.verify(tiny_model(), tiny_file(), CASES[0].images(), cut_as="app"),
        "needs cut_as to be None or 'mediapipe'; got 'app'",
    ),
    "sensitivity of no images": (
        lambda _: tflite.sensitivity(tiny_model(), "int8", CASES[0].images(), count=0),
        "needs count to be a number of images from 1; got 0",
    ),
    # training
    "evaluate two inputs": (
        lambda _: training.evaluate(two_inputs(), runs.sources(9, 3)[1], input_range=(0, 1)),
        r"evaluate needs a model of one image \[B, H, W, C\]; .* takes",
    ),
    "gradients over replicas": (
        lambda _: plan(accumulate=2),
        "cannot accumulate gradients over 2 replicas of TensorFlow; got accumulate=2",
    ),
    "a batch that cannot be divided": (
        lambda _: plan(batch_size=5),
        "must be a multiple of 2; got 5",
    ),
    # TPUs
    "preflight of a model that was never built": (
        lambda _: tpu._inputs(keras.Sequential([keras.layers.Dense(3)])),
        "was never built. Call it once, or make it a functional model",
    ),
    "preflight of any image size": (
        lambda _: tpu._inputs(keras.Model(x := keras.Input((None, None, 3)), x)),
        r"needs fixed shapes, .* takes \[None, None, None, 3\]",
    ),
    "an optimizer that Keras has not": (
        lambda _: tpu._optimizer("adamm"),
        r"Keras has no optimizer 'adamm'. It has .*adamw, ",
    ),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_mistake_is_told_in_words_of_ours(name, tmp_path):
    make, message = MESSAGES[name]
    with pytest.raises(ValueError, match=message):
        make(tmp_path)


def test_a_second_signal_stops_at_once():
    run = training.run.Run.__new__(training.run.Run)
    run.signal = None
    with pytest.raises(KeyboardInterrupt), run.handling_signals():
        signal.raise_signal(signal.SIGTERM)
        assert run.signal == signal.SIGTERM
        signal.raise_signal(signal.SIGTERM)
