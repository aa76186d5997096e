"""A folder for an app: the file, its golden image, its card."""

import keras
import numpy as np
import pytest
from PIL import Image

from keras_mixer.tflite import Classifier, Metadata, convert, export, read_metadata
from tests.cases import CASES
from tests.pictures import encoded, noise

CASE = CASES[0].but(depth=1)
LABELS = tuple("abcdefg")
RECIPES = "float32", "dynamic_int8", "int8"


@pytest.fixture(scope="module")
def model():
    return CASE.trained()


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    """Three recipes in one folder."""
    folder = tmp_path_factory.mktemp("export") / "app"
    for recipe in RECIPES:
        images = CASE.images(16) if recipe == "int8" else None
        facts = {"description": "Tells letters apart.", "author": "A. B.", "license": "MIT"}
        path = export(model, folder, recipe, labels=LABELS, calibration=images, **facts)
        assert path == folder / f"model_{recipe}.tflite"
    return folder


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else None


def test_several_recipes_live_in_one_folder_and_its_card_lists_them(folder):
    assert sorted(path.name for path in folder.iterdir()) == [
        *("README.md", "golden.png", "golden_input.bin"),
        *(f"golden_output_{recipe}.bin" for recipe in sorted(RECIPES)),
        "labels.txt",
        *(f"model_{recipe}.tflite" for recipe in sorted(RECIPES)),
    ]
    card = (folder / "README.md").read_text()
    for recipe in RECIPES:
        size = (folder / f"model_{recipe}.tflite").stat().st_size
        assert f"| `model_{recipe}.tflite` | {size / 1e6:.2f} |" in card
    for text in (
        *("Tells letters apart.", "A. B.", "MIT", "float32 `[1, 16, 32, 3]`", "float32 `[1, 7]`"),
        *("probabilities", "`pixel / 127.5f - 1f`", "32 x 16 (width x height)", "noCompress"),
        *("ImageClassifier.createFromOptions", "CompiledModel.create", "FloatArray(1536)"),
    ):
        assert text in card


def test_its_golden_output_is_what_the_file_gives_for_the_golden_input(folder):
    image = np.fromfile(folder / "golden_input.bin", "<f4").reshape(16, 32, 3)
    assert (image.min(), image.max()) == (-1, 1)
    for recipe in RECIPES:
        classifier = Classifier(folder / f"model_{recipe}.tflite")
        scores = np.fromfile(folder / f"golden_output_{recipe}.bin", "<f4")
        assert [p.score for p in classifier(image)] == sorted(scores.tolist())[:-6:-1]
        assert classifier(folder / "golden.png") == classifier(image)


def test_the_golden_picture_shows_every_mistake_in_its_order(folder):
    pixels = np.asarray(Image.open(folder / "golden.png"))
    for other in (pixels[::-1], pixels[:, ::-1], pixels[..., ::-1]):
        assert np.abs(pixels.astype(int) - other).mean() > 20


@pytest.mark.parametrize("recipe", RECIPES)
def test_mediapipe_classifies_as_we_do(folder, tmp_path, recipe):
    vision = pytest.importorskip("mediapipe.tasks.python.vision")
    from mediapipe import Image as Picture
    from mediapipe.tasks.python import BaseOptions

    fits, large = tmp_path / "fits.png", tmp_path / "large.png"
    fits.write_bytes(encoded(noise(16, 32), "PNG"))
    large.write_bytes(encoded(noise(90, 120), "PNG"))
    options = vision.ImageClassifierOptions(
        base_options=BaseOptions(model_asset_path=str(folder / f"model_{recipe}.tflite")),
    )
    classifier = Classifier(folder / f"model_{recipe}.tflite")
    with vision.ImageClassifier.create_from_options(options) as theirs:
        for file in (fits, large):
            [head] = theirs.classify(Picture.create_from_file(str(file))).classifications
            ours = classifier(file, top=7)
            found = {c.category_name: c.score for c in head.categories}
            assert found.keys() == {p.label for p in ours}
            if file == fits:
                assert [c.index for c in head.categories[:5]] == [p.index for p in ours[:5]]
                # A pixel that is scaled with another rounding may be another integer.
                rounding = 1e-6 if recipe == "float32" else 0.01
                assert [*found.values()] == pytest.approx([p.score for p in ours], abs=rounding)
            else:
                # Pillow averages over the pixels that it makes smaller, MediaPipe interpolates
                # between them.
                for prediction in ours:
                    assert found[prediction.label] == pytest.approx(prediction.score, abs=0.02)


def test_a_model_that_takes_pixels_says_so_in_its_file(tmp_path):
    model = CASE.trained(include_preprocessing=True)
    image = keras.Input((16, 32, 3))
    around = keras.Model(image, keras.layers.Activation("linear")(model(image)))
    for number, takes_pixels in enumerate((model, around)):
        path = export(takes_pixels, tmp_path / str(number))
        assert read_metadata(path).input_range == (0, 255)
        golden = np.fromfile(path.with_name("golden_input.bin"), "<f4")
        assert (golden.min(), golden.max()) == (0, 255)
        assert "the pixel itself" in path.with_name("README.md").read_text()
        picture = path.with_name("golden.png")
        expected = Classifier(model)(picture)
        assert [p.index for p in Classifier(path)(picture)] == [p.index for p in expected]
    path = export(model, tmp_path / "told", input_range=(0, 1), name="told")
    assert read_metadata(path) == Metadata(name="told", input_range=(0, 1))


