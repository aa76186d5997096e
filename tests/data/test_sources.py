"""Where images come from: each image once, the same order from the same seed, no surprise."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets

from keras_mixer import Preprocessing, data
from tests.pictures import SHARED, class_folders, labelled, noise


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A data set as TensorFlow Datasets prepares it: 40 images to learn from, and 11 more."""
    folder = tmp_path_factory.mktemp("tfds")
    images, labels = labelled(51)
    examples = [{"image": images[i], "label": labels[i], "side": i % 4} for i in range(51)]

    def part(start, stop):
        return tf.data.Dataset.from_generator(
            lambda: iter(examples[start:stop]),
            output_signature={
                "image": tf.TensorSpec((8, 8, 3), tf.uint8),
                "label": tf.TensorSpec((), tf.int64),
                "side": tf.TensorSpec((), tf.int64),
            },
        )

    tensorflow_datasets.dataset_builders.store_as_tfds_dataset(
        name="patches",
        version="1.0.0",
        features=tensorflow_datasets.features.FeaturesDict(
            {
                "image": tensorflow_datasets.features.Image(shape=(8, 8, 3)),
                "label": tensorflow_datasets.features.ClassLabel(names=["red", "green", "blue"]),
                "side": tensorflow_datasets.features.Scalar(tf.int64),
            }
        ),
        split_datasets={"train": part(0, 40), "test": part(40, 51)},
        data_dir=folder,
    )
    return folder


@pytest.fixture
def of_kind(prepared, tmp_path):
    def make(kind):
        if kind == "arrays":
            return data.arrays(*labelled(40))
        if kind == "folder":
            return data.folder(class_folders(tmp_path / "pictures", count=19))
        return data.tfds("patches", data_dir=prepared)

    return make


def contents(source, seed=None):
    """What a source gives, in its order: bytes that tell images apart, and labels."""
    seed = None if seed is None else tf.constant(seed, tf.int64)
    pairs = [source.read(item) for item in source.order(seed)]
    return [
        (np.asarray(c).tobytes() if c.dtype != tf.string else c.numpy(), int(y)) for c, y in pairs
    ]


@pytest.mark.parametrize("kind", ["arrays", "folder", "tfds"])
def test_every_order_has_each_image_once_and_follows_the_seed_alone(of_kind, kind):
    source = of_kind(kind)
    plain = contents(source)
    assert len(plain) == source.count == 40
    one, again, other = contents(source, (3, 0)), contents(source, (3, 0)), contents(source, (3, 1))
    assert one == again
    assert one != plain != other != one
    assert sorted(one) == sorted(other) == sorted(plain)


def test_a_folder_names_what_it_leaves_out_and_why(tmp_path):
    source = data.folder(class_folders(tmp_path / "pictures"))
    assert source.count == 10  # four of each class, the CMYK one and the grey one
    assert source.classes == ("cat", "dog", "empty")
    reasons = {path.name: reason for path, reason in source.skipped.items()}
    assert reasons.keys() == {"truncated.jpg", "text.jpg", "notes.txt", "empty"}
    assert reasons["notes.txt"].startswith("its name does not end in .bmp, .gif")
    assert reasons["empty"] == "a class without pictures"
    assert reasons["truncated.jpg"] == "it is cut short"
    assert reasons["text.jpg"] == "it is not among JPEG, PNG, GIF, BMP, WebP and TIFF"


def test_cmyk_and_grey_pictures_are_read_in_rgb(tmp_path):
    root = class_folders(tmp_path / "pictures", count=0)
    source = data.folder(root)
    for item, (pixels, mode) in zip(source.order(), ((200, "CMYK"), (201, "L")), strict=True):
        content, _ = source.read(item)
        image = data.evaluation_image(content, Preprocessing(size=16))
        close = noise(20, 30, pixels)
        if mode == "L":
            close = np.repeat(close @ [0.299, 0.587, 0.114], 3).reshape(close.shape)
        expected = tf.image.resize(close, (16, 16))
        assert np.abs(image - expected).mean() < 4  # JPEG's loss, and CMYK's


