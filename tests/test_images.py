"""A model says what images it takes, also behind other layers, or the user is asked."""

import json
import shutil
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import keras_mixer
from keras_mixer import Preprocessing, data, preprocessing, training
from keras_mixer.images import IMAGENET
from keras_mixer.layers import ImagePreprocessing
from keras_mixer.models.mlp_mixer import MIIL
from keras_mixer.models.mlp_mixer import MIXER as MIXER_PAPER
from keras_mixer.tflite import Classifier, convert, export, read_metadata, verify
from keras_mixer.weights.checkpoint import Checkpoint
from tests.cases import CASES
from tests.marks import slow
from tests.pictures import encoded, noise

CASE = CASES[0].but(depth=1)
SHAPE = (16, 32, 3)
PIXELS, UNIT, MIXER = (0.0, 255.0), (0.0, 1.0), (-1.0, 1.0)
TIMM = Preprocessing(*IMAGENET, crop="resmall_crop", crop_share=0.9, library="pillow")
NORMALISED = Preprocessing(*IMAGENET, crop="resmall_crop", interpolation="bicubic", antialias=True)


def of(*parts):
    return keras.Sequential([keras.Input(SHAPE), *parts])


def around(function, **arguments):
    """A functional model of ours behind a function of the image."""
    image = keras.Input(SHAPE)
    return CASE.tiny(input_tensor=function(image), input_shape=None, **arguments)


def foreign(function):
    image = keras.Input(SHAPE)
    x = layers.Conv2D(4, 3)(function(image))
    return keras.Model(image, layers.Dense(7)(layers.GlobalAveragePooling2D()(x)))


def four_channels():
    image = keras.Input((*SHAPE[:2], 4))
    x = layers.Conv2D(4, 3)(image[..., :3] / 255)
    return keras.Model(image, layers.Dense(7)(layers.GlobalAveragePooling2D()(x)))


class ScaledResizing(layers.Resizing):
    def call(self, data):
        return super().call(data) / 127.5 - 1


class HalvedModel(keras.Model):
    """A functional model that does more than its graph."""

    def call(self, x, training=None):
        return super().call(x * 0.5, training=training)


def bright():
    """A layer adapted to bright pictures of little contrast, in [-1, 1]."""
    layer = layers.Normalization()
    layer.adapt(np.random.default_rng(0).normal(0.4, 0.2, (8, *SHAPE)).clip(-1, 1))
    return layer


def adapted(low, high, **arguments):
    layer = layers.Normalization(**arguments)
    layer.adapt(np.random.default_rng(0).uniform(low, high, (8, *SHAPE)).astype(np.float32))
    return layer


