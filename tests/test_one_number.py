"""One number by every way: whatever cuts, scales and classifies a picture gives the same scores.

A new way to scores is a line of the first test, one to an accuracy only of the last. Scales,
crops and interpolations are rows of `PREPROCESSINGS`, kinds of pictures of `every_kind`.
"""

import csv
import re
import warnings
from functools import partial

import keras
import numpy as np
import pytest
from PIL import Image

import keras_mixer
from keras_mixer import Preprocessing, data, preprocessing, training
from keras_mixer.data.pictures import read_picture
from keras_mixer.images import IMAGENET
from keras_mixer.tflite import Classifier, convert, export, verify
from keras_mixer.tflite.examples import batches
from keras_mixer.tflite.reading import picture
from keras_mixer.tflite.run.runner import Runner
from tests.cases import randomised
from tests.marks import slow
from tests.pictures import every_kind, noise, saved

SIDE = 16
PREPROCESSINGS = {
    "squeezed": {},
    "the paper's crop": {"preprocessing": Preprocessing(crop="resmall_crop")},
    "squeezed and cropped": {"preprocessing": Preprocessing(0, 1, crop="resize_crop")},
    "pixels": {"include_preprocessing": True},
    "channels that differ": {
        "preprocessing": Preprocessing(
            *IMAGENET, crop="resmall_crop", crop_share=0.9, interpolation="bicubic", antialias=True
        )
    },
    "channels that differ, included": {
        "preprocessing": Preprocessing(*IMAGENET),
        "include_preprocessing": True,
    },
}
# Largest difference of a score. Two ways to the same pixels differ by nothing, two orders of
# multiplication by a rounding; quantised files are compared with themselves, whatever feeds them.
SAME = 1e-4
MEDIAPIPE = 0.012  # it rounds pixels once more: up to three steps of an int8 score


