"""What each layer computes, and what it refuses."""

import keras
import numpy as np
import pytest

from keras_mixer import layers
from keras_mixer.layers import (
    Affine,
    BatchNorm,
    Circulant,
    Dense,
    DropPath,
    GatedMlp,
    LayerNorm,
    LayerScale,
    Level,
    Mlp,
    PatchEmbed,
    SpatialShift,
    SplitAttention,
    drop_path_rates,
)
from keras_mixer.layers.norm import FORMS
from keras_mixer.models.hire_mlp import RegionMlp
from tests import oracles
from tests.cases import randomised

# A layer, and what is special in a row -> a function that makes it, and the shape of its input.
LAYERS = {
    "Affine": (lambda **dtype: Affine(0.5, **dtype), (2, 5, 8)),
    "BatchNorm": (lambda **dtype: BatchNorm(**dtype), (2, 4, 6, 8)),
    "Circulant": (lambda **dtype: Circulant(2, **dtype), (2, 8, 5)),
    "Circulant by FFT": (lambda **dtype: Circulant(2, fft=True, **dtype), (2, 8, 5)),
    "Dense": (lambda **dtype: Dense(6, **dtype), (2, 1, 25, 8)),
    "DropPath": (lambda **dtype: DropPath(0.3, seed=1, **dtype), (2, 5, 8)),
    "GatedMlp": (lambda **dtype: GatedMlp(6, **dtype), (2, 5, 8)),
    "LayerNorm": (lambda **dtype: LayerNorm(1e-5, **dtype), (2, 5, 8)),
    "LayerScale": (lambda **dtype: LayerScale(0.5, **dtype), (2, 5, 8)),
    "Level": (lambda **dtype: Level(4, **dtype), (2, 4, 6, 8)),
    "Mlp": (lambda **dtype: Mlp(6, "erf", **dtype), (2, 5, 8)),
    "PatchEmbed": (lambda **dtype: PatchEmbed(8, 2, **dtype), (2, 4, 6, 3)),
    "PatchEmbed of a map": (lambda **dtype: PatchEmbed(8, 4, as_map=True, **dtype), (2, 8, 12, 16)),
    "RegionMlp of rows": (lambda **dtype: RegionMlp(1, 4, 1, **dtype), (2, 7, 6, 16)),
    "RegionMlp of columns": (lambda **dtype: RegionMlp(2, 4, 1, **dtype), (2, 6, 7, 16)),
    "SpatialShift": (lambda **dtype: SpatialShift(**dtype), (2, 4, 6, 8)),
    "SplitAttention": (lambda **dtype: SplitAttention(**dtype), [(2, 4, 6, 8)] * 3),
}
EVERY = pytest.mark.parametrize("name", LAYERS)


def built(name, **dtype):
    make, shape = LAYERS[name]
    layer = make(**dtype)
    layer.build(shape)
    random = np.random.default_rng(0)

    def input_(shape):
        return random.normal(size=shape).astype(np.float32)

    x = [*map(input_, shape)] if isinstance(shape, list) else input_(shape)
    return randomised(layer), x


def shapes(x):
    return [each.shape for each in x] if isinstance(x, list) else x.shape


def weights(layer):
    return {f"it/{w.name}": keras.ops.convert_to_numpy(w) for w in layer.weights}


def test_every_layer_has_a_row():
    others = {"ImagePreprocessing", "Residual"}  # tests of their own
    public = {name for name in layers.__all__ if name[0].isupper()} - others
    assert public <= {name.split()[0] for name in LAYERS}


@EVERY
def test_a_layer_comes_back_from_its_config_and_computes_the_same(name):
    layer, x = built(name)
    again = type(layer).from_config(layer.get_config())
    again.build(shapes(x))
    again.set_weights(layer.get_weights())
    assert np.array_equal(layer(x), again(x))


@EVERY
def test_a_model_with_it_is_saved_and_loaded(name, tmp_path):
    layer, x = built(name)
    image = keras.tree.map_structure(lambda x: keras.Input(x.shape[1:]), x)
    keras.Model(image, layer(image)).save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert np.array_equal(again(x), layer(x))


@EVERY
def test_the_shape_it_promises_is_the_shape_it_gives(name):
    layer, x = built(name)
    assert layer.compute_output_shape(shapes(x)) == layer(x).shape
    image = keras.tree.map_structure(lambda x: keras.Input(x.shape[1:]), x)
    assert layer(image).shape == (None, *layer(x).shape[1:])


