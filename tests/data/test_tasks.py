"""The literature's tasks: labels that are computed, and splits that can be read."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets

from keras_mixer.data import TASKS
from tests.pictures import encoded


def label(name, example):
    return int(TASKS[name].label(example))


@pytest.mark.parametrize("name", TASKS)
def test_splits_are_what_tensorflow_datasets_reads(name):
    row = TASKS[name]
    for split in (row.learn, row.check, row.train, row.test):
        tensorflow_datasets.core.ReadInstruction.from_spec(split)
    assert row.test not in (row.learn, row.check, row.train)


def test_vtab_learns_from_a_thousand_images():
    for name, row in TASKS.items():
        if name.startswith("vtab/"):
            assert row.train == f"train[:800]+{row.check}"
            first, last = row.check.partition("[")[2].rstrip("]").split(":")
            assert int(last) - int(first or 0) == 200


def test_clevr_counts_objects_and_bins_the_closest_one():
    for count in (3, 10):
        assert label("vtab/clevr_count", {"objects": {"size": tf.zeros(count)}}) == count - 3
    distances = {0.1: 0, 8.0: 0, 8.01: 1, 8.5: 1, 9.0: 2, 9.5: 3, 10.0: 4, 10.1: 5, 50.0: 5}
    for distance, expected in distances.items():
        coordinates = tf.constant([[0, 0, 60.0], [0, 0, distance]])
        example = {"objects": {"pixel_coords": coordinates}}
        assert label("vtab/clevr_distance", example) == expected


def test_kitti_bins_the_closest_vehicle_and_knows_when_there_is_none():
    def example(kinds, depths):
        location = np.stack([[0.0, 0.0, depth] for depth in depths]).astype(np.float32)
        return {
            "objects": {"type": tf.constant(kinds, tf.int64), "location": tf.constant(location)}
        }

    assert label("vtab/kitti", example([0, 3], [7.0, 1.0])) == 0  # 3 is a pedestrian
    assert label("vtab/kitti", example([1, 2], [30.0, 8.5])) == 1
    assert label("vtab/kitti", example([2], [20.5])) == 2
    assert label("vtab/kitti", example([3, 7], [2.0, 2.0])) == 3


def test_dsprites_is_binned_and_brightened():
    for value, expected in ((0, 0), (1, 0), (2, 1), (31, 15)):
        example = {"label_x_position": tf.constant(value, tf.int64)}
        assert label("vtab/dsprites_location", example) == expected
    for value in range(40):
        example = {"label_orientation": tf.constant(value, tf.int64)}
        assert label("vtab/dsprites_orientation", example) == int(value / 2.5)
    shape = np.array([[0, 1], [1, 0]], np.uint8)
    pixels = TASKS["vtab/dsprites_location"].pixels(encoded(shape, "PNG", "L"))
    np.testing.assert_array_equal(pixels[..., 0], shape * 255)
    assert pixels.shape[-1] == 3
