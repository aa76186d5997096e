"""Gradients written by hand are those of the function."""

from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_mixer.layers import Affine, LayerNorm, LayerScale, Residual
from keras_mixer.layers.folding import affine_dense, affine_tokens_scale, dense_scale
from keras_mixer.layers.gradients import gelu, gelu_erf, gelu_tanh, norm_dense
from keras_mixer.models.mlp_mixer import MixerBlock
from tests.cases import CASES, OTHERS, WITH_TOKENS_FIRST, randomised


def values(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def gradients(function, *inputs, weights=()):
    """The function's value, and the gradients of a sum that weighs all of it."""
    inputs = [tf.constant(x) for x in inputs]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        y = function(*inputs)
        loss = tf.reduce_sum(tf.cast(y, "float32") * values(*y.shape, seed=1))
    return [y, *tape.gradient(loss, [*inputs, *weights])]


def assert_near(found, expected, tolerance):
    for one, other in zip(found, expected, strict=True):
        one, other = (ops.convert_to_numpy(ops.cast(x, "float32")) for x in (one, other))
        assert np.abs(one - other).max() <= tolerance * np.abs(other).max()


@pytest.mark.parametrize("size", [0.1, 3, 30])
@pytest.mark.parametrize("function", [gelu_tanh, gelu_erf])
def test_gelu_and_its_gradient(function, size):
    x = size * values(64, 8)
    expected = gradients(partial(ops.gelu, approximate=function is gelu_tanh), x)
    assert_near(gradients(function, x), expected, 3e-6)  # float32 rounding


@pytest.mark.parametrize("approximate", [False, True])
def test_in_bfloat16_gelu_is_that_of_float32_rounded_once(approximate):
    x = ops.cast(3 * values(64, 8), "bfloat16")
    exact = np.asarray(ops.gelu(ops.cast(x, "float32"), approximate=approximate))
    error = np.abs(np.asarray(ops.cast(gelu(x, approximate), "float32")) - exact)
    # Half of a last digit of 8 bits; far below zero, float32's rounding of 1 - erf, times x.
    assert np.all(error <= 2**-8 * np.abs(exact) + 1e-6)


def test_scales_and_shifts_in_a_product_and_their_gradients():
    shape = (5, 3, 12)  # [S, B, C]
    affine, scale = Affine(), LayerScale(0.1)
    over_channels, over_tokens = keras.layers.Dense(12), keras.layers.Dense(5)
    for layer, of in ((affine, 12), (scale, 12), (over_channels, 12), (over_tokens, 5)):
        layer.build((None, of))
        randomised(layer)

    def across_tokens(x):
        y = ops.transpose(affine(x), (1, 2, 0))
        return scale(ops.transpose(over_tokens(y), (2, 0, 1)))

    x = values(*shape)
    for function, layers, expected in (
        (affine_dense, (affine, over_channels), lambda x: over_channels(affine(x))),
        (dense_scale, (over_channels, scale), lambda x: scale(over_channels(x))),
        (affine_tokens_scale, (affine, over_tokens, scale), across_tokens),
    ):
        weights = [w.value for layer in layers for w in layer.weights]
        found = gradients(lambda x, f=function, of=layers: f(x, *of), x, weights=weights)
        assert_near(found, gradients(expected, x, weights=weights), 2e-6)  # float32 rounding


@pytest.mark.parametrize("mean", [0, 10])
@pytest.mark.parametrize("shape", [(6, 12), (3, 5, 12), (2, 3, 4, 12)])
def test_a_norm_in_a_product_and_its_gradients(shape, mean):
    norm, dense = LayerNorm(1e-3), keras.layers.Dense(7)
    norm.build(shape)
    dense.build(shape)
    randomised(norm)
    randomised(dense)
    weights = [weight.value for weight in (*norm.weights, *dense.weights)]
    x = values(*shape) + mean
    expected = gradients(lambda x: dense(norm(x)), x, weights=weights)
    found = gradients(lambda x: norm_dense(x, norm, dense), x, weights=weights)
    # Float32 rounding, of which a mean that is ten times the deviation leaves a hundredth.
    assert_near(found, expected, 1e-4 if mean else 2e-6)


@pytest.mark.parametrize("mean", [0, 1e2, 1e4])
def test_in_float32_a_norm_in_a_product_is_as_exact_as_before_it(mean):
    norm, dense = LayerNorm(), keras.layers.Dense(7)
    wide, wide_dense = LayerNorm(dtype="float64"), keras.layers.Dense(7, dtype="float64")
    for layer in (norm, dense, wide, wide_dense):
        layer.build((64, 24))
        randomised(layer)
    # A tenth is the tokens' deviation, and float32 keeps a thousandth beside a mean of 10,000.
    x = (0.1 * values(64, 24) + mean).astype(np.float32)

    def all_of(function, x, norm, dense):
        weights = [w.value for w in (*norm.weights, *dense.weights)]
        found = gradients(function, x, weights=weights)
        return [np.asarray(y, float) for y in found]

    exact = all_of(lambda x: wide_dense(wide(x)), x.astype(float), wide, wide_dense)
    before = all_of(lambda x: dense(norm(x)), x, norm, dense)
    inside = all_of(lambda x: norm_dense(x, norm, dense), x, norm, dense)
    in_float64 = all_of(
        lambda x: norm_dense(x, wide, wide_dense), x.astype(float), wide, wide_dense
    )
    rounding = np.finfo(np.float32).eps
    for found, other, double, true in zip(inside, before, in_float64, exact, strict=True):
        size = np.abs(true).max()
        # No worse than twice the error of the two layers, or a few roundings of sums of 64.
        assert np.abs(found - true).max() <= 2 * np.abs(other - true).max() + 8 * rounding * size
        assert np.abs(double - true).max() <= 1e-9 * size  # 1e-16, times mean / deviation


@pytest.mark.parametrize("mean", [0, 10, 100])
def test_in_16_bits_a_norm_in_a_product_is_as_good_as_before_it(mean):
    shape = (64, 128)
    norm, dense = (
        LayerNorm(dtype="mixed_bfloat16"),
        keras.layers.Dense(32, dtype="mixed_bfloat16"),
    )
    norm.build(shape)
    dense.build(shape)
    dense.kernel.assign(values(*dense.kernel.shape, seed=2) / 11)
    x = ops.cast(values(*shape) + mean, "bfloat16")
    z = ops.convert_to_numpy(ops.cast(x, "float32")).astype(float)
    z = (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + norm.epsilon)
    exact = z @ np.asarray(dense.kernel, float)
    before, inside = (
        np.sqrt(np.mean((np.asarray(ops.cast(y, "float32")) - exact) ** 2))
        for y in (dense(norm(x)), norm_dense(x, norm, dense))
    )
    # Of the product and what follows each is rounded; a TPU rounds once.
    assert inside < 1.5 * before


@pytest.mark.parametrize("drop_path_rate", [0, 0.5])
@pytest.mark.parametrize("remat", [False, True, "nested"])
@pytest.mark.cases(CASES, slow=OTHERS)
def test_a_block_is_one_function_in_all_its_forms(case, remat, drop_path_rate):
    *_, last = (layer for layer in case.tiny().layers if isinstance(layer, Residual))
    shape = last.input.shape[1:]
    x = values(8, *shape)

    def computed(remat, tokens_first):
        keras.utils.set_random_seed(0)
        form = {"drop_path_rate": drop_path_rate, "remat": remat}
        block = type(last).from_config(last.get_config() | form)
        block.build((None, *shape))
        block.tokens_first, block.drop_path.batch_axis = tokens_first, int(tokens_first)
        weights = [w.value for w in randomised(block).trainable_weights]
        return gradients(partial(block, training=True), x, weights=weights)

    expected = computed(False, False)
    for tokens_first in (False, True) if case in WITH_TOKENS_FIRST else (False,):
        assert_near(computed(remat, tokens_first), expected, 1e-5)  # float32 rounding


def test_a_dropped_path_is_that_of_a_sample_also_with_tokens_first():
    block = MixerBlock(6, 20, drop_path_rate=0.5, dtype="mixed_bfloat16")
    block.build((None, 5, 8))
    randomised(block)
    x = tf.constant(values(64, 5, 8))
    y = np.asarray(ops.cast(block(x, training=True) - ops.cast(x, "bfloat16"), "float32"))
    untouched = (y == 0).all(axis=(1, 2))
    assert 0.1 < untouched.mean() < 0.45  # a quarter loses both branches
    assert (np.abs(y[~untouched]).max(axis=2) > 0).all()
