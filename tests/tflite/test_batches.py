"""Batches that are handed over: every usual kind gives the same images, or says why it does not."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mixer import Preprocessing, data
from keras_mixer._arrays import DataWarning
from keras_mixer.tflite import examples
from keras_mixer.tflite.examples import batches, in_memory

SHAPE = (4, 6, 3)
TAKES = Preprocessing(size=SHAPE[:2])
PIXELS = np.random.default_rng(0).integers(0, 256, (6, *SHAPE), dtype=np.uint8)
IMAGES = TAKES.scaled(PIXELS)
LABELS = np.arange(6) % 3
HALVES = [(IMAGES[:3], LABELS[:3]), (IMAGES[3:], LABELS[3:])]


class Batches(keras.utils.PyDataset):
    """As Keras's guides write one; without end if it has no number of batches."""

    def __init__(self, number=2):
        super().__init__()
        self.number = number

    @property
    def num_batches(self):
        return self.number

    def __getitem__(self, i):
        return HALVES[i % 2]


class WithLength(keras.utils.PyDataset):
    """Of Keras's older guides."""

    def __len__(self):
        return 2

    def __getitem__(self, i):
        return HALVES[i]

    def __iter__(self):  # as in ImageDataGenerator's
        return itertools.cycle(HALVES)


def dataset(*parts):
    return tf.data.Dataset.from_tensor_slices(parts if len(parts) > 1 else parts[0]).batch(4)


def loader():
    torch = pytest.importorskip("torch")
    tensors = torch.tensor(IMAGES, requires_grad=True), torch.tensor(LABELS)
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*tensors), batch_size=4)


def torch_tensor():
    return pytest.importorskip("torch").tensor(IMAGES, requires_grad=True)


def padded():
    """The last of two batches is half padding."""
    source = data.arrays(PIXELS, LABELS)
    return data.evaluation_batches(source, 4, SHAPE[:2], preprocessing=TAKES)


WEIGHTS = np.array([1, 1, 0])
KINDS = {
    "an array": lambda: IMAGES,
    "float64": lambda: IMAGES.astype(float),
    "a list of images": lambda: [*IMAGES],
    "nested lists": lambda: IMAGES.tolist(),
    "a list of arrays": lambda: [IMAGES[:3], IMAGES[3:]],
    "a tensor": lambda: tf.constant(IMAGES),
    "a tensor of PyTorch": torch_tensor,
    "a pair": lambda: (IMAGES, LABELS),
    "a list of images and labels": lambda: [IMAGES, LABELS],
    "labels in a list": lambda: (IMAGES, LABELS.tolist()),
    "a pair of tensors": lambda: (tf.constant(IMAGES), tf.constant(LABELS)),
    "labels [N, 1]": lambda: (IMAGES, LABELS[:, None]),
    "one-hot": lambda: (IMAGES, np.eye(3, dtype=bool)[LABELS]),
    "no labels": lambda: (IMAGES, None),
    "a dict": lambda: {"image": IMAGES, "label": LABELS},
    "pairs": lambda: HALVES,
    "a tuple of pairs": lambda: tuple(HALVES),
    "lists": lambda: [[*half] for half in HALVES],
    "a generator": lambda: (half for half in HALVES),
    "islice": lambda: itertools.islice(itertools.cycle(HALVES), 2),
    "a data set of images": lambda: dataset(IMAGES),
    "a data set of pairs": lambda: dataset(IMAGES, LABELS),
    "a data set with weights": lambda: dataset(IMAGES, LABELS, np.full(6, 2.0)),
    "a data set of dicts": lambda: dataset({"image": IMAGES, "label": LABELS, "id": LABELS}),
    "evaluation_batches": padded,
    "weight 0": lambda: [(*half, WEIGHTS) for half in HALVES],
    "a PyDataset": Batches,
    "a PyDataset with a length": WithLength,
    "a loader": loader,
    "uint8": lambda: PIXELS,
    "int64": lambda: PIXELS.astype(np.int64),
    "uint16": lambda: [PIXELS.astype(np.uint16)],
    "integers in lists": lambda: (PIXELS.tolist(), LABELS),
}