@pytest.mark.parametrize("inside", [[], ["a/x.txt"], ["x.jpg"], ["a/x.jpg", "b/x.jpg"]])
def test_a_folder_without_a_readable_picture_is_an_error(tmp_path, inside):
    for name in inside:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no picture")
    with pytest.raises(ValueError, match=r"CLASS/PICTURE\.jpg|holds no picture that can be read"):
        data.folder(tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder of images"):
        data.folder(tmp_path / "missing")


def test_two_folders_number_their_classes_alike(tmp_path):
    class_folders(tmp_path / "train")
    class_folders(tmp_path / "val", count=2)
    (tmp_path / "val" / "cat").rename(tmp_path / "val" / "moved")
    (tmp_path / "val" / "moved").rename(tmp_path / "away")
    images, held_out = data.load(tmp_path)
    assert held_out.classes == images.classes
    assert {label for _, label in contents(held_out)} == {1}  # dog, as in train
    (tmp_path / "away").rename(tmp_path / "val" / "wolf")
    with pytest.raises(ValueError, match=r"not among the 3 .*: wolf/"):
        data.load(tmp_path)
    assert len(data.load_test(tmp_path).classes) == 3
    shutil.rmtree(tmp_path / "val")
    assert data.load_test(tmp_path) is None


def test_without_splits_a_tenth_of_each_class_of_a_folder_is_held_out(tmp_path):
    everything = contents(data.folder(class_folders(tmp_path / "x", count=19)))
    images, held_out = data.load(tmp_path / "x")
    assert (images.count, held_out.count) == (36, 4)
    assert sorted(contents(images) + contents(held_out)) == sorted(everything)
    assert {label for _, label in contents(held_out)} == {0, 1}
    assert sorted(contents(data.load_test(tmp_path / "x"))) == sorted(everything)
    for splits in ({"split": "train"}, {"held_out": "test"}):  # not passed over
        with pytest.raises(FileNotFoundError, match="x/train"):
            data.load(tmp_path / "x", **splits)
    with pytest.raises(ValueError, match=r"too few to hold out any .*--validation 0"):
        data.hold_out(data.arrays(*labelled(3)))


def test_every_nth_image_is_held_out_as_in_older_runs(tmp_path):
    images, held_out = data.hold_out(data.folder(class_folders(tmp_path / "x", count=19)), every=10)
    assert (images.count, held_out.count) == (36, 4)
    assert images.name.endswith("x, but every 10th")


def test_a_share_of_a_split_of_tensorflow_datasets_is_held_out(prepared):
    found = data.load_splits("patches", validation=0.25, data_dir=prepared)
    assert [source.count for source in found] == [30, 10, 11]
    whole = contents(data.tfds("patches", data_dir=prepared))
    assert contents(found.train) + contents(found.validation) == whole
    assert str(found) == (
        "learns from 30 images in 3 classes in patches/1.0.0 train[:30], chooses by 10 in "
        "patches/1.0.0 train[30:], measures 11 in patches/1.0.0 test"
    )
    found = data.load_splits("patches", data_dir=prepared)  # as in the literature
    assert (found.validation.count, found.test) == (11, None)
    assert data.load_splits("patches", validation=0, data_dir=prepared).validation is None
    with pytest.raises(ValueError, match="patches has no split 'tran', only train, test"):
        data.load_splits("patches", "tran", validation=0.5, data_dir=prepared)
    with pytest.raises(ValueError, match=r"split='train\[:90%\]', held_out="):
        data.load_splits("patches", "train[:9]", validation=0.5, data_dir=prepared)
    with pytest.raises(ValueError, match="patches has no split 'x', only "):
        data.load_splits("patches", "x", validation=0.5, data_dir=prepared)


def test_a_data_set_that_cannot_be_downloaded_says_why(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise ConnectionError("no network")

    builder = tensorflow_datasets.core.DatasetBuilder
    monkeypatch.setattr(builder, "download_and_prepare", fail)
    said = rf"cifar10 is not in {tmp_path}/cifar10/.*, and it could not be downloaded: no network$"
    with pytest.raises(OSError, match=said):
        data.tfds("cifar10", data_dir=tmp_path)


@pytest.mark.parametrize(
    "name", ["./no/such", "no/such/folder", "my pictures", "C:\\pictures", "~/x"]
)
def test_a_folder_that_is_not_there_is_no_name_of_a_data_set(name):
    with pytest.raises(FileNotFoundError, match="There is no folder of images at"):
        data.load(name)
    with pytest.raises(ValueError, match="Unpack an archive first"):
        data.load(__file__)


def test_a_test_split_whose_labels_are_secret_is_passed_over(prepared, tmp_path):
    known, secret = ({"image": noise(8, 8), "label": label} for label in (2, -1))
    features = tensorflow_datasets.features
    tensorflow_datasets.dataset_builders.store_as_tfds_dataset(
        name="contest",
        version="1.0.0",
        features=features.FeaturesDict(
            {
                "image": features.Image(shape=(8, 8, 3)),
                "label": features.ClassLabel(names=["a", "b", "c"]),
            }
        ),
        split_datasets={
            name: tf.data.Dataset.from_tensors(example)
            for name, example in {"train": known, "validation": known, "test": secret}.items()
        },
        data_dir=tmp_path,
    )
    for found in (data.load_test, lambda *a, **k: data.load(*a, **k)[1]):
        assert found("contest", data_dir=tmp_path).name == "contest/1.0.0 validation"
    with pytest.raises(ValueError, match=r"outside its 3 classes, such as -1: .* kept secret"):
        data.load_test("contest", "test", data_dir=tmp_path)


def test_tensorflow_datasets_by_name_with_splits_and_labels_of_ones_own(prepared):
    images, held_out = data.load("patches", data_dir=prepared)
    assert (images.count, held_out.count) == (40, 11)
    assert images.classes == ("red", "green", "blue")
    part = data.tfds("patches", "train[:25%]+train[30:]", data_dir=prepared)
    whole = contents(images)
    assert contents(part) == whole[:10] + whole[30:]
    sides = data.tfds(
        "patches", data_dir=prepared, label=lambda example: example["side"] * 2, classes=7
    )
    assert {label for _, label in contents(sides)} == {0, 2, 4, 6}
    with pytest.raises(ValueError, match="by its split"):
        data.hold_out(images)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "cifar01"}, r"no data set called 'cifar01', .*Did you mean .*cifar10"),
        ({"name": "cifar10:9.9.9"}, "does not take 'cifar10:9.9.9': Dataset cifar10 cannot be"),
        ({"name": "cifar10/big"}, r"does not take 'cifar10/big': BuilderConfig big not found"),
        ({"name": "patches", "split": "tset"}, r"no split 'tset', only train, test|test, train"),
        ({"name": "patches", "split": "train[:0]"}, "is empty"),
        ({"name": "patches", "label": "name"}, "no feature .name.; it has image, label, side"),
        ({"name": "patches", "label": "side"}, "pass classes"),
    ],
)
def test_what_tensorflow_datasets_lacks_is_an_error(prepared, arguments, message):
    with pytest.raises(ValueError, match=message):
        data.tfds(data_dir=prepared, **arguments)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((3, 8, 8)), np.zeros(3, int), "N, H, W, C"),
        (np.zeros((0, 8, 8, 3)), np.zeros(0, int), "at least one"),
        (
            np.zeros((3, 8, 8, 3), np.uint8),
            np.zeros(2, int),
            "one label for each image; got 2 for 3",
        ),
        (np.zeros((3, 8, 8, 3), np.uint8), np.full(3, 0.5), "which are whole"),
        (np.zeros((3, 8, 8, 3), np.uint8), np.full(3, -1), "from 0"),
        (np.random.rand(3, 8, 8, 3), np.zeros(3, int), "pixels from 0 to 255"),
        (np.full((3, 8, 8, 3), np.nan), np.zeros(3, int), "pixels from 0 to 255"),
        (np.ones((3, 8, 8, 3), np.uint8), np.zeros(3, int), "got values from 1 to 1"),
        (np.zeros((3, 3, 8, 8), np.uint8), np.zeros(3, int), "Channels come last"),
    ],
)
def test_arrays_that_are_no_pictures_are_an_error(images, labels, message):
    with pytest.raises(ValueError, match=message):
        data.arrays(images, labels)


