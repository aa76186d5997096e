"""Models by name."""

import pytest

import keras_mixer


def test_names_are_listed_in_the_order_of_the_table_and_by_pattern():
    assert keras_mixer.list_models()[:8] == [
        *("MixerS32", "MixerS16", "MixerS8", "MixerB32"),
        *("MixerB16", "MixerL32", "MixerL16", "MixerH14"),
    ]
    assert keras_mixer.list_models("mixer?16") == ["MixerS16", "MixerB16", "MixerL16"]
    assert keras_mixer.list_models("Mixer*9") == []


def test_a_model_by_name_is_the_builder_s():
    model = keras_mixer.create_model("MixerS32", classes=3, name="mine")
    assert model.name == "mine"
    assert model.output_shape == (None, 3)


@pytest.mark.parametrize("name", ["MixerB61", "mixer_b16", "mixer-b16", "mixerb16"])
def test_a_name_nearly_right_is_answered_with_the_right_one(name):
    with pytest.raises(ValueError, match=f"{name}.*Did you mean 'MixerB16'"):
        keras_mixer.create_model(name)


def test_a_name_far_off_is_answered_with_all_names():
    with pytest.raises(ValueError, match=r"resnet50.*MixerS32, .*MlpMixer"):
        keras_mixer.create_model("resnet50")


def test_create_model_hands_a_misspelt_argument_to_the_builder():
    with pytest.raises(TypeError, match=r"MixerS32\(\).*'clases'.*'classes'"):
        keras_mixer.create_model("MixerS32", clases=3)
