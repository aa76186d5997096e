"""A `.tflite` file as a function from a picture to its classes."""

import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from keras_mixer import Preprocessing
from keras_mixer.tflite import Classifier, Metadata, with_metadata
from keras_mixer.tflite.reading import picture
from tests.cases import CASES
from tests.tflite.files import tiny_file, tiny_model

CASE = CASES[0]


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("classifier") / "model.tflite"
    path.write_bytes(tiny_file())
    return path


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (16, 32, 3), dtype=np.uint8)


def test_a_picture_gets_the_classes_that_the_model_gives_it(model, path, pixels, tmp_path):
    scores = np.asarray(model(pixels[None] / np.float32(127.5) - 1))[0]
    file = tmp_path / "picture.png"
    Image.fromarray(pixels).save(file)
    classifier = Classifier(path, labels=[*"abcdefg"])
    for source in (file, str(file), Image.fromarray(pixels), pixels):
        predictions = classifier(source, top=3)
        assert [p.index for p in predictions] == list(np.argsort(-scores)[:3])
        assert [p.label for p in predictions] == ["abcdefg"[p.index] for p in predictions]
        # logits in float32, from pixels scaled in two orders
        best = np.sort(scores)[:-4:-1]
        assert [p.score for p in predictions] == pytest.approx(best, rel=1e-4, abs=1e-5)


def tensors(pixels):
    torch = pytest.importorskip("torch")
    import tensorflow as tf

    return [tf.constant(pixels), torch.tensor(pixels)]


def test_pixels_are_taken_in_any_type_and_container(path, pixels):
    classifier = Classifier(path)
    expected = classifier(pixels)
    kinds = (np.int16, np.int32, np.int64, np.uint16, np.uint32, np.uint64)
    for given in (*(pixels.astype(kind) for kind in kinds), pixels.tolist(), *tensors(pixels)):
        assert classifier(given) == expected
    for given in (pixels[None], pixels[None].tolist(), (pixels / np.float32(127.5) - 1)[None]):
        assert [p.index for p in classifier(given)] == [p.index for p in expected]
    white = pixels > 99
    assert classifier(white) == classifier(np.uint8(255) * white)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda pixels: pixels * np.uint16(257), "pixels from 0 to 255; got .* upper 8"),
        (lambda pixels: -pixels.astype(int), "pixels from 0 to 255; got -"),
        (lambda pixels: np.stack([pixels, pixels]), "one image at a time; got 2"),
        (lambda pixels: pixels.astype(str), "an array of numbers; got <U"),
        (lambda pixels: [[1, 2], [3]], "an array of numbers; got object"),
        (lambda pixels: pixels.astype(np.float32), "black as -1 and white as 1"),
        (lambda pixels: np.zeros((0, 32, 3)), "array of numbers; got float64 of shape"),
    ],
)
def test_arrays_that_are_no_image_are_refused(path, pixels, wrong, message):
    with pytest.raises(ValueError, match=f"Classifier .*{message}"):
        Classifier(path)(wrong(pixels))


@pytest.mark.parametrize("of_file", [True, False])
def test_several_threads_share_a_classifier(model, path, of_file):
    classifier = Classifier(path if of_file else model)
    images = np.random.default_rng(0).integers(0, 256, (40, 16, 32, 3), dtype=np.uint8)
    expected = [classifier(image) for image in images]
    with ThreadPoolExecutor(8) as threads:
        found = [*threads.map(classifier, [*images] * (5 if of_file else 1))]
    assert found == expected * (5 if of_file else 1)


@pytest.mark.parametrize("threads", [0, -1, 10**20, 1.5, "4", True])
def test_numbers_of_threads_that_there_cannot_be_are_refused(path, threads):
    with pytest.raises(ValueError, match=r"number of threads from 1 to 1,024; got "):
        Classifier(path, threads=threads)


@pytest.mark.parametrize("top", [0, -1, 1.5, None])
def test_numbers_of_classes_below_1_are_refused(path, pixels, top):
    with pytest.raises(ValueError, match="top to be a number of classes from 1; got"):
        Classifier(path)(pixels, top=top)


def test_a_float_array_is_taken_as_it_is(model, path, pixels):
    image = pixels / np.float32(255)  # not the range of a picture
    index = np.asarray(model(image[None]))[0].argmax()
    assert Classifier(path)(image, top=1)[0].index == index
    assert Classifier(path)(image, top=1)[0].label == str(index)