@EVERY
def test_in_mixed_bfloat16_it_stays_near_float32(name):
    layer, x = built(name)
    half, _ = built(name, dtype="mixed_bfloat16")
    assert half(x).dtype == "bfloat16"
    exact, rounded = (
        keras.ops.convert_to_numpy(keras.ops.cast(f(x), "float32")) for f in (layer, half)
    )
    # bfloat16 keeps 8 bits: 2^-8 a number, and a few roundings on the way
    assert np.abs(exact - rounded).max() < 4 * 2**-8 * max(1, np.abs(exact).max())


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (SpatialShift(), (None, 9, 8), r"\[B, h, w, C\] with C of .* got shape \(None, 9, 8\)"),
        (SpatialShift(), (None, 3, 3, None), "with C of a fixed size"),
        (SpatialShift(), (None, 3, 3, 6), "channels that 4 divides; got 6"),
        (Circulant(2), (None, 8, 3, 3), r"\[B, C, N\] with C, N of"),
        (Circulant(2), (None, 8, None), r"got shape \(None, 8, None\)"),
        (SplitAttention(), (None, 3, 3, 8), r"a list of two branches .* got \(None, 3, 3, 8\)"),
        (SplitAttention(), [(None, 3, 3, 8), (None, 1, 3, 8)], "branches or more of one shape"),
        (SplitAttention(), [(None, 3, 3, 8)], "two branches or more"),
        (RegionMlp(1, 2), (None, None, 3, 8), "with h, w, C of a fixed size"),
        (RegionMlp(1, 2), (None, 3, 3, 5), "channels that 2 divides; got 5"),
    ],
)
def test_an_input_of_another_kind_is_refused(layer, shape, message):
    with pytest.raises(ValueError, match=rf"{type(layer).__name__} '.*' needs .*{message}"):
        layer.build(shape)


def test_regions_are_of_rows_or_columns():
    with pytest.raises(ValueError, match=r"needs axis to be 1 or 2; got 3\."):
        RegionMlp(3, 2)
    with pytest.raises(ValueError, match=r"needs size to be a whole number of at least 1; got 0\."):
        RegionMlp(1, 0)


def test_layer_norm_is_keras_s_function():
    ours, x = built("LayerNorm")
    theirs = keras.layers.LayerNormalization(epsilon=1e-5)
    theirs.build(x.shape)
    theirs.set_weights(ours.get_weights())
    assert np.allclose(ours(x), theirs(x), rtol=1e-5, atol=1e-6)  # float32 rounding


def test_layer_norm_in_mixed_bfloat16_is_float32_rounded_once():
    """Statistics and weights in bfloat16 would show: these numbers near 1000 differ by little."""
    full, _ = built("LayerNorm")
    half, _ = built("LayerNorm", dtype="mixed_bfloat16")
    x = keras.ops.cast(1000 + 8 * np.random.default_rng(0).normal(size=(2, 5, 8)), "bfloat16")
    expected = keras.ops.cast(full(keras.ops.cast(x, "float32")), "bfloat16")
    assert np.array_equal(half(x), expected)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_layer_norm_is_the_same_with_the_tokens_first(dtype):
    layer, x = built("LayerNorm", dtype=dtype)
    expected = keras.ops.cast(layer(x), "float32")
    layer.tokens_first = True
    assert np.array_equal(keras.ops.cast(layer(x), "float32"), expected)


@pytest.mark.parametrize("form", FORMS)
def test_layer_norm_stands_the_constant_token(form):
    layer, x = built("LayerNorm")
    layer.form = form
    assert np.allclose(layer(np.ones_like(x)), weights(layer)["it/beta"], rtol=1e-6)


@pytest.mark.parametrize("form", FORMS[1:])
@pytest.mark.parametrize("size", [1e-4, 1, 1e4])
def test_all_forms_of_layer_norm_are_one_function(size, form):
    """Of tokens loud and quiet, down to where epsilon is what counts."""
    layer, x = built("LayerNorm")
    x = size * np.geomspace(1e-3, 1e3, x.shape[1])[:, None] * x
    expected = layer(x)
    layer.form = form
    assert np.abs(layer(x) - expected).max() < 1e-5 * np.abs(expected).max()  # float32 rounding


def test_of_16_bits_layer_norm_takes_the_variance_in_one_pass_to_no_loss():
    """Also of a token whose mean is far from zero, for which one pass is the worse way."""
    layer, _ = built("LayerNorm", dtype="mixed_bfloat16")
    full, _ = built("LayerNorm")
    x = np.random.default_rng(0).normal(size=(2, 5, 8)) + np.geomspace(0.1, 100, 5)[:, None]
    x = keras.ops.cast(x, "bfloat16")
    expected = np.asarray(full(keras.ops.cast(x, "float32")))
    error = np.abs(np.asarray(keras.ops.cast(layer(x), "float32")) - expected)
    assert error.max() < 2**-8 * np.abs(expected).max()  # half a bfloat16's last digit, and half


