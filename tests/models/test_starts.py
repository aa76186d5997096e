"""What weights start at, where the source says it."""

import keras
import numpy as np
import pytest

import keras_mixer
from keras_mixer.layers.affine import layer_scale
from keras_mixer.models.res_mlp import RES_MLP

ENOUGH = 0.03  # of 4,096 draws or more: five times the deviation of a deviation, relative to it


def values(weight):
    return keras.ops.convert_to_numpy(weight)


def is_uniform_within(kernel, bound):
    kernel = values(kernel)
    assert np.abs(kernel).max() <= bound
    assert kernel.std() == pytest.approx(bound / 3**0.5, rel=ENOUGH)


def is_near_zero(weight):
    assert values(weight).std() == pytest.approx(1e-6, rel=0.5)  # of few draws


def test_gmixer_starts_as_timm_s_does():
    """In timm `expand` and `gate` are one layer; Xavier's bound counts the units of both."""
    block = keras_mixer.GMixer12().get_layer("block_3")
    for mlp, width, hidden in (block.token_mlp, 196, 192), (block.channel_mlp, 384, 768):
        is_uniform_within(mlp.expand.kernel, (6 / (width + 2 * hidden)) ** 0.5)
        is_uniform_within(mlp.project.kernel, (6 / (width + hidden)) ** 0.5)
        is_near_zero(mlp.gate.kernel)
        assert np.all(values(mlp.gate.bias) == 1)
        is_near_zero(mlp.expand.bias)
        is_near_zero(mlp.project.bias)


def test_gmlp_starts_as_timm_s_does():
    block = keras_mixer.GMlpTi().get_layer("block_3")
    is_uniform_within(block.expand.kernel, (6 / (128 + 768)) ** 0.5)
    is_uniform_within(block.project.kernel, (6 / (384 + 128)) ** 0.5)
    is_near_zero(block.token_dense.kernel)
    assert np.all(values(block.token_dense.bias) == 1)
    is_near_zero(block.expand.bias)
    is_near_zero(block.project.bias)


def ccs(backbone, depth):
    return keras_mixer.Ccs(
        patch_size=16,
        width=64,
        depth=depth,
        groups=4,
        channel_mlp_dim=128,
        backbone=backbone,
        input_shape=(32, 32, 3),
    )


def test_ccs_in_mixer_starts_as_mixer_does():
    model = ccs("mixer", 1)
    mlp = model.get_layer("block_0").channel_mlp
    for kernel in (model.get_layer("stem").kernel, mlp.expand.kernel, mlp.project.kernel):
        fan_in = np.prod(kernel.shape[:-1])
        assert values(kernel).std() == pytest.approx(fan_in**-0.5, rel=ENOUGH)


def test_ccs_in_resmlp_starts_as_resmlp_does():
    model = ccs("res_mlp", 1)
    mlp = model.get_layer("block_0").channel_mlp
    is_uniform_within(model.get_layer("stem").kernel, (16 * 16 * 3) ** -0.5)
    for kernel in (mlp.expand.kernel, mlp.project.kernel):
        assert values(kernel).std() == pytest.approx(0.02, rel=ENOUGH)


@pytest.mark.parametrize(("depth", "start"), [(12, 0.1), (24, 1e-5), (36, 1e-6)])
def test_the_scales_of_ccs_in_resmlp_start_by_its_depth(depth, start):
    block = ccs("res_mlp", depth).get_layer(f"block_{depth - 1}")
    for scale in (block.token_scale, block.channel_scale):
        assert np.array_equal(scale.gamma, np.full(64, start, np.float32))


@pytest.mark.parametrize("name", ["ResMlpS12", "ResMlpS24", "ResMlpS36"])
def test_resmlp_s_own_scales_are_those_by_depth(name):
    sizes = RES_MLP.variants[name].sizes
    assert layer_scale(sizes["depth"]) == sizes["layer_scale"]
