"""`verify` counts right."""

import keras
import numpy as np
import pytest

from keras_mixer.tflite import RECIPES, Metadata, convert, verify, with_metadata
from keras_mixer.tflite.convert.layer_names import layer_paths
from keras_mixer.tflite.run.runner import Runner
from tests.cases import CASES
from tests.marks import slow
from tests.tflite.files import tiny_file, tiny_model

CASE = CASES[0]
IMAGES = CASE.images(32)


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def content():
    return tiny_file()


def test_a_file_agrees_with_the_model_that_it_came_from(model, content):
    answers = np.asarray(model(IMAGES)).argmax(-1)
    labels = np.where(np.arange(32) < 8, answers, (answers + 1) % 7)
    report = verify(model, content, (IMAGES, labels))
    assert report.images == 32
    assert report.bytes == len(content)
    assert (report.accuracy, report.keras_accuracy) == (0.25, 0.25)
    assert report.agreement == 1
    # float32 rounding, relative to the largest logit
    assert report.max_abs_difference < 1e-5 * np.abs(np.asarray(model(IMAGES))).max()
    assert report.ms_per_image > 0
    assert "accuracy 25.00%" in str(report)


def test_a_file_of_another_model_disagrees(model):
    other = CASE.trained(classifier_activation=None, depth=1)
    answers = np.asarray(model(IMAGES)).argmax(-1)
    report = verify(model, convert(other), (IMAGES, answers))
    assert report.keras_accuracy == 1
    assert report.accuracy == report.agreement < 0.9
    assert report.max_abs_difference > 0.01


class Counted(keras.utils.PyDataset):
    """Has an attribute of its own that a `Source` has as the names of its classes."""

    classes = 7

    def __len__(self):
        return 1

    def __getitem__(self, i):
        return IMAGES, np.zeros(32, int)


def test_an_attribute_of_another_data_set_is_not_taken_for_names(model, content):
    assert verify(model, content, Counted()).images == 32


def test_pixels_are_scaled_as_the_file_says_where_the_model_does_not():
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.Dense(4)(keras.layers.Flatten()(image)))
    content = convert(model, input_range=(-1, 1))
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), dtype=np.uint8)
    labels = np.asarray(model(np.float32(pixels) / 127.5 - 1)).argmax(-1)
    assert verify(model, content, (pixels, labels)).accuracy == 1
    assert verify(model, content, (np.float32(pixels) / 127.5 - 1, labels)).accuracy == 1


def test_the_worst_image_is_the_one_that_the_scores_differ_most_at(model):
    content = convert(model, "dynamic_int8")
    report = verify(model, content, IMAGES)
    answers = np.asarray(model(IMAGES))
    scores = np.stack([Runner(content)(image) for image in IMAGES])
    differences = np.abs(answers - scores).max(-1)
    assert differences[report.worst_image] == differences.max()
    assert f"at image {report.worst_image}" in str(report)


@pytest.mark.parametrize("recipe", ["float32", slow("dynamic_int8"), slow("static_int8"), "int8"])
def test_the_layers_of_a_good_file_do_not_depart(model, recipe):
    integers = {"integer_io": True} if RECIPES[recipe].every_op else {}
    content = tiny_file(recipe, **integers)
    report = verify(model, content, IMAGES, layers=True)
    paths = [path for path, _ in report.layers]
    dense = [path for path in layer_paths(model) if path.endswith(("expand", "project"))]
    assert [path for path in paths if path in dense] == dense  # all, in order
    assert {"block_0", "block_1/token_norm", "head"} <= {*paths}
    assert report.first_wrong_layer is None
    assert "No layer has an error above 10%" in str(report)
    errors = [error for _, error in report.layers]
    assert max(errors) < 1e-5 if recipe == "float32" else 1e-3 < max(errors) < 0.1


def test_the_first_wrong_layer_is_named(model):
    other = CASE.trained(classifier_activation=None)
    bias = other.get_layer("block_1").channel_mlp.expand.bias
    bias.assign(bias + 1)
    report = verify(model, convert(other, "int8", calibration=IMAGES), IMAGES, layers=True)
    assert report.first_wrong_layer == "block_1/channel_mlp/expand"
    assert "block_1/channel_mlp/expand is the first" in str(report)


def test_layers_of_a_file_without_their_names_are_refused(model):
    stranger = keras.Sequential(
        [keras.Input((16, 32, 3)), keras.layers.GlobalMaxPooling2D(), keras.layers.Dense(7)]
    )
    with pytest.raises(ValueError, match=r"finds no tensor.*convert the file with keras_mixer"):
        verify(model, convert(stranger), IMAGES, layers=True)


def test_data_may_be_an_array_pairs_one_hot_or_a_data_set(model, content, tmp_path):
    import tensorflow as tf

    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    labels = np.arange(32) % 7
    dataset = tf.data.Dataset.from_tensor_slices((IMAGES, labels)).batch(5)
    one_hot = np.eye(7)[labels]
    accuracies = {
        verify(model, path, data).accuracy
        for data in ((IMAGES, labels), (IMAGES, one_hot), dataset, [(IMAGES, labels[:, None])])
    }
    assert len(accuracies) == 1
    assert accuracies != {None}
    report = verify(model, path, IMAGES)
    assert report.accuracy is report.keras_accuracy is None
    assert "accuracy" not in str(report)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (IMAGES[:, :8], r"\[N, 16, 32, 3\]"),
        ([], "at least one image"),
        ([{"picture": IMAGES, "label": 0}], "dicts of picture, label.*as_supervised=True"),
        ((IMAGES, np.arange(3)), "one label for each image; got 3 for 32"),
        ([(IMAGES, np.zeros(32)), IMAGES], "labels on all batches or none; 1 have none"),
        ((IMAGES, np.arange(32)), "labels from 0 to 6; got 0 to 31"),
    ],
)
def test_data_that_do_not_fit_are_refused(model, content, data, message):
    with pytest.raises(ValueError, match=message):
        verify(model, content, data)


def test_images_that_are_not_cropped_are_not_cropped_as_mediapipe_does(model, content, tmp_path):
    np.save(tmp_path / "images.npy", IMAGES)
    for data in (IMAGES, (IMAGES, np.zeros(32, int)), tmp_path / "images.npy"):
        with pytest.raises(ValueError, match=r"these images have the model's size already.*folder"):
            verify(model, content, data, cut_as="mediapipe")


def test_labels_in_another_order_than_the_file_s_are_refused(model, content):
    named = with_metadata(content, Metadata(labels=tuple("abcdefg")))
    assert verify(model, named, IMAGES[:1], labels=[*"ABCDEFG"]).images == 1
    with pytest.raises(ValueError, match=r"own names in another order.*class 0 is 'a', not 'b'"):
        verify(model, named, IMAGES[:1], labels=[*"bacdefg"])


def test_a_file_of_another_shape_is_refused(content):
    with pytest.raises(ValueError, match=r"\(16, 32, 3\) to outputs \(5,\).*to \(7,\)"):
        verify(CASE.tiny(classes=5), content, IMAGES)