def test_arrays_take_labels_and_pixels_as_others_give_them():
    pixels, labels = labelled(12)
    expected = contents(data.arrays(pixels, labels))
    assert {label for _, label in expected} == {0, 1, 2}
    for given in (labels[:, None], labels.tolist(), labels.astype("uint8"), labels.astype(float)):
        assert contents(data.arrays(pixels, given)) == expected
    for given in (np.eye(3)[labels], tf.one_hot(labels, 3), tf.constant(labels)):
        source = data.arrays(pixels.astype(np.int64).tolist(), given)
        assert contents(source) == expected
        assert source.classes == ("0", "1", "2")
    yes = contents(data.arrays(pixels > 99, labels > 0))
    assert [label for _, label in yes] == [int(label > 0) for label in labels]
    assert yes[0][0] == (np.uint8(255) * (pixels[0] > 99)).tobytes()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.full(6, 10**7), "labels up to 10,000,000, which look like no class numbers.*unique"),
        (np.full(6, 2**62), "look like no class numbers"),
        (
            np.full(6, 2**63, np.uint64),
            "labels from 0 to 9223372036854775807; got 9223372036854775808",
        ),
        (np.full((6, 2), 0.5), "neither 0 nor 1"),
        (np.ones((6, 2)), "add up to 1"),
        (["cat"] * 6, "Class names need to be numbered"),
        ([0, 1, 2, 0, 1, np.nan], "finite"),
    ],
)
def test_labels_that_name_no_class_are_an_error(labels, message):
    with pytest.raises(ValueError, match=f"^arrays .*{message}"):
        data.arrays(labelled(6)[0], labels)


def test_class_names_must_reach_as_far_as_labels():
    with pytest.raises(ValueError, match="labels up to 2 but only 2 class names"):
        data.arrays(*labelled(6), classes=["a", "b"])
    with pytest.raises(ValueError, match="classes need an order"):
        data.arrays(*labelled(6), classes={"a", "b", "c"})


def test_a_file_that_is_gone_at_training_time_is_named(tmp_path):
    root = class_folders(tmp_path / "x")
    source = data.folder(root)
    (root / "cat" / "0.jpg").unlink()
    with pytest.raises(tf.errors.NotFoundError, match=r"cat/0\.jpg"):
        contents(source)


@pytest.mark.skipif(not SHARED.exists(), reason="needs CIFAR-10 as TensorFlow Datasets has it")
def test_cifar10_is_what_everybody_knows():
    images, held_out = data.task("cifar10", data_dir=SHARED)
    assert (images.count, held_out.count) == (50_000, 10_000)
    assert images.classes[3] == "cat"
