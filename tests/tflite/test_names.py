"""The public names of `keras_mixer.tflite`, and those that are deprecated."""

import pytest

from keras_mixer import tflite
from tests.cases import CASES


def test_the_old_name_of_a_recipe_s_class_works_and_names_the_new_one():
    with pytest.warns(DeprecationWarning, match=r"tflite\.QuantizationRecipe"):
        assert tflite.Recipe is tflite.QuantizationRecipe
    assert type(tflite.RECIPES["int8"]) is tflite.QuantizationRecipe


def test_old_names_of_arguments_and_fields_work_and_name_the_new_ones():
    with (
        pytest.warns(DeprecationWarning, match="use integer_io"),
        pytest.raises(ValueError, match="integer_io needs 'int8'"),
    ):
        tflite.convert(CASES[0].tiny(), "dynamic_int8", integer_ends=True)
    with pytest.raises(ValueError, match="not both"):
        tflite.convert(CASES[0].tiny(), "int8", integer_ends=False, integer_io=True)
    numbers = dict.fromkeys(("keras_accuracy", "accuracy", "agreement", "max_abs_difference"), 0.0)
    report = tflite.Report(1, 1, **numbers, worst_image=0, ms_per_image=1.0, layers=(("a", 0.2),))
    with pytest.warns(DeprecationWarning, match="use Report.first_wrong_layer"):
        assert report.departs == report.first_wrong_layer == "a"


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'recipe'"):
        tflite.recipe  # noqa: B018
    assert all(hasattr(tflite, name) for name in tflite.__all__)