def mixer(**arguments):
    return randomised(
        keras_mixer.MlpMixer(
            patch_size=4,
            width=16,
            depth=1,
            token_mlp_dim=8,
            channel_mlp_dim=32,
            classes=3,
            input_shape=(SIDE, SIDE, 3),
            **arguments,
        )
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures of every kind and of sizes up to 20 times the model's, in three classes."""
    root = tmp_path_factory.mktemp("one") / "pictures"
    contents = {name: kind.content for name, kind in every_kind().items()}
    for height, width in ((16, 16), (17, 15), (9, 40), (320, 320), (100, 320), (321, 50)):
        for kind in ("png", "jpeg"):
            picture = Image.fromarray(noise(height, width, height))
            contents[f"{height} x {width}, {kind}"] = saved(picture, kind)
    for i, (name, content) in enumerate(contents.items()):
        suffix = next((s for s in ("png", "gif", "bmp", "webp", "tiff") if s in name), "jpg")
        path = root / "abc"[i % 3] / f"{re.sub(r'[^a-z0-9]+', '_', name.lower())}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def evaluated(model, folder):
    """The scores that evaluation counts, by path."""
    source = data.folder(folder)
    batches = data.evaluation_batches(
        source, 32, model.input_shape[1:3], preprocessing=preprocessing(model)
    )
    scores = model.predict(batches.map(lambda x, y, w: x), verbose=0)
    return dict(zip(paths(folder), scores[: source.count], strict=True))


def paths(folder):
    skipped = data.folder(folder).skipped
    return [p for c in sorted(folder.iterdir()) for p in sorted(c.iterdir()) if p not in skipped]


def read(folder, model):
    """The images and labels that `verify` compares the scores of."""
    shape, takes = model.input_shape[1:], preprocessing(model)
    found = [*batches(folder, shape, "a test", takes, labelled=True)]
    return tuple(map(np.concatenate, zip(*found, strict=True)))


def by_classifier(classifier, paths):
    scores = {}
    for path in paths:
        by_class = {p.index: p.score for p in classifier(path, top=3)}
        scores[path] = np.array([by_class[i] for i in range(3)])
    return scores


def largest_difference(these, those):
    assert these.keys() == those.keys()
    return max(np.abs(these[path] - those[path]).max() for path in these)


@pytest.mark.parametrize(
    "name", [n if n == "the paper's crop" else slow(n) for n in PREPROCESSINGS]
)
def test_every_picture_gets_the_same_scores_by_every_way(folder, name, tmp_path):
    model = mixer(**PREPROCESSINGS[name])
    expected = evaluated(model, folder)
    assert len(expected) > 100
    some = {path: expected[path] for path in [*expected][:: 1 if name == "the paper's crop" else 4]}
    file = export(model, tmp_path / "app", labels=[*"abc"])
    for source in (model, file, convert(model)):
        found = by_classifier(Classifier(source, labels=range(3)), some)
        assert largest_difference(some, found) < SAME
    with pytest.warns(UserWarning, match="left out"):
        images, labels = read(folder, model)
    read_again = dict(zip(expected, model.predict(images, verbose=0), strict=True))
    assert largest_difference(expected, read_again) < SAME
    right = np.mean([scores.argmax() for scores in expected.values()] == labels)
    report = verify(model, file, (images, labels))
    assert report.keras_accuracy == report.accuracy == pytest.approx(right)
    result = training.evaluate(model, data.folder(folder))
    assert result["accuracy"] == pytest.approx(right)
    assert result["images"] == len(expected)


def test_what_is_no_picture_is_refused_by_every_way_in_the_same_words(folder):
    model = mixer()
    skipped = data.folder(folder).skipped
    assert len(skipped) > 20
    classifier = Classifier(model)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read(folder, model)
    [warning] = [str(w.message) for w in caught if "left out" in str(w.message)]
    assert f"left out {len(skipped)}" in warning
    for i, (path, reason) in enumerate(skipped.items()):
        with pytest.raises(ValueError, match=re.escape(f"{path.name}' is not a picture")) as error:
            classifier(path)
        assert reason in str(error.value)
        assert i >= 5 or f"{path.name}: {reason}" in warning


@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        ("float32", "the paper's crop"),
        ("int8", "channels that differ"),
        # How channels are scaled is in the metadata of a float and of an integer file alike.
        slow("float32", "channels that differ"),
        *(slow(recipe, "the paper's crop") for recipe in ("float16", "dynamic_int8")),
        *(slow(recipe, "the paper's crop") for recipe in ("static_int8", "int8")),
    ],
)
def test_mediapipe_and_a_file_agree_on_what_an_app_feeds_it(folder, tmp_path, recipe, name):
    model = mixer(**PREPROCESSINGS[name])
    images = paths(folder)[::6]
    calibration = None
    if recipe in ("static_int8", "int8"):
        calibration = np.stack([picture(path, preprocessing(model), 3) for path in images])
    file = export(model, tmp_path / "app", recipe, labels=[*"abc"], calibration=calibration)
    runner = Runner(file)
    for path, found in zip(images, by_mediapipe(file, images), strict=True):
        ours = runner(picture(path, runner.preprocessing.on_device(), 3))
        assert found == pytest.approx(dict(zip("abc", ours, strict=True)), abs=MEDIAPIPE)