def test_layer_norm_without_gamma_and_beta_only_normalises():
    layer = LayerNorm(affine=False)
    x = np.random.default_rng(0).normal(3, 5, (4, 64)).astype(np.float32)
    y = np.asarray(layer(x))
    assert layer.weights == []
    assert np.allclose([y.mean(-1), y.std(-1)], [[0] * 4, [1] * 4], atol=1e-5)


def test_layer_norm_knows_its_forms():
    with pytest.raises(ValueError, match=r"'it' needs form to be one of 'centred', .*; got 'x'"):
        LayerNorm(form="x", name="it")


def test_mlp_is_dense_gelu_dense():
    layer, x = built("Mlp")
    (w1, b1, w2, b2) = layer.get_weights()
    exact = oracles.gelu_erf(x.astype(float) @ w1 + b1) @ w2 + b2
    assert np.abs(layer(x) - exact).max() < 1e-5 * np.abs(exact).max()  # float32 rounding


def test_patch_embedding_projects_patch_after_patch():
    layer, x = built("PatchEmbed")
    exact = oracles.patches(x.astype(float), weights(layer), "it")
    assert np.abs(layer(x) - exact).max() < 1e-5 * np.abs(exact).max()  # float32 rounding


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((None, 30, 32, 3), r"multiples of 4; got 30 x 32.*32 x 32"),
        ((None, 1, 32, 3), r"multiples of 4; got 1 x 32.*4 x 32"),
        ((None, None, 32, 3), "fixed size"),
        ((None, 32, 3), "fixed size"),
    ],
)
def test_patch_embedding_refuses_an_image_that_it_cannot_cut(shape, message):
    with pytest.raises(ValueError, match=f"'stem'.*{message}"):
        PatchEmbed(8, 4, name="stem").build(shape)


def test_patch_embedding_refuses_an_empty_patch():
    with pytest.raises(ValueError, match=r"'stem' needs patch_size to be .* at least 1; got 0"):
        PatchEmbed(8, 0, name="stem")


def test_drop_path_drops_whole_samples_and_rescales_the_others():
    layer = DropPath(0.25, seed=0)
    x = np.random.default_rng(0).uniform(1, 2, (4000, 3, 2)).astype(np.float32)
    y = np.asarray(layer(x, training=True))
    dropped = (y == 0).all(axis=(1, 2))
    assert np.allclose(y[~dropped], x[~dropped] / 0.75, rtol=1e-6)
    # 4,000 draws of probability 1/4 have a standard deviation of 0.0068; five of them
    assert abs(dropped.mean() - 0.25) < 5 * 0.0068


def test_drop_path_draws_anew_each_time_and_does_nothing_in_inference():
    layer = DropPath(0.5, seed=0)
    x = np.ones((64, 1), np.float32)
    assert not np.array_equal(layer(x, training=True), layer(x, training=True))
    assert np.array_equal(layer(x, training=False), x)
    assert np.array_equal(layer(x), x)


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5])
def test_drop_path_refuses_a_rate_that_is_no_probability_of_dropping(rate):
    with pytest.raises(ValueError, match=rf"rate in \[0, 1\); got {rate}"):
        DropPath(rate)


def test_the_ramp_of_one_block_does_not_drop():
    assert drop_path_rates(0.3, 1) == [0]
    assert drop_path_rates(0.3, 4)[-1] == pytest.approx(0.3, rel=1e-12)


def test_mlp_refuses_a_gelu_that_it_does_not_know():
    with pytest.raises(ValueError, match="'tanh' or 'erf'; got 'gelu'"):
        Mlp(8, "gelu")


@pytest.mark.parametrize("shape", [(2, 1, 25, 8), (3, 25, 1, 8), (1, 1, 1, 8), (2, 25, 8), (2, 8)])
def test_a_dense_layer_is_right_on_a_map_of_one_row(shape):
    """TensorFlow reads beyond the kernel there; its answers are noise, and often it ends."""
    layer = Dense(64)
    layer.build(shape)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    kernel, bias = layer.get_weights()
    assert np.allclose(layer(x), x @ kernel + bias, atol=1e-5)


@pytest.mark.parametrize("channels", [2, 5, 6])
def test_split_attention_refuses_channels_that_4_does_not_divide(channels):
    with pytest.raises(ValueError, match=f"'it' needs channels that 4 divides; got {channels}"):
        SplitAttention(name="it").build([(None, 4, 4, channels)] * 3)