def test_a_picture_of_another_size_and_mode_is_resized_and_converted(path):
    for mode in ("L", "RGBA", "P", "CMYK", "1"):
        assert len(Classifier(path)(Image.new(mode, (50, 20)))) == 5


def test_a_picture_is_scaled_to_the_range_of_the_model():
    white, black = (Image.new("L", (4, 4), value) for value in (255, 0))
    for low, high in ((-1, 1), (0, 1), (0, 255)):
        takes = Preprocessing(size=2).ranging((low, high))
        assert (picture(white, takes, 3) == high).all()
        assert (picture(black, takes, 1) == low).all()


def test_a_photograph_is_turned_upright(tmp_path):
    """Phones store the sensor's picture and say in EXIF how they were held."""
    upright = Image.new("RGB", (20, 30))
    upright.paste((255, 255, 255), (0, 0, 20, 10))  # white on top
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees clockwise to show
    upright.rotate(90, expand=True).save(tmp_path / "photo.png", exif=exif)
    takes = Preprocessing(size=(30, 20))
    assert np.array_equal(picture(tmp_path / "photo.png", takes, 3), picture(upright, takes, 3))


def test_integer_inputs_and_outputs_are_converted_from_and_to_floats(model, path, pixels, tmp_path):
    """Other people's full-int8 files often have int8 or uint8 inputs and outputs."""
    import keras
    import tensorflow as tf

    images = CASE.images(16)
    archive = keras.export.ExportArchive()
    archive.track(model)
    spec = tf.TensorSpec((1, 16, 32, 3), tf.float32)
    archive.add_endpoint("serve", lambda x: model(x, training=False), input_signature=[spec])
    archive.write_out(tmp_path / "saved", verbose=False)
    expected = Classifier(path)(pixels, top=1)[0]
    for dtype in (tf.int8, tf.uint8):
        converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "saved"))
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.representative_dataset = lambda: ([image[None]] for image in images)
        converter.inference_input_type = converter.inference_output_type = dtype
        got = Classifier(converter.convert(), input_range=(-1, 1))(pixels, top=1)[0]
        assert got.index == expected.index
        assert got.score == pytest.approx(expected.score, rel=0.1)  # 8 bits all the way


@pytest.mark.parametrize("size", [0, 7, 100, 5000, -1, -1000])
def test_a_truncated_file_is_refused(path, tmp_path, size):
    cut = tmp_path / "cut.tflite"
    cut.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"cut\.tflite (is not a \.tflite file|does not load)"):
        Classifier(cut)


def test_a_foreign_file_is_refused(tmp_path):
    import tensorflow as tf

    text = tmp_path / "text.tflite"
    text.write_text("This is not a model at all.")
    with pytest.raises(ValueError, match=r"text\.tflite is not a \.tflite file"):
        Classifier(text)
    with pytest.raises(FileNotFoundError, match=r"no \.tflite file at 'nowhere\.tflite'"):
        Classifier("nowhere.tflite")

    double = tf.function(lambda x: x * 2, input_signature=[tf.TensorSpec((3,), tf.float32)])
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [double.get_concrete_function()], tf.Module()
    )
    with pytest.raises(ValueError, match=r"not an image classifier.*\(3,\), \(3,\)"):
        Classifier(converter.convert())


def test_a_file_that_fails_while_it_runs_is_one_line():
    import tensorflow as tf

    scores = tf.constant(np.eye(5, dtype=np.float32))
    spec = tf.TensorSpec((1, 4, 4, 3), tf.float32)
    row = tf.function(lambda x: tf.gather(scores, tf.cast(x[:, 0, 0, 0], tf.int32)), [spec])
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [row.get_concrete_function()], tf.Module()
    )
    classifier = Classifier(converter.convert(), input_range=(0, 255))
    assert classifier(np.full((4, 4, 3), 3, np.uint8))[0].index == 3
    with pytest.raises(ValueError, match=r"^The model does not run: .*(?!\n)$"):
        classifier(np.full((4, 4, 3), 99, np.uint8))