APPLICATIONS = {
    "tf": keras.applications.mobilenet_v2.preprocess_input,
    "torch": keras.applications.densenet.preprocess_input,
    "caffe": keras.applications.resnet.preprocess_input,
}
SAYS = {  # what a model is -> what it takes for black and white
    "a Mixer": (CASE.tiny, MIXER),
    "one that rescales": (lambda: CASE.tiny(include_preprocessing=True), PIXELS),
    "one that rescales otherwise": (lambda: CASE.tiny(include_preprocessing=IMAGENET), PIXELS),
    "behind augmentation": (
        lambda: of(
            layers.RandomFlip(),
            layers.RandomRotation(0.05),
            CASE.tiny(include_preprocessing=True),
        ),
        PIXELS,
    ),
    "behind Resizing": (
        lambda: keras.Sequential(
            [keras.Input((40, 50, 3)), layers.Resizing(*SHAPE[:2]), CASE.tiny()]
        ),
        MIXER,
    ),
    "behind Rescaling": (lambda: of(layers.Rescaling(1 / 127.5, -1), CASE.tiny()), PIXELS),
    "behind two": (
        lambda: of(layers.Rescaling(1 / 255), layers.Rescaling(2, -1), CASE.tiny()),
        PIXELS,
    ),
    "behind a model": (
        lambda: of(of(layers.Rescaling(2.0, -1.0)), layers.RandomContrast(0.1), CASE.tiny()),
        UNIT,
    ),
    "behind an adapted Normalization": (lambda: around(adapted(0, 255)), PIXELS),
    "behind a given Normalization": (
        lambda: around(layers.Normalization(mean=[0.5] * 3, variance=[0.25] * 3)),
        UNIT,
    ),
    "behind arithmetic": (lambda: around(lambda x: x / 127.5 - 1), PIXELS),
    "behind a clip": (lambda: around(lambda x: ops.clip(x, 0, 1) * 2 - 1), UNIT),
    "three channels of four": (four_channels, PIXELS),
    "a backbone": (
        lambda: of(
            CASE.tiny(include_top=False, pooling="avg", include_preprocessing=True),
            layers.Dense(5),
        ),
        PIXELS,
    ),
    "features": (lambda: keras_mixer.features(CASE.tiny(include_preprocessing=True)), PIXELS),
    "foreign, /255": (lambda: foreign(lambda x: x / 255), PIXELS),
    "foreign, tf": (lambda: foreign(APPLICATIONS["tf"]), PIXELS),
    "foreign, torch": (lambda: foreign(APPLICATIONS["torch"]), PIXELS),
    "foreign, caffe": (lambda: foreign(APPLICATIONS["caffe"]), PIXELS),
    "foreign, whole numbers": (
        lambda: keras.Sequential(
            [
                keras.Input(SHAPE, dtype="uint8"),
                layers.Conv2D(4, 3),
                layers.GlobalAveragePooling2D(),
            ]
        ),
        PIXELS,
    ),
    "foreign, adapted": (lambda: foreign(adapted(0, 255)), PIXELS),
    "EfficientNet": (
        lambda: keras.applications.EfficientNetB0(input_shape=(32, 32, 3), weights=None),
        PIXELS,
    ),
}
SILENT = {
    "foreign": lambda: foreign(lambda x: x),
    "adapted to a range that two have": lambda: foreign(adapted(0, 1)),
    "adapted to what might be two": lambda: foreign(bright()),
    "a function of one's own": lambda: foreign(layers.Lambda(lambda x: x / 255)),
    "a layer of one's own": lambda: foreign(ScaledResizing(*SHAPE[:2])),
    "no straight line": lambda: foreign(lambda x: x * x),
    "16 bits": lambda: keras.Sequential(
        [
            keras.Input(SHAPE, dtype="uint16"),
            layers.Rescaling(1 / 65535),
            layers.Conv2D(4, 3),
            layers.GlobalAveragePooling2D(),
            layers.Dense(7),
        ]
    ),
}


@pytest.mark.parametrize("name", SAYS)
def test_a_model_says_what_black_and_white_are_to_it(name):
    build, expected = SAYS[name]
    model = build()
    found = preprocessing(model)
    assert found.input_range == expected
    assert found.size == model.input_shape[1:3]
    again = keras.models.clone_model(model)  # without the state of an adapted Normalization
    if "adapted" not in name:
        assert preprocessing(again) == found


@pytest.mark.parametrize("name", SILENT)
def test_a_model_that_does_not_say_is_asked_for(name, tmp_path):
    model = SILENT[name]()
    with pytest.raises(ValueError, match=rf"Nothing in '{model.name}' says.*input_range="):
        preprocessing(model)
    images = data.arrays(np.zeros((7, *SHAPE), np.uint8), np.arange(7))
    for use in (
        lambda: training.evaluate(model, images),
        lambda: export(model, tmp_path / "app"),
        lambda: keras_mixer.preprocess_input(np.zeros(SHAPE), model),
    ):
        with pytest.raises(ValueError, match="input_range="):
            use()
    for use in (lambda: Classifier(model), lambda: Classifier(convert(model))):
        with pytest.raises(ValueError, match=r"does not state its values.*input_range="):
            use()
    assert not (tmp_path / "app").exists()
    told = preprocessing(model, input_range=(0, 1))
    assert (told.input_range, told.size) == (UNIT, SHAPE[:2])
    black, white = Preprocessing(0, (0.2, 0.25, 0.4)).input_range  # both by channel, or neither
    assert (black, white) == ((0, 0, 0), (5, 4, 2.5))
    assert Preprocessing(0, 0.2).input_range == (0, 5)
    with pytest.raises(ValueError, match="numbers for the 3 channels"):
        preprocessing(model, input_range=((0, 0), (1, 2)))