def test_labels_come_from_a_file_too_and_may_be_missing(model, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("\n".join(LABELS))
    path = export(model, tmp_path / "with", labels=names)
    assert read_metadata(path).labels == LABELS
    assert path.with_name("labels.txt").read_text().split() == list(LABELS)
    path = export(model, tmp_path / "without")
    assert read_metadata(path).labels == ()
    assert not path.with_name("labels.txt").exists()
    assert "labels.txt" not in path.with_name("README.md").read_text()


@pytest.mark.parametrize("channels", [1, 4])
def test_models_of_other_images_are_exported_without_what_does_not_work(tmp_path, channels):
    path = export(CASE.tiny(input_shape=(16, 32, channels)), tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert "MediaPipe Tasks" not in card
    assert (tmp_path / "golden.png").exists() == (channels == 1)
    assert ("golden.png" in card) == (channels == 1)
    assert (tmp_path / "golden_input.bin").stat().st_size == 4 * 16 * 32 * channels
    assert read_metadata(path).input_range == (-1, 1)


def test_scores_without_softmax_are_not_called_probabilities(tmp_path):
    export(CASE.tiny(classifier_activation=None), tmp_path)
    assert "They are not probabilities" in (tmp_path / "README.md").read_text()


def _features():
    return CASE.tiny(include_top=False)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"labels": "abc"}, FileNotFoundError, "no file of labels at 'abc'"),
        ({"labels": list("abc")}, ValueError, "one label for each of 7 classes; got 3 labels"),
        ({"labels": [*"abcdef", ""]}, ValueError, "got '' for class 6"),
        ({"recipe": "int9"}, ValueError, "no recipe 'int9'"),
        ({"recipe": "int8"}, ValueError, "needs calibration"),
        ({"input_range": (1, 1)}, ValueError, "two different numbers"),
        ({"model": _features}, ValueError, r"a classifier.*is \(None, 4, 8, 24\)"),
    ],
)
def test_a_wrong_request_writes_nothing(model, tmp_path, arguments, error, message):
    arguments = dict(arguments)
    wrong = arguments.pop("model", lambda: model)()
    with pytest.raises(error, match=message):
        export(wrong, tmp_path / "app", **arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-16-le"])
def test_a_file_of_labels_in_another_encoding_is_refused(model, tmp_path, encoding):
    names = "äbcdefg" if encoding == "latin-1" else "abcdefg"
    (tmp_path / "names.txt").write_bytes("\n".join(names).encode(encoding))
    with pytest.raises(ValueError, match=r"names\.txt is not a text file in UTF-8"):
        export(model, tmp_path / "app", labels=tmp_path / "names.txt")


def test_what_is_there_is_replaced_only_when_it_may_be(model, tmp_path, monkeypatch):
    folder = tmp_path / "app"
    export(model, folder, labels=LABELS)
    before = content(folder)
    refused = [
        ({"labels": LABELS}, r"model_float32\.tflite exists already; pass --overwrite"),
        ({"recipe": "float16", "labels": LABELS[::-1]}, r"other images or classes: labels\.txt"),
        ({"recipe": "float16"}, r"other images or classes: labels\.txt"),
        ({"recipe": "float16", "labels": LABELS, "input_range": (0, 1)}, r"golden_input\.bin"),
        ({"labels": None, "overwrite": True}, r"other images or classes: labels\.txt"),
    ]
    for arguments, message in refused:
        with pytest.raises(FileExistsError, match=message):
            export(model, folder, **arguments)
        assert content(folder) == before

    export(model, folder, labels=LABELS[::-1], overwrite=True)
    assert read_metadata(folder / "model_float32.tflite").labels == LABELS[::-1]
    assert (folder / "labels.txt").read_text().split() == list(LABELS[::-1])

    (folder / "README.md").write_text("# Mine")
    before = content(folder)
    with pytest.raises(FileExistsError, match=r"README\.md exists already, and export did not"):
        export(model, folder, labels=LABELS[::-1], overwrite=True)
    assert content(folder) == before


def test_a_disk_that_fills_up_leaves_what_was_there(model, tmp_path, monkeypatch):
    from pathlib import Path

    export(model, tmp_path)
    before = content(tmp_path)
    whole = Path.write_bytes

    def full(path, data):
        if path.name == "golden_output_float16.bin":
            raise OSError(28, "No space left on device")
        return whole(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        export(model, tmp_path, "float16")
    assert content(tmp_path) == before


def test_the_file_is_the_converted_model_and_its_metadata_alone(model, folder):
    image = CASE.images()[0]
    ours, plain = Classifier(folder / "model_float32.tflite"), Classifier(convert(model))
    assert [p.score for p in ours(image)] == [p.score for p in plain(image)]
