"""Keras's global settings, replaced for a while."""

import keras
import pytest

from keras_mixer._backend import settings


def now():
    config = keras.config
    return config.floatx(), config.epsilon(), config.image_data_format(), config.dtype_policy().name


def test_settings_are_keras_s_defaults_for_a_while_and_the_user_s_again_also_after_an_error():
    with settings():
        keras.config.set_floatx("float16")
        keras.config.set_epsilon(1e-3)
        keras.config.set_image_data_format("channels_first")
        keras.config.set_dtype_policy("mixed_float16")
        chosen = now()
        with pytest.raises(ZeroDivisionError), settings("mixed_bfloat16"):
            assert now() == ("float32", 1e-7, "channels_last", "mixed_bfloat16")
            1 / 0  # noqa: B018
        assert now() == chosen == ("float16", 1e-3, "channels_first", "mixed_float16")
    assert now() == ("float32", 1e-7, "channels_last", "float32")