def nested(function=lambda x: x, **arguments):
    image = keras.Input(SHAPE)
    return keras.Model(image, function(CASE.trained(**arguments)(image)))


@pytest.mark.parametrize(
    "build",
    [
        lambda: of(layers.Rescaling(1 / 127.5, -1), CASE.trained()),
        lambda: nested(include_preprocessing=True),
        lambda: nested(ops.softmax, classifier_activation=None),
        lambda: nested(layers.Softmax(), classifier_activation=None),
        lambda: nested(classifier_activation=None),
        lambda: nested(classifier_activation="sigmoid"),
    ],
)
def test_a_model_around_ours_is_evaluated_as_it_predicts(build):
    model, pixels = build(), np.random.default_rng(0).integers(0, 256, (21, *SHAPE), np.uint8)
    labels = np.arange(21) % 7
    scores = np.asarray(model(keras_mixer.preprocess_input(pixels, model)))
    found = training.evaluate(model, data.arrays(pixels, labels))
    assert found["accuracy"] == pytest.approx(np.mean(scores.argmax(-1) == labels))


def test_evaluation_calls_the_model_itself():
    image = keras.Input(SHAPE)
    model = HalvedModel(image, CASE.trained()(image))
    pixels, labels = np.random.default_rng(0).integers(0, 256, (21, *SHAPE)), np.arange(21) % 7
    found = training.evaluate(model, data.arrays(pixels, labels), input_range=MIXER)
    scores = np.asarray(model(pixels / 127.5 - 1))
    expected = -np.log(scores[np.arange(21), labels]).mean()
    assert found["loss"] == pytest.approx(expected, rel=1e-4)


def test_evaluation_refuses_what_has_no_accuracy():
    images = data.arrays(np.zeros((7, *SHAPE), np.uint8), np.arange(7))
    with pytest.raises(ValueError, match=r"ends in 'head', tanh"):
        training.evaluate(CASE.tiny(classifier_activation="tanh"), images)
    model = CASE.tiny()
    model.get_layer("head").bias.assign(np.full(7, np.nan))
    with pytest.raises(ValueError, match="scores that are not finite"):
        training.evaluate(model, images)


def test_grey_models_are_evaluated_on_folders(tmp_path):
    for label in "abc":
        for i in range(2):
            path = tmp_path / label / f"{i}.png"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(encoded(noise(30, 40, ord(label) + i), "PNG"))
    model = CASE.trained(input_shape=(16, 32, 1), classes=3)
    found = training.evaluate(model, data.folder(tmp_path))
    right = [
        Classifier(model)(p, top=1)[0].index == "abc".index(p.parent.name)
        for p in sorted(tmp_path.rglob("*.png"))
    ]
    assert found["accuracy"] == pytest.approx(np.mean(right))


def test_it_is_carried_through_files_clones_resize_and_features(tmp_path):
    model = CASE.tiny(preprocessing=NORMALISED)
    expected = replace(NORMALISED, size=SHAPE[:2])
    assert preprocessing(model) == expected
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert preprocessing(loaded) == expected
    assert preprocessing(keras.models.clone_model(model)) == expected
    assert preprocessing(keras_mixer.features(loaded)) == expected
    larger = keras_mixer.resize(loaded, (32, 64))
    assert preprocessing(larger) == replace(expected, size=(32, 64))


@pytest.mark.parametrize(
    "takes", [Preprocessing(), NORMALISED, Preprocessing(0, 1), Preprocessing(0, 1 / 255)]
)
@pytest.mark.parametrize("included", [False, True])
def test_the_layer_computes_the_formula_or_nothing(takes, included):
    pixels = np.random.default_rng(0).integers(0, 256, (2, *SHAPE), np.uint8)
    layer = ImagePreprocessing(**takes.as_dict(), rescale=included)
    expected = (pixels / 255 - np.array(takes.mean)) / np.array(takes.std)
    np.testing.assert_allclose(takes.scaled(pixels), expected, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(takes.pixels(takes.scaled(pixels)), pixels, atol=1e-4)
    found = ops.convert_to_numpy(layer(pixels))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected if included else pixels, rtol=1e-5, atol=1e-4)
    again = ImagePreprocessing.from_config(layer.get_config())
    assert (again.preprocessing, again.rescale) == (takes, included)


