"""The public names of `keras_mixer.tflite`, and those that are deprecated."""

import pytest

from keras_mixer import tflite


def test_the_old_name_of_a_recipe_s_class_works_and_names_the_new_one():
    with pytest.warns(DeprecationWarning, match=r"tflite\.QuantizationRecipe"):
        assert tflite.Recipe is tflite.QuantizationRecipe
    assert type(tflite.RECIPES["int8"]) is tflite.QuantizationRecipe


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'recipe'"):
        tflite.recipe  # noqa: B018
    assert all(hasattr(tflite, name) for name in tflite.__all__)
