"""Layers are quantised one at a time, and the worst stands first."""

import numpy as np
import pytest

from keras_mixer.tflite import convert, sensitivity, verify
from keras_mixer.tflite.convert.layer_names import layer_paths
from tests.cases import CASES

CASE = CASES[0]
IMAGES = CASE.images(16)


def fragile():
    """A model one of whose layers has inputs that no 8 bits can hold."""
    model = CASE.trained(classifier_activation=None)
    layer = model.get_layer("block_1").channel_mlp.project
    kernel = np.array(layer.kernel)
    kernel[0] *= 300  # so the step of each column of weights is too coarse for all its others
    layer.kernel.assign(kernel)
    return model


def test_the_layer_that_cannot_be_quantised_stands_first_and_is_cured_in_float():
    model = fragile()
    losses = sensitivity(model, "dynamic_int8", IMAGES)
    products = {p for p in layer_paths(model) if p.endswith(("expand", "project"))}
    assert {loss.layer for loss in losses} == {*products, "stem", "head"}
    worst = losses[0]
    assert worst.layer == "block_1/channel_mlp/project"
    assert worst.error == max(loss.error for loss in losses) > 3 * losses[1].error
    assert all(0 <= loss.agreement <= 1 for loss in losses)

    whole = verify(model, convert(model, "dynamic_int8"), IMAGES)
    cured = verify(model, convert(model, "dynamic_int8", keep_float=[worst.layer]), IMAGES)
    assert cured.max_abs_difference < whole.max_abs_difference / 2


@pytest.mark.slow
def test_every_op_has_its_turn_where_a_recipe_is_for_every_op():
    seen = []

    def progress(layers):
        seen.extend(layers)
        return layers

    model = CASE.trained(depth=1)
    losses = sensitivity(model, "int8", IMAGES, calibration=IMAGES, count=2, progress=progress)
    assert sorted(seen) == sorted(loss.layer for loss in losses)
    assert {"block_0", "block_0/token_norm", "block_0/token_mlp", "norm"} <= {
        loss.layer for loss in losses
    }
    assert all(loss.error > 0 for loss in losses)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"recipe": "float32"}, "nothing is quantised"),
        ({"recipe": "int9"}, "no recipe 'int9'"),
        ({"recipe": "int8"}, "needs calibration="),
        ({"recipe": "dynamic_int8", "data": IMAGES[:, :8]}, r"\[N, 16, 32, 3\]"),
        ({"recipe": "dynamic_int8", "data": []}, "at least one image"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        sensitivity(CASE.tiny(), **{"data": IMAGES, **arguments})