def test_channels_that_differ_are_normalised_in_the_stem_of_the_file(tmp_path):
    """MediaPipe knows one mean for all channels, so the file takes pixels."""
    model = CASE.trained(preprocessing=NORMALISED)
    pixels = np.random.default_rng(0).integers(0, 256, (20, *SHAPE), np.uint8)
    images = keras_mixer.preprocess_input(pixels, model)
    for recipe in ("float32", "int8"):
        calibration = images if recipe == "int8" else None
        path = export(model, tmp_path / "app", recipe, calibration=calibration)
        assert read_metadata(path).input_range == PIXELS
        report = verify(model, path, (images, np.zeros(20, int)), layers=recipe == "int8")
        assert report.max_abs_difference < (1e-5 if recipe == "float32" else 0.1)
        assert all(error < 0.2 for _, error in report.layers)
        [best] = Classifier(path)(pixels[0], top=1)
        [expected] = Classifier(model)(pixels[0], top=1)
        assert best.score == pytest.approx(expected.score, abs=1e-5 if recipe == "float32" else 0.1)
    operations = keras_mixer.tflite.inspect(tmp_path / "app" / "model_float32.tflite").as_dict()
    plain = keras_mixer.tflite.inspect(convert(CASE.trained())).as_dict()
    assert operations["ops"] == plain["ops"]  # the normalisation costs none


def test_a_file_that_convert_made_says_what_it_takes():
    pixels = np.random.default_rng(0).integers(0, 256, (90, 80, 3), np.uint8)
    for takes in (Preprocessing(0, 1, crop="resize_crop"), NORMALISED):
        model = CASE.trained(preprocessing=takes)
        in_keras, in_file = Classifier(model), Classifier(convert(model))
        assert in_file.preprocessing == in_keras.preprocessing == preprocessing(model)
        expected = {p.index: p.score for p in in_keras(pixels, top=7)}
        assert {p.index: p.score for p in in_file(pixels, top=7)} == pytest.approx(
            expected, abs=1e-5
        )


IMAGES = {
    MIXER: lambda random: random.uniform(-1, 1, (8, *SHAPE)),
    PIXELS: lambda random: random.uniform(0, 255, (8, *SHAPE)),
    UNIT: lambda random: random.uniform(0, 1, (8, *SHAPE)),
}


@pytest.mark.parametrize(
    ("takes", "given"),
    [(MIXER, PIXELS), (UNIT, MIXER), slow(UNIT, PIXELS), slow(PIXELS, MIXER), (PIXELS, UNIT)],
)
def test_images_of_another_scale_are_refused(takes, given):
    model = CASE.trained(preprocessing=Preprocessing().ranging(takes))
    images = IMAGES[given](np.random.default_rng(0)).astype(np.float32)
    content = convert(model)
    for use in (
        lambda: convert(model, "int8", calibration=images),
        lambda: convert(model, "static_int8", calibration=tf.data.Dataset.from_tensors(images)),
        lambda: verify(model, content, images),
        lambda: keras_mixer.tflite.sensitivity(model, "float16", images),
        lambda: Classifier(content)(images[0]),
    ):
        with pytest.raises(ValueError, match=r"needs images as the model takes.*preprocess_in"):
            use()


