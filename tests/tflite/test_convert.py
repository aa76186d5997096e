"""A converted model is the model, on LiteRT's own ops."""

import keras
import numpy as np
import pytest

import keras_mixer
from keras_mixer.tflite import RECIPES, convert, inspect
from keras_mixer.tflite._runner import Runner
from tests.cases import CASES, randomised

# Largest difference of a logit to Keras's, over the largest logit, on a tiny model with random
# weights: float32 and float16 rounding, then 8-bit weights, then 8 bits everywhere.
TOLERANCES = {"float32": 1e-5, "float16": 1e-3, "dynamic_int8": 0.03, "int8": 0.2}


@pytest.fixture(
    scope="module",
    params=[(c, r) for c in CASES for r in RECIPES],
    ids=lambda p: f"{p[0].paper}-{p[1]}",
)
def converted(request):
    case, recipe = request.param
    model = case.trained(classifier_activation=None)
    calibration = case.images(32) if RECIPES[recipe].calibrated else None
    return case, recipe, model, convert(model, recipe, calibration=calibration)


def test_every_recipe_keeps_the_logits(converted):
    case, recipe, model, content = converted
    images = case.images(32)
    expected = model.predict(images, verbose=0)
    runner = Runner(content)
    got = np.stack([runner(image) for image in images])
    assert np.abs(got - expected).max() < TOLERANCES[recipe] * np.abs(expected).max()


def test_every_recipe_takes_one_float_image_and_uses_built_in_ops(converted):
    case, recipe, _, content = converted
    runner = Runner(content)
    assert runner.shape == case.images().shape[1:]
    for tensor in (runner.input, runner.output):
        assert tensor["dtype"] == np.float32
        assert tensor["shape"][0] == 1
    found = inspect(content)
    counts = found.counts
    assert found.problem is None
    assert not [name for name in counts if name.startswith(("Flex", "CUSTOM", "NEG", "SQUARED"))]
    assert not {"SHAPE", "PACK", "GATHER"} & set(counts)  # signs of a batch that is not static
    if recipe != "int8":
        assert len(found.partitions) == 1
        assert not found.outside
    else:
        assert (counts["QUANTIZE"], counts["DEQUANTIZE"]) == (1, 1)  # at the two ends, not between


def test_a_mixed_bfloat16_model_is_converted_in_float32(case, mixed_bfloat16):
    half = case.trained(classifier_activation=None)
    keras.config.set_dtype_policy("float32")
    full = case.trained(classifier_activation=None)
    half.set_weights(full.get_weights())
    image = case.images()[0]
    from_half, from_full = (Runner(convert(model))(image) for model in (half, full))
    assert np.array_equal(from_half, from_full)


def test_calibration_is_an_array_a_data_set_or_batches_and_all_give_the_same_file(case):
    import tensorflow as tf

    model, images = case.trained(), case.images(8)
    labels = np.arange(8)
    dataset = tf.data.Dataset.from_tensor_slices((images, labels)).batch(3)
    kinds = [images, (images, labels), dataset, [images[:5], images[5:]], iter([(images, labels)])]
    first, *others = [Runner(convert(model, "int8", calibration=kind)) for kind in kinds]
    for runner in others:
        assert runner.input["quantization"] == first.input["quantization"]
        assert np.array_equal(runner(images[0]), first(images[0]))


@pytest.mark.slow
def test_mixer_b16_is_one_partition_and_within_1e_4_of_keras():
    model = randomised(keras_mixer.MixerB16(classifier_activation=None))
    content = convert(model)
    found = inspect(content)
    assert len(found.partitions) == 1
    assert not {"NEG", "SQUARED_DIFFERENCE"} & set(found.counts)
    images = np.random.default_rng(0).uniform(-1, 1, (2, 224, 224, 3)).astype(np.float32)
    expected, runner = model.predict(images, verbose=0), Runner(content)
    assert np.abs(expected).max() > 1  # so that 1e-4 means something
    for image, logits in zip(images, expected, strict=True):
        assert np.abs(runner(image) - logits).max() < 1e-4


def nothing(*args, **kwargs):
    raise AssertionError("it should have been refused before any conversion")


CASE = CASES[0]
IMAGES = CASE.images()
NAN = np.where(np.arange(4)[:, None, None, None] == 2, np.nan, IMAGES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"recipe": "int9"}, "no recipe 'int9'.*Did you mean 'int8'.*float32, float16"),
        ({"recipe": "int8"}, "'int8' needs calibration=.*got none"),
        ({"recipe": "int8", "calibration": []}, "at least one image"),
        ({"recipe": "int8", "calibration": IMAGES[0]}, r"\[N, 16, 32, 3\].*\(16, 32, 3\)"),
        ({"recipe": "int8", "calibration": IMAGES[:, :8]}, r"\[N, 16, 32, 3\].*\(4, 8, 32, 3\)"),
        ({"recipe": "int8", "calibration": [IMAGES, NAN]}, "1 of 4 hold NaN"),
        ({"recipe": "int8", "calibration": IMAGES.astype(str)}, "images of numbers"),
        ({"recipe": "float32", "calibration": IMAGES}, "'float32' takes no calibration"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_is_converted(arguments, message, monkeypatch):
    monkeypatch.setattr(keras.export, "ExportArchive", nothing)
    with pytest.raises(ValueError, match=message):
        convert(CASE.tiny(), **arguments)


def test_an_endless_data_set_is_refused(case):
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices(case.images()).batch(2).repeat()
    with pytest.raises(ValueError, match=r"without end.*take"):
        convert(case.tiny(), "int8", calibration=dataset)


def _two_inputs():
    image, other = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    return keras.Model([image, other], image + other)


def _any_size():
    image = keras.Input((None, None, 3))
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(image), name="any_size")


def _with_flex():
    image = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.ops.erf(image))
    return keras.Model(image, x, name="with_flex")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: keras.Sequential([keras.layers.Dense(2)], name="raw"), "'raw' was never built"),
        (_two_inputs, "one input and one output.*2 and 1"),
        (_any_size, r"fixed size.*'any_size' takes \(None, None, None, 3\)"),
        (lambda: keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)]), "fixed size"),
        (lambda: keras.layers.Dense(2), "Keras model; got Dense"),
        (_with_flex, "'with_flex'.*built-in ops.*Erf"),
    ],
)
def test_a_model_that_cannot_be_converted_is_refused_with_the_reason(make, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        convert(make())