@pytest.mark.slow
def test_a_run_has_one_accuracy_from_its_log_to_the_phone(here, tmp_path):
    """Photographs as phones store them: turned by EXIF, and classes that turning exchanges."""
    for split, count in (("train", 24), ("test", 9)):
        for i in range(count):
            for label in ("left", "right", "up"):
                path = tmp_path / "pets" / split / label / f"{i}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(photograph(label, seed=i + 100 * (split == "test")))
    recipe = training.RECIPES["small_images"].but(
        image_size=SIDE,
        batch_size=24,
        epochs=6,
        flip=False,
        evaluation_crop="resmall_crop",
        rand_augment_layers=0,
        crop="resize",
        mixup=0.0,
        cutmix=0.0,
        drop_path_rate=0.0,
        optimizer="adamw",
    )
    build = partial(
        keras_mixer.MlpMixer,
        patch_size=4,
        width=16,
        depth=1,
        token_mlp_dim=8,
        channel_mlp_dim=32,
        include_preprocessing=True,
    )
    run = tmp_path / "run"
    images, held_out = data.load(tmp_path / "pets")
    _, rows = training.train(build, images, held_out, recipe=recipe, folder=run)
    with (run / "log.csv").open() as file:
        *_, last = csv.DictReader(file)
    expected = rows[-1]["val_accuracy"]
    assert float(last["val_accuracy"]) == expected
    assert expected > 0.6  # chance is a third
    model = keras.saving.load_model(run / "last.keras")
    assert preprocessing(model).input_range == (0, 255)
    assert preprocessing(model).crop == "resmall_crop"
    file = export(model, tmp_path / "app", labels=("left", "right", "up"))

    found = {"evaluate": training.evaluate(model, held_out)["accuracy"]}
    done = here("evaluate", "run/last.keras", "--dataset", "pets", cwd=tmp_path)
    found["the command evaluate"] = float(re.search(r"accuracy ([\d.]+)", done.stdout)[1])
    done = here("verify", "run/last.keras", file, "--data", "pets/test", cwd=tmp_path)
    accuracies = re.search(r"accuracy ([\d.]+)%, Keras ([\d.]+)%", done.stdout).groups()
    found["verify, file"], found["verify, Keras"] = (float(a) / 100 for a in accuracies)
    for name, source in (("the model", model), ("the file", file)):
        classifier = Classifier(source, labels=("left", "right", "up"))
        pictures = sorted((tmp_path / "pets/test").rglob("*.jpg"))
        answers = [classifier(p, top=1)[0].label == p.parent.name for p in pictures]
        found[f"Classifier on {name}"] = np.mean(answers)
    done = here("predict", file, *pictures, "--top", 1, cwd=tmp_path)
    answers = re.findall(r"│ (left|right|up) ", done.stdout)
    assert len(answers) == len(pictures)
    found["the command predict"] = np.mean(
        [answer == p.parent.name for answer, p in zip(answers, pictures, strict=True)]
    )
    assert found == pytest.approx(dict.fromkeys(found, expected), abs=1e-4)

    device = here(
        "verify", "run/last.keras", file, "--data", "pets/test", "--as", "mediapipe", cwd=tmp_path
    )
    on_device = float(re.search(r"accuracy ([\d.]+)%", device.stdout)[1]) / 100
    by_path = zip(pictures, by_mediapipe(file, pictures), strict=True)
    right = [max(scores, key=scores.get) == path.parent.name for path, scores in by_path]
    assert np.mean(right) == pytest.approx(on_device, abs=1e-4)
    export(
        model, tmp_path / "measured", labels=("left", "right", "up"), data=tmp_path / "pets/test"
    )
    card = (tmp_path / "measured/README.md").read_text()
    assert f"| as trained | 27 | {expected:.2%} | {expected:.2%} | 100.00% |" in card
    assert f"| as MediaPipe does | 27 | {on_device:.2%} |" in card


def photograph(label, seed):
    """A JPEG, bright on one side, that EXIF turns upright; wider than high."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 120, (60, 90, 3), np.uint8)
    if label == "up":
        pixels[:20] += 130
    elif label == "left":
        pixels[:, :35] += 130
    else:
        pixels[:, -35:] += 130
    turned = Image.fromarray(pixels).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x112] = 6
    return saved(turned, "jpeg", exif=exif, quality=95)


def by_mediapipe(file, paths):
    """The scores that MediaPipe gives pictures, by class."""
    vision = pytest.importorskip("mediapipe.tasks.python.vision")
    import mediapipe
    from mediapipe.tasks.python import BaseOptions

    options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=str(file)))
    with vision.ImageClassifier.create_from_options(options) as classifier:
        images = [mediapipe.Image(mediapipe.ImageFormat.SRGB, read_picture(p, 3)) for p in paths]
        heads = [classifier.classify(image).classifications[0] for image in images]
    return [{c.category_name: c.score for c in head.categories} for head in heads]
