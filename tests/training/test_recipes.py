"""Recipes as data: what the papers say, and nothing out of range."""

import math

import numpy as np
import pytest

from keras_mixer import data
from keras_mixer.training import RECIPES, Recipe, recipe
from keras_mixer.training.optimizers import schedule

SMALL = {"name": "mine", "source": "me", "batch_size": 8, "epochs": 2, "learning_rate": 0.1}


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_names_its_source_and_can_be_changed(name):
    found = recipe(name)
    assert found.name == name
    assert len(found.source) > 10
    assert Recipe(**found.as_dict()) == found
    assert found.but(learning_rate=0.5).learning_rate == 0.5
    assert recipe(found) is found


def test_the_paper_s_pre_training_is_its_table_4():
    columns = ("epochs", "learning_rate", "weight_decay", "rand_augment_magnitude", "mixup")
    columns += ("drop_path_rate", "batch_size", "warmup", "clip_norm", "beta_1", "beta_2")
    table = {
        "mixer_imagenet1k": (300, 1e-3, 0.1, 15, 0.5, 0.1),
        "mixer_b_imagenet21k": (300, 1e-3, 0.1, 10, 0.2, 0.1),
        "mixer_l_imagenet21k": (300, 1e-3, 0.1, 20, 0.5, 0.1),
    }
    for name, row in table.items():
        found = RECIPES[name].as_dict()
        assert tuple(found[c] for c in columns) == (*row, 4096, 10_000, 1.0, 0.9, 0.999)
        assert (found["rand_augment_layers"], found["schedule"]) == (2, "linear")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("learning_rate", 0, "learning_rate must be a number above 0, not 0"),
        ("learning_rate", math.nan, "above 0, not nan"),
        ("learning_rate", math.inf, "above 0, not inf"),
        ("learning_rate", "0.1", "above 0, not '0.1'"),
        ("batch_size", 0, "batch_size must be a whole number of at least 1, not 0"),
        ("batch_size", 8.0, "at least 1, not 8.0"),
        ("batch_size", True, "at least 1, not True"),
        ("flip", 1, "flip must be true or false, not 1"),
        ("mixup", -0.1, "mixup must be a number of at least 0"),
        ("cutmix", 1.5, "cutmix must be a number from 0 to 1"),
        ("drop_path_rate", 1.0, "drop_path_rate must be a number from 0 to below 1"),
        ("ema", 1, "from 0 to below 1, not 1"),
        ("crop", "centre", "crop must be one of inception, shift, resize, not 'centre'"),
        ("optimizer", "adam", "adamw, lamb, sgd, muon, not 'adam'"),
        ("head_bias", math.inf, "head_bias must be a finite number"),
        ("accumulate", 3, "batch_size must be a multiple of accumulate, not 8"),
        ("steps", 5, r"either epochs or steps must be given, not 2 and 5"),
        ("warmup", -1, "warmup must be a number of at least 0"),
        ("epochs", None, "either epochs or steps must be given, not None and None"),
        ("learning_rate", None, "above 0, not None"),
    ],
)
def test_a_value_out_of_range_is_an_error(field, value, message):
    with pytest.raises(ValueError, match=rf"Recipe 'mine' cannot be used: .*{message}"):
        Recipe(**SMALL | {field: value})


def test_a_warm_up_without_an_end_is_an_error():
    with pytest.raises(ValueError, match="warmup must be shorter than its 500 steps, not 500"):
        RECIPES["fine_tuning"].but(steps=500)
    assert RECIPES["fine_tuning"].but(steps=500, warmup=0.2).steps == 500
    with pytest.raises(ValueError, match="needs a warmup shorter than its 40 updates; got 40"):
        schedule(Recipe(**SMALL | {"warmup": 40}), 40)


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(ValueError, match=r"mixup must be .*; momentum must be"):
        Recipe(**SMALL, mixup=-1, momentum=2)


def test_a_field_that_does_not_exist_is_an_error_that_knows_better():
    with pytest.raises(ValueError, match=r"no 'lr'\. It has name, source"):
        Recipe(**SMALL).but(lr=1)
    with pytest.raises(ValueError, match=r"no 'learning_rat'\. Did you mean 'learning_rate'\?"):
        Recipe(**SMALL).set("learning_rat=0.1")
    with pytest.raises(ValueError, match=r"no recipe 'resnet50'\. There are mixer_imagenet1k"):
        recipe("resnet50")


def test_fields_are_set_from_text():
    changed = Recipe(**SMALL).set("steps=7", "flip=False", "crop=shift", "mixup=1e-1")
    assert (changed.steps, changed.epochs, changed.flip) == (7, None, False)
    assert (changed.crop, changed.mixup) == ("shift", 0.1)
    for text in ("steps=some", "flip=perhaps", "batch_size=1.5", "crop"):
        with pytest.raises(ValueError, match="must be"):
            Recipe(**SMALL).set(text)


def rates(recipe, steps, at):
    made = schedule(recipe, steps)
    return [float(made(step)) for step in at]


def test_rates_rise_and_fall_as_in_the_official_code():
    # create_learning_rate_schedule of big_vision/utils.py, by hand.
    linear = Recipe(**SMALL | {"learning_rate": 2.0, "schedule": "linear", "warmup": 10})
    np.testing.assert_allclose(
        rates(linear, 110, (0, 5, 10, 60, 110)),
        (0, 1.0, 2.0, 2 * (1e-5 + (1 - 1e-5) * 0.5), 2e-5),
        rtol=1e-5,
    )
    cosine = Recipe(**SMALL | {"learning_rate": 2.0, "warmup": 10})
    np.testing.assert_allclose(
        rates(cosine, 110, (5, 10, 35, 60, 110)),
        (1.0, 2.0, 1 + math.cos(math.pi / 4), 1.0, 0.0),
        atol=1e-6,
    )
    constant = Recipe(**SMALL | {"schedule": "constant"})
    assert rates(constant, 5, (0, 4)) == pytest.approx([0.1, 0.1])


def test_a_warm_up_below_1_is_a_share_and_accumulation_counts_updates():
    share = Recipe(**SMALL | {"warmup": 0.1, "accumulate": 4})
    whole = Recipe(**SMALL | {"warmup": 10})
    assert rates(share, 100, (0, 20, 43, 200)) == rates(whole, 100, (0, 5, 10, 50))


def test_tasks_bring_their_length_and_what_keeps_their_labels():
    found = RECIPES["fine_tuning"].for_task("vtab/norb_azimuth")
    assert (found.steps, found.warmup, found.flip, found.crop) == (2500, 200, False, "inception")
    assert RECIPES["fine_tuning"].for_task("vtab/kitti").crop == "resize"
    assert RECIPES["fine_tuning"].for_task("pets").steps == 500
    assert len([name for name in data.TASKS if name.startswith("vtab/")]) == 19
    with pytest.raises(ValueError, match=r"no task 'pet'\. Did you mean 'pets'"):
        RECIPES["fine_tuning"].for_task("pet")