def test_whole_numbers_are_pixels(tmp_path):
    model = CASE.trained()
    pixels = np.random.default_rng(0).integers(0, 256, (8, *SHAPE), np.uint8)
    scaled = keras_mixer.preprocess_input(pixels, model)
    expected = convert(model, "int8", calibration=scaled)
    assert convert(model, "int8", calibration=pixels.astype(np.int64)) == expected
    with pytest.raises(ValueError, match=r"all are 0 or 1. Pass black and white as booleans"):
        convert(model, "int8", calibration=pixels // 200)
    classifier = Classifier(model)
    [expected] = classifier(pixels[0], top=1)
    for same in (
        *(pixels[0].astype(kind) for kind in (np.int64, np.uint16, np.int32)),
        *(pixels[0].tolist(), tf.constant(pixels[0]), tf.constant(pixels[0], tf.int32)),
    ):
        assert classifier(same, top=1) == [expected]
    with pytest.raises(ValueError, match="pixels from 0 to 255; got 0 to 65535"):
        classifier(np.array([[[0], [65535]]], np.uint16))
    for wrong in ([[1], [1, 2]], None, np.array("x"), {"image": 1}):
        with pytest.raises(ValueError, match="Classifier needs a path"):
            classifier(wrong)


def test_released_weights_bring_their_own(tmp_path):
    cifar10 = keras_mixer.MixerTi4(weights="cifar10")
    assert preprocessing(cifar10).crop == "resize"
    for name, builder in keras_mixer.models.BUILDERS.items():
        for release in builder.releases.values():
            assert release.preprocessing is not None, name


def test_timm_s_weights_bring_their_own(tmp_path):
    """By the config.json beside them, or by the name under which they were released."""
    model = CASE.trained(gelu="erf")
    size = {"size": SHAPE[:2]}

    def loaded(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        keras_mixer.save_weights(model, path, layout="timm", overwrite=True)
        return CASE.tiny(weights=path)

    assert preprocessing(loaded(tmp_path / "a.safetensors")).mean == 0.5
    named = tmp_path / "models--timm--mixer_b16_224.miil_in21k_ft_in1k" / "model.safetensors"
    miil = loaded(named)
    assert preprocessing(miil) == replace(MIIL, **size)
    assert preprocessing(miil).input_range == UNIT
    config = '{"pretrained_cfg": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], '
    config += '"interpolation": "bicubic", "crop_pct": 0.9, "crop_mode": "center"}}'
    told = tmp_path / "told" / "model.safetensors"
    told.parent.mkdir()
    told.with_name("config.json").write_text(config)
    assert preprocessing(loaded(told)) == replace(TIMM, **size)
    with pytest.warns(UserWarning, match="was trained for images of mean 0.0 and deviation 1.0"):
        keras_mixer.load_weights(CASE.tiny(gelu="erf"), named)
    for other in ('{"hidden_size": 3}', "no JSON", "[1]", '{"pretrained_cfg": 3}'):
        told.with_name("config.json").write_text(other)
        assert preprocessing(loaded(told)).mean == 0.5


@pytest.fixture(scope="module")
def timm_file(tmp_path_factory):
    """A file of timm's; a test may write a config.json beside it."""
    path = tmp_path_factory.mktemp("timm") / "model.safetensors"
    keras_mixer.save_weights(CASE.tiny(gelu="erf"), path, layout="timm")
    return path


def beside(timm_file, **fields):
    """The `Preprocessing` of a file beside which timm's configuration has these fields."""
    cfg = {"mean": IMAGENET[0], "std": IMAGENET[1], "crop_pct": 0.9, "interpolation": "bicubic"}
    cfg = {key: value for key, value in {**cfg, **fields}.items() if value is not ...}
    timm_file.with_name("config.json").write_text(json.dumps({"pretrained_cfg": cfg}))
    return Checkpoint(timm_file, MIXER_PAPER.layouts).preprocessing


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"crop_mode": "squash"}, {"crop": "resize_crop"}),
        ({"interpolation": "lanczos"}, {"interpolation": "lanczos3"}),
        ({"crop_pct": ...}, {"crop_share": 0.875}),  # what timm takes for what is missing
        ({"crop_pct": None}, {"crop_share": 0.875}),
        ({"interpolation": ""}, {}),
        ({"mean": ..., "std": ...}, {}),
        ({"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}, {"mean": 0.5, "std": 0.5}),
        ({"crop_border_pixels": 0, "crop_mode": None}, {}),
    ],
)
def test_every_field_of_timm_s_configuration_is_followed(timm_file, fields, expected):
    assert beside(timm_file, **fields) == replace(TIMM, **expected)


