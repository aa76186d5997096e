"""Batches: nothing twice, nothing lost, and the same again from the same seed."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mixer import Preprocessing, data
from tests.pictures import class_folders, encoded, labelled, noise

ALL = data.Augment(
    crop="inception",
    rand_augment=(1, 9),
    layers=(keras.layers.RandomErasing(0.5),),
    one_of=(keras.layers.MixUp(0.4), keras.layers.CutMix(1.0)),
)


def take(batches, count):
    return [tuple(part.numpy() for part in batch) for batch in batches.take(count)]


def equal(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture
def source():
    return data.arrays(*labelled(22, side=16))


def test_an_epoch_has_each_image_once_but_for_the_rest_of_the_division(source):
    plain = data.Augment(crop="resize", flip=False)
    batches = take(data.training_batches(source, 5, 16, augment=plain), 8)
    for epoch in (batches[:4], batches[4:]):
        images = np.concatenate([images for images, _ in epoch])
        assert images.shape == (20, 16, 16, 3)
        assert len({image.tobytes() for image in images}) == 20
    first, second = (np.concatenate([x for x, _ in e]) for e in (batches[:4], batches[4:]))
    assert not np.array_equal(first, second)


def test_shapes_are_static_and_values_are_what_the_model_wants(source):
    batches = data.training_batches(source, 5, 16, augment=ALL)
    images, labels = batches.element_spec
    assert (images.shape, labels.shape) == ((5, 16, 16, 3), (5, 3))
    for images, labels in take(batches, 4):
        assert images.min() >= -1 - 1e-6
        assert images.max() <= 1 + 1e-6
        np.testing.assert_allclose(labels.sum(-1), 1, atol=1e-6)
    zero_to_one = data.training_batches(
        source,
        5,
        16,
        augment=data.Augment("resize", flip=False),
        preprocessing=Preprocessing(0.0, 1.0),
    )
    assert {f"{v:.4f}" for v in np.unique(take(zero_to_one, 1)[0][0] * 255) % 1} <= {
        "0.0000",
        "1.0000",
    }


def test_training_goes_on_with_the_batch_at_which_it_stopped(source):
    keras.utils.set_random_seed(3)
    whole = take(data.training_batches(source, 5, 16, augment=ALL, seed=2), 7)
    keras.utils.set_random_seed(0)  # nobody's global seed matters
    for start in (4, 6):  # at an epoch's end, within one
        batches = data.training_batches(source, 5, 16, augment=ALL, seed=2, start=start)
        rest = take(batches, 7 - start)
        assert all(equal(a, b) for a, b in zip(whole[start:], rest, strict=True))
    other = take(data.training_batches(source, 5, 16, augment=ALL, seed=3, start=start), 1)
    assert not equal(other[0], rest[0])


def test_rand_augment_begins_with_the_batch_that_is_told(source):
    def batches(**arguments):
        augment = data.Augment("shift", **arguments)
        return take(data.training_batches(source, 5, 16, augment=augment, start=1), 3)

    without, always = batches(), batches(rand_augment=(1, 9))
    found = batches(rand_augment=(1, 9), rand_augment_from=2)
    rows = enumerate(zip(without, always, found, strict=True), 1)
    for number, (plain, changed, batch) in rows:
        assert not equal(plain, changed)
        assert equal(batch, plain if number < 2 else changed)


def test_processes_share_each_batch_by_rows(source):
    augment = data.Augment("shift")  # which belongs to one image
    whole = take(data.training_batches(source, 6, 16, augment=augment, start=2), 3)
    parts = [
        take(
            data.training_batches(source, 6, 16, augment=augment, start=2, process=i, processes=2),
            3,
        )
        for i in range(2)
    ]
    for batch, first, second in zip(whole, *parts, strict=True):
        assert equal(batch, [np.concatenate(pair) for pair in zip(first, second, strict=True)])


@pytest.mark.parametrize(("count", "batch_size"), [(22, 4), (20, 4), (3, 8)])
@pytest.mark.parametrize("processes", [1, 2])
def test_evaluation_has_each_image_once_and_weighs_only_those(count, batch_size, processes):
    images, labels = labelled(count, side=8)
    found, weights = [], []
    for process in range(processes):
        batches = data.evaluation_batches(
            data.arrays(images, labels),
            batch_size,
            8,
            crop="resize",
            process=process,
            processes=processes,
        )
        assert len(batches) == -(-count // batch_size)
        for x, _, w in take(batches, -1):
            assert x.shape == (batch_size // processes, 8, 8, 3)
            found += [image.tobytes() for image in x[w > 0]]
            weights += [*w]
    expected = images.astype(np.float32) * np.float32(1 / 127.5) - 1
    assert len(found) == count
    wanted = np.sort(expected.reshape(count, -1), axis=0)
    got = np.sort(np.frombuffer(b"".join(found), np.float32).reshape(count, -1), axis=0)
    np.testing.assert_allclose(got, wanted, atol=1e-6)
    assert np.mean(weights) == pytest.approx(1)


def test_of_a_jpeg_only_the_window_is_decoded_and_it_is_the_same_as_of_the_whole():
    content = encoded(noise(90, 120))
    pixels = tf.io.decode_jpeg(content)
    for i in range(20):
        seed = tf.constant([0, i], tf.int64)
        part = data.training_image(tf.constant(content), 32, "inception", seed)
        whole = data.training_image(pixels, 32, "inception", seed)
        # Chroma is upsampled at the window's border from fewer neighbours.
        assert np.abs(part - whole).mean() < 1.5


def test_inceptions_windows_have_the_paper_s_areas_and_aspects():
    rows, columns = np.mgrid[:100, :150].astype(np.uint8)
    where = tf.constant(np.stack([rows, columns, 0 * rows], -1))
    areas, aspects = [], []
    for i in range(300):
        view = data.training_image(where, 64, "inception", tf.constant([1, i], tf.int64)).numpy()
        height, width = [np.ptp(view[..., k]) * 64 / 63 + 1 for k in (0, 1)]
        areas.append(height * width / 15_000)
        aspects.append(width / height)
    assert 0.045 < min(areas) < 0.065
    assert 0.8 < max(areas) < 1.1
    assert 0.7 < min(aspects) < 0.8
    assert 1.25 < max(aspects) < 1.42


def test_a_shift_moves_the_image_by_up_to_an_eighth_and_fills_with_grey():
    image = tf.constant(np.full((32, 32, 3), 255, np.uint8))
    margins = set()
    for i in range(60):
        view = data.training_image(image, 32, "shift", tf.constant([0, i], tf.int64)).numpy()
        assert set(np.unique(view)) <= {127.5, 255.0}
        margins.add(int((view[16, :, 0] == 127.5).sum()))
    assert margins == set(range(5))


def test_half_of_the_images_are_mirrored():
    ramp = np.tile(np.arange(16, dtype=np.uint8)[None, :, None] * 16, (16, 1, 3))
    source = data.arrays(np.stack([ramp] * 200), np.zeros(200, int))
    batches = data.training_batches(source, 200, 16, augment=data.Augment("resize"))
    [(images, _)] = take(batches, 1)
    mirrored = images[:, 0, 0, 0] > 0
    assert 70 < mirrored.sum() < 130
    np.testing.assert_array_equal(images[mirrored][0], images[~mirrored][0][:, ::-1])


def test_a_folder_with_everything_in_it_trains(tmp_path):
    source = data.folder(class_folders(tmp_path / "x"))
    for images, _ in take(data.training_batches(source, 10, 24, augment=ALL), 3):
        assert np.isfinite(images).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda s: data.training_batches(s, 23, 16), r"batch of 23 .* arrays has 22"),
        (lambda s: data.training_batches(s, 0, 16), "batch_size to be .* at least 1; got 0"),
        (lambda s: data.training_batches(s, 5, 0), "size to be .* at least 1; got 0"),
        (lambda s: data.training_batches(s, 5, 8, seed=-1), "seed to be .* at least 0; got -1"),
        (lambda s: data.training_batches(s, 5, 8, start=-1), "start to be .* at least 0; got -1"),
        (lambda s: data.evaluation_batches(s, 4, 8, process=1), "process to be below processes, 1"),
        (lambda s: data.training_batches(s, 5, 16, processes=2), "2 processes.*got 5"),
        (
            lambda s: data.training_batches(s, 5, 16, augment=data.Augment("center")),
            r"inception.*got 'center'",
        ),
        (lambda s: data.evaluation_batches(s, 5, 16, crop="shift"), "resmall_crop; got 'shift'"),
    ],
)
def test_what_cannot_be_batched_is_an_error(source, make, message):
    with pytest.raises(ValueError, match=message):
        make(source)