def test_what_is_no_picture_is_refused(path, tmp_path):
    text = tmp_path / "cat.jpg"
    text.write_text("meow")
    with pytest.raises(ValueError, match=r"cat\.jpg' is not a picture"):
        Classifier(path)(text)
    cut = tmp_path / "cut.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(cut)
    cut.write_bytes(cut.read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"cut\.png' is not a picture"):
        Classifier(path)(cut)
    with pytest.raises(FileNotFoundError, match=r"no picture at 'nowhere\.png'"):
        Classifier(path)("nowhere.png")
    with pytest.raises(ValueError, match=r"one image at a time; got 3, an array \(3, 4, 5, 6\)"):
        Classifier(path)(np.zeros((3, 4, 5, 6), np.uint8))
    with pytest.raises(ValueError, match=r"\[N, 16, 32, 3\]"):
        Classifier(path)(np.zeros((16, 16, 3), np.float32))
    bomb = tmp_path / "bomb.png"
    bomb.write_bytes(_png_that_says_it_is(60_000, 60_000))
    with pytest.raises(ValueError, match=r"bomb\.png' is not a picture that can be read"):
        Classifier(path)(bomb)
    with pytest.raises(ValueError, match="1 or 3 channels; this model takes 4"):
        picture(Image.new("L", (4, 4)), Preprocessing(size=2), 4)


def _png_that_says_it_is(width, height):
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + bytes(4)


def test_a_file_brings_its_labels_and_range_and_arguments_win(model, path, pixels, tmp_path):
    says = Metadata(labels=tuple("abcdefg"), input_range=(0, 255))
    file = tmp_path / "said.tflite"
    file.write_bytes(with_metadata(path.read_bytes(), says))
    raw = np.asarray(model(pixels[None].astype(np.float32)))[0]
    for source in (file, file.read_bytes()):
        [best] = Classifier(source)(pixels, top=1)
        assert (best.index, best.label) == (raw.argmax(), "abcdefg"[raw.argmax()])
        assert best.score == pytest.approx(raw.max(), rel=1e-4)
    told = Classifier(file, labels=[*"ABCDEFG"], input_range=(-1, 1))
    plain = Classifier(path)(pixels)
    assert [(p.index, p.score) for p in told(pixels)] == [(p.index, p.score) for p in plain]
    assert [p.label for p in told(pixels)] == ["ABCDEFG"[p.index] for p in plain]
    with pytest.raises(ValueError, match=r"two different numbers.*got \(0, 0\)"):
        Classifier(file, input_range=(0, 0))
    with pytest.raises(ValueError, match=r"own names in another order.*class 0 is 'a', not 'b'"):
        Classifier(file, labels=[*"bacdefg"])


def test_a_range_may_differ_by_channel():
    """As other people's files say it."""
    low, high = (0.0, -1.0, 2.0), (1.0, 1.0, 4.0)
    for pixel, values in ((0, low), (255, high)):
        takes = Preprocessing(size=2).ranging((low, high))
        image = picture(Image.new("RGB", (4, 4), (pixel,) * 3), takes, 3)
        np.testing.assert_allclose(image, np.broadcast_to(np.float32(values), (2, 2, 3)), atol=1e-6)


def test_a_keras_model_that_takes_pixels_gets_pixels(pixels):
    model = CASE.trained(include_preprocessing=True, depth=1)
    scores = np.asarray(model(pixels[None].astype(np.float32)))[0]
    [best] = Classifier(model)(pixels, top=1)
    assert best.index == scores.argmax()
    assert best.score == pytest.approx(scores.max(), rel=1e-4)


def test_a_model_whose_head_was_never_trained_says_so():
    with pytest.warns(UserWarning, match="'head', is all zeros, as before training.* weights="):
        Classifier(CASES[0].tiny())


def test_labels_match_the_classes(path):
    with pytest.raises(ValueError, match="7 scores; got 3 labels"):
        Classifier(path, labels=["a", "b", "c"])
    with pytest.raises(ValueError, match=r"Labels need an order.*got a dict"):
        Classifier(path, labels=dict.fromkeys("abcdefg"))


@pytest.mark.parametrize(
    "text",
    [
        "a\nb\nc\nd\ne\nf\ng",
        "\ufeffa\r\nb\r\nc\r\nd\r\ne\r\nf\r\ng\r\n",
        "a\nb\nc\nd\ne\nf\ng\n\n \n",
    ],
)
def test_a_file_of_labels_is_read_however_editors_write_it(path, tmp_path, text):
    file = tmp_path / "labels.txt"
    file.write_bytes(text.encode())
    assert Classifier(path, labels=file).labels == list("abcdefg")