@pytest.mark.parametrize(
    ("fields", "expected", "message"),
    [
        ({"crop_mode": "border"}, {}, "crop_mode 'border', so 'center' is used"),
        ({"crop_mode": ["squash"]}, {}, r"crop_mode \['squash'\], so 'center' is used"),
        ({"interpolation": "box"}, {}, "interpolation 'box', so 'bicubic' is used"),
        ({"crop_border_pixels": 4}, {}, "crop_border_pixels 4, so 0 is used"),
        ({"crop_pct": 1.15}, {"crop_share": 0.875}, "crop_pct 1.15, so 0.875 is used"),
        (
            {"mean": "none", "crop_mode": "border", "crop_pct": 0.95},
            {"crop_share": 0.95},
            r"crop_mode 'border', so 'center' is used; mean 'none', so \(0.485, .* is used",
        ),
    ],
)
def test_what_cannot_be_followed_is_named_and_the_rest_is_kept(
    timm_file, fields, expected, message
):
    with pytest.warns(UserWarning, match=rf"config\.json has {message}"):
        found = beside(timm_file, **fields)
    assert found == replace(TIMM, **expected)


def test_a_configuration_of_timm_s_that_cannot_be_is_an_error_that_names_it(timm_file):
    with pytest.raises(ValueError, match=r"config\.json: .*each channel.* Correct it, or move it"):
        beside(timm_file, mean=(0.5, 0.4), std=(0.5, 0.5, 0.4))
    timm_file.with_name("config.json").unlink()


@pytest.mark.parametrize(
    ("place", "known"),
    [
        ("mixer_b16_224_miil-9229a591.safetensors", True),
        ("Mixer-MIIL.safetensors", True),
        ("models--timm--mixer_b16_224.miil_in21k/snapshots/0/model.safetensors", True),
        ("emiil/model.safetensors", False),
        ("miil/model.safetensors", False),  # a user's folder may hold anything
        ("smiiley.safetensors", False),
    ],
)
def test_a_released_name_counts_as_a_whole_word_in_its_place(timm_file, tmp_path, place, known):
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(timm_file, path)
    assert Checkpoint(path, MIXER_PAPER.layouts).preprocessing == (MIIL if known else None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mean": "x"}, "mean to be a number"),
        ({"mean": np.nan}, "mean to be a number"),
        ({"mean": (0.5, 0.5, 0.4), "std": (1, 2)}, "one mean and one std for each channel"),
        ({"std": 0}, "std to be above 0"),
        ({"size": (3, 0)}, "height and a width"),
        ({"size": 2.5}, "height and a width"),
        ({"size": (1, 2, 3)}, "height and a width"),
        ({"size": (True, 1)}, "height and a width"),
        ({"antialias": "yes"}, "antialias to be True or False; got 'yes'"),
        ({"crop": ["resize"]}, "crop to be a string"),
        ({"library": ["pillow"]}, "library to be a string"),
        ({"crop": "center"}, "crops by resize, resize_crop, resmall_crop; got 'center'"),
        ({"crop_share": 0}, "crop_share above 0"),
        ({"crop_share": 1.5}, "crop_share above 0"),
        ({"interpolation": "box"}, "interpolates by area.*got 'box'"),
        ({"library": "PIL"}, "library to be 'tensorflow' or 'pillow'; got 'PIL'"),
        ({"library": "pillow", "interpolation": "area"}, "with Pillow interpolates by bicubic"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Preprocessing(**arguments)


def test_numpy_s_numbers_are_python_s():
    numbers = np.float32(0.5), np.float64(2), np.int64(8), np.float32(0.5), np.True_
    mean, std, size, share, antialias = numbers
    found = Preprocessing(mean, std, size, crop_share=share, antialias=antialias)
    assert found == Preprocessing(0.5, 2.0, 8, crop_share=0.5, antialias=True)
    assert json.loads(json.dumps(found.as_dict())) == found.as_dict()


@pytest.mark.parametrize("wrong", [(1, 1), (0, np.inf), 3, "ab", (0, 1, 2), ((0, 0), (1, 0))])
def test_a_range_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match="two different numbers"):
        preprocessing(CASE.tiny(), input_range=wrong)
