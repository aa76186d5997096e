"""Files that ARM CPUs compute in float16: this CPU computes them so too, for these tests."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_mixer.tflite import RECIPES, convert, verify
from keras_mixer.tflite._litert import Float16Runner
from keras_mixer.tflite.file.content import with_entries
from keras_mixer.tflite.file.precision import ENTRY, FLOAT16, computes_in_float16
from keras_mixer.tflite.run.runner import Runner
from tests.cases import CASES, OTHERS
from tests.tflite.files import tiny_file

MIXER = CASES[0]


def in_float16(content, images):
    try:
        runner = Float16Runner(content, 1)
    except ValueError as error:
        pytest.skip(f"this CPU has no float16 arithmetic: {error}")
    with runner as run:
        return np.stack([run(image) for image in images])


@pytest.mark.cases(CASES, slow=CASES[1:])
@pytest.mark.parametrize("recipe", RECIPES)
def test_only_the_recipe_float16_is_computed_in_it(recipe, case):
    assert computes_in_float16(tiny_file(recipe, case)) == (recipe == "float16")


def test_any_recipe_with_float_ops_can_be_computed_in_float16_or_not():
    model = MIXER.trained(depth=1)
    assert computes_in_float16(convert(model, "float32", float16_arithmetic=True))
    assert not computes_in_float16(convert(model, "float16", float16_arithmetic=False))
    dynamic = convert(model, "dynamic_int8", float16_arithmetic=True)
    assert computes_in_float16(dynamic)
    assert verify(model, dynamic, MIXER.images(8)).max_abs_difference < 0.01  # of probabilities
    for recipe in ("int8", "int16x8"):
        with pytest.raises(ValueError, match=r"integers alone; float16_arithmetic .* 'float32', "):
            convert(model, recipe, float16_arithmetic=True, calibration=MIXER.images(8))


@pytest.mark.cases(CASES, slow=OTHERS)
def test_in_float16_the_scores_stay_near(case):
    content, images = tiny_file("float16", case), case.images(8)
    assert computes_in_float16(content)
    runner = Runner(content)
    expected = np.stack([runner(image) for image in images])
    found = in_float16(content, images)
    assert 0 < np.abs(found - expected).max() < 2e-2 * np.abs(expected).max()


@pytest.mark.parametrize("size", [1e-3, 1, 1e3])
def test_norms_stay_in_range_at_any_size_of_the_residual_stream(size):
    """A norm divides by it, so the scores are the same but for epsilon."""
    model = MIXER.trained(depth=2)
    for weight in model.weights:
        if weight.path.startswith("stem") or "project" in weight.path:
            weight.assign(weight * size)
    content, images = convert(model, "float16"), [*MIXER.images(4), 0 * MIXER.images(1)[0]]
    runner = Runner(content)
    expected = np.stack([runner(image) for image in images])
    off = np.abs(in_float16(content, images) - expected).max()
    assert off < 2e-2 * np.abs(expected).max()


def test_numbers_beyond_float16_are_refused_with_the_layer():
    model = MIXER.trained(depth=1)
    stem = model.get_layer("stem")
    stem.kernel.assign(stem.kernel * 1e6)
    for images in (None, MIXER.images(2)):
        with pytest.raises(ValueError, match=r"on 2 images .*: 'stem' up to .*e\+0"):
            convert(model, "float16", calibration=images)
    stem.kernel.assign(stem.kernel / 1e3)
    convert(model, "float16")
    bright = 1e3 * MIXER.images(3)
    with pytest.raises(ValueError, match=r"on 3 images .*: 'stem' up to"):
        convert(model, "float16", calibration=bright, input_range=(-1e3, 1e3))


def test_verify_computes_as_the_phone_does():
    model = MIXER.trained(depth=1)
    images = MIXER.images(4)
    content = convert(model, "float16")
    report = verify(model, content, images)
    in_float16(content, images)  # skips where it cannot
    assert report.float16
    assert report.max_abs_difference > 1e-5
    assert "computed in float16" in str(report)
    assert verify(model, convert(model), images).float16 is None

    # What `convert` would refuse.
    stem = model.get_layer("stem")
    stem.kernel.assign(stem.kernel * 1e6)
    report = verify(model, with_entries(convert(model), {ENTRY: FLOAT16}, "test"), images)
    assert report.not_finite == len(images)


def test_other_layers_norms_are_looked_at_too():
    """Keras's LayerNormalization squares differences, which float16 may not hold."""
    image = keras.Input((4, 4, 3))
    x = layers.Dense(8, name="large")(image)
    x = layers.LayerNormalization(name="norm")(x)
    model = keras.Model(image, layers.Dense(3, name="head")(layers.Flatten()(x)))
    large = model.get_layer("large")
    large.kernel.assign(large.kernel * 1e3)
    with pytest.raises(ValueError, match="'norm' up to"):
        convert(model, "float16")
    assert not computes_in_float16(convert(model, "float16", float16_arithmetic=False))
