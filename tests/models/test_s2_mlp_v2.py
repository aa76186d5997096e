"""What only S2-MLPv2 has."""

import re

import pytest

import keras_mixer


@pytest.mark.parametrize("size", [(256, 224), (245, 252), (7, 13)])
def test_the_size_that_an_error_advises_works(size):
    sizes = {"patch_sizes": (7, 2), "widths": (8, 16), "depths": (1, 1), "channel_mlp_ratio": 2}
    with pytest.raises(ValueError, match="must be multiples of 14; got") as error:
        keras_mixer.S2MlpV2(**sizes, input_shape=(*size, 3))
    advised = re.search(r"works is (\d+) x (\d+)", str(error.value)).groups()
    keras_mixer.S2MlpV2(**sizes, input_shape=(*map(int, advised), 3))
