"""Every recipe of the paper's sizes. Takes long; `.ci/run` runs S/32's."""

import numpy as np
import pytest

import keras_mixer
from keras_mixer.tflite import RECIPES, convert, verify
from tests.cases import randomised
from tests.tflite.convert.test_convert import TOLERANCES

# Computed in float16, whose numbers round by 5e-4, through up to 24 blocks.
IN_FLOAT16 = 0.02

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["MixerS32", "MixerS16", "MixerB16", "MixerL16"])
def model(request):
    return randomised(getattr(keras_mixer, request.param)(classifier_activation=None))


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_converts_runs_and_verifies(model, recipe):
    images = np.random.default_rng(0).uniform(-1, 1, (4, 224, 224, 3)).astype(np.float32)
    calibration = images if RECIPES[recipe].calibrated else None
    # S/32 mixes 49 tokens, an odd number.
    odd = (model.name, recipe) == ("mixer_s32", "dynamic_int4")
    keep = ["*/token_mlp/expand"] if odd else ()
    content = convert(model, recipe, calibration=calibration, keep_float=keep)
    report = verify(model, content, images[:2])
    largest = np.abs(model.predict(images[:2], verbose=0)).max()
    tolerance = IN_FLOAT16 if report.float16 else TOLERANCES[recipe]
    assert report.max_abs_difference < tolerance * largest