UNLABELLED = {
    *("an array", "float64", "a list of images", "nested lists", "a list of arrays", "a tensor"),
    *("a tensor of PyTorch", "no labels", "a data set of images", "uint8", "int64", "uint16"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_usual_kind_is_taken_for_what_it_is(kind):
    found = [*batches(KINDS[kind](), SHAPE, "x", TAKES, labelled=True)]
    kept = [0, 1, 3, 4] if kind == "weight 0" else range(6)
    images = np.concatenate([images for images, _ in found])
    assert images.dtype == np.float32
    np.testing.assert_allclose(images, IMAGES[kept], atol=1e-6)  # float32's rounding
    if kind in UNLABELLED:
        assert {labels for _, labels in found} == {None}
    else:
        labels = np.concatenate([labels for _, labels in found])
        assert (labels if labels.ndim == 1 else labels.argmax(-1)).tolist() == LABELS[kept].tolist()


def cycle():
    return itertools.cycle(HALVES)


ENDLESS = {
    "a generator": cycle,
    "a data set": lambda: dataset(IMAGES, LABELS).repeat(),
    "training_batches": lambda: data.training_batches(
        data.arrays(PIXELS[:, :, :4], LABELS), 4, 4, augment=data.Augment(crop="resize", flip=False)
    ),
    "a PyDataset": lambda: Batches(None),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_what_has_no_end_is_read_as_far_as_is_needed_or_refused(kind, monkeypatch):
    shape = (4, 4, 3) if kind == "training_batches" else SHAPE
    found = batches(ENDLESS[kind](), shape, "x", TAKES, most=10)
    assert sum(len(images) for images, _ in found) == 10
    assert not in_memory(ENDLESS[kind]())
    monkeypatch.setattr(examples, "LIMIT", 20)
    read = 0
    with pytest.raises(ValueError, match=r"^x .*without end.*islice"):
        for images, _ in batches(ENDLESS[kind](), shape, "x", TAKES):
            read += len(images)
    assert read == (21 if kind == "a generator" else 0)  # whose end cannot be known
    listed = [*itertools.islice(cycle(), 10)]
    assert sum(len(images) for images, _ in batches(listed, SHAPE, "x", TAKES)) == 30


BLACK_AND_WHITE = PIXELS > 99


def test_booleans_are_black_and_white():
    [(images, _)] = batches(BLACK_AND_WHITE, SHAPE, "x", TAKES)
    assert np.array_equal(images, np.where(BLACK_AND_WHITE, 1, -1))


@pytest.mark.parametrize("takes", [Preprocessing(0, 1), Preprocessing((0.1, 0.2, 0.3), 0.5)])
def test_integers_are_pictures_for_a_model_of_any_scale(takes):
    [(images, _)] = batches(PIXELS.astype(np.int32), SHAPE, "x", takes)
    np.testing.assert_array_equal(images, takes.scaled(PIXELS))


def test_integers_are_refused_without_a_scale():
    floats = [*batches(IMAGES, SHAPE, "x", None)]
    assert np.array_equal(floats[0][0], IMAGES)
    with pytest.raises(
        ValueError, match=r"^x needs the scale of pixels to take integers as pixels"
    ):
        [*batches(PIXELS, SHAPE, "x", None)]


def test_a_source_is_read_as_in_evaluation():
    [(images, labels)] = batches(data.arrays(PIXELS, LABELS), SHAPE, "x", TAKES, labelled=True)
    np.testing.assert_allclose(images, IMAGES, atol=1e-6)  # one multiplies, one divides
    np.testing.assert_array_equal(labels.argmax(-1), LABELS)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (None, "got NoneType"),
        (5, r"a path, an array, a pair \(images, labels\), a data set or batches; got int"),
        ([], "at least one image"),
        (["a.jpg", "b.jpg"], r"got an array of shape \(\) and type <U5"),
        ((IMAGES[..., 0, 0], LABELS), r"got an array of shape \(6, 4\)"),
        (IMAGES[0], r"got an array of shape \(4, 6, 3\) .* A batch of one is image\[None\]"),
        (tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)), r"\(4, 6, 3\).*batch\(32\)"),
        (IMAGES.transpose(0, 3, 1, 2), r"\(6, 3, 4, 6\) .* Channels come last: numpy.moveaxis"),
        (IMAGES.astype(str), "images of numbers"),
        ([{"picture": IMAGES}], "dicts of picture.*as_supervised=True"),
        ((IMAGES, IMAGES), "in this order; got arrays of 4, 4 axes"),
        ([(IMAGES, LABELS, LABELS, LABELS)], "in this order.*; got a tuple of ndarray, ndarray"),
        ([({"image": IMAGES}, {"label": LABELS})], "got a tuple of dict and dict"),
        ((IMAGES, LABELS, np.ones((6, 2))), r"sample weights.*float64 of shape \(6, 2\)"),
        ((IMAGES, LABELS, ["a"] * 6), "sample weights.*<U1"),
        ((IMAGES, LABELS, np.zeros(6)), "at least one image"),
        ((IMAGES, LABELS[:2]), "one label for each image; got 2 for 6"),
        ((IMAGES, np.full(6, np.nan)), "some are NaN"),
        (PIXELS * np.uint16(257), r"got 0 to 65535.*pixels >> 8"),
        (PIXELS.astype(int) - 9, "pixels from 0 to 255; got -9"),
        (BLACK_AND_WHITE.astype(int), "all are 0 or 1. Pass black and white as booleans"),
        (PIXELS.astype(np.float32), "black as -1 and white as 1; got values from 0 to 255"),
        (IMAGES.astype(float) * 1e300, "finite images; 6 of 6"),
    ],
)
def test_anything_else_is_refused_with_the_reason(wrong, message):
    with pytest.raises(ValueError, match=f"^x .*{message}"):
        [*batches(wrong, SHAPE, "x", TAKES, labelled=True)]


def test_images_from_0_to_1_for_a_model_from_minus_1_are_a_warning():
    with pytest.warns(DataWarning, match="x: all of 6 images .* takes black as -1"):
        [*batches(PIXELS / 255, SHAPE, "x", TAKES)]


def test_masked_values_are_unknown():
    with pytest.raises(ValueError, match="values that are unknown"):
        [*batches((IMAGES, np.ma.masked_equal(LABELS, 2)), SHAPE, "x", TAKES, labelled=True)]
