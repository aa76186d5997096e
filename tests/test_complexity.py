"""Multiply-accumulate operations."""

import csv

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_mixer
from keras_mixer.models.architecture import COUNTED
from tests.cases import PILOTS, SMALLEST
from tests.counted import counted
from tests.marks import slow

# In billions at 224 x 224: as published, or, where papers say less or count otherwise, as computed
# by hand from the sizes. A paper's FLOPs are taken as they are, and those of gMLP are halved.
PUBLISHED = {
    "MixerB16": 12.6,
    "ResMlpS12": 3.0,
    "ResMlpS24": 6.0,
    "ResMlpS36": 8.9,
    "ResMlpB24": 100.2,
    "GMlpTi": 1.329,
    "GMlpS": 4.392,
    "GMlpB": 31.6 / 2,
    "GMixer12": 2.66,
    "GMixer24": 5.26,
    "CcsMixerB16": 11.57,
    "CcsResMlpS36": 8.91,
    "S2MlpWide": 14.0,
    "S2MlpDeep": 10.5,
    "S2MlpV2Small7": 6.9,
    "S2MlpV2Medium7": 16.3,
    "HireMlpTiny": 2.144,
    "HireMlpSmall": 4.2,
    "HireMlpBase": 8.1,
    "HireMlpLarge": 13.4,
}


@pytest.fixture(scope="module")
def rows():
    with COUNTED.open() as file:
        return {row["model"]: row for row in csv.DictReader(file)}


SMALL = [SMALLEST[case.architecture] for case in PILOTS]


@pytest.mark.parametrize(
    "name", [name if name in SMALL else slow(name) for name in keras_mixer.list_models()]
)
def test_the_file_has_what_is_counted(name, rows):
    found = {key: str(value) for key, value in counted(name).items()}
    assert rows[name] == found, "write the file anew: python -m tests.counted"


def test_the_file_has_the_models_in_their_order(rows):
    assert [*rows] == keras_mixer.list_models()


@pytest.mark.parametrize("name", PUBLISHED)
def test_it_is_what_papers_say(name):
    assert getattr(keras_mixer, name).macs == pytest.approx(PUBLISHED[name] * 1e9, rel=0.01)


def out(side, kernel, stride=1, dilation=1):
    """The length of a convolution's output without padding."""
    return (side - dilation * (kernel - 1) - 1) // stride + 1


L = keras.layers
# For a map of H x W with C channels, or S tokens. With 'same' padding an output is as large as the
# input; a transposed convolution multiplies each value of its input by a whole kernel.
H, W, D, C, S = 10, 11, 7, 4, 5
MAP, VOLUME, TOKENS = (H, W, C), (H, W, D, C), (S, C)
LAYERS = {
    "Dense": (L.Dense(6), (C,), C * 6),
    "Dense on tokens": (L.Dense(6), TOKENS, S * C * 6),
    "Dense on maps": (L.Dense(6), MAP, H * W * C * 6),
    "Conv1D": (L.Conv1D(6, 3, 2), TOKENS, out(S, 3, 2) * 3 * C * 6),
    "Conv2D": (L.Conv2D(6, 3, 2), MAP, out(H, 3, 2) * out(W, 3, 2) * 9 * C * 6),
    "Conv2D, same": (L.Conv2D(6, 3, padding="same"), MAP, H * W * 9 * C * 6),
    "Conv2D, oblong": (L.Conv2D(6, (1, 3)), MAP, H * out(W, 3) * 3 * C * 6),
    "Conv2D, channels first": (
        L.Conv2D(6, 3, data_format="channels_first"),
        (C, H, W),
        out(H, 3) * out(W, 3) * 9 * C * 6,
    ),
    "Conv3D": (L.Conv3D(6, 3), VOLUME, out(H, 3) * out(W, 3) * out(D, 3) * 27 * C * 6),
    "grouped 1D": (L.Conv1D(6, 3, groups=2), TOKENS, out(S, 3) * 3 * (C // 2) * 6),
    "grouped 2D": (L.Conv2D(6, 3, groups=2), MAP, out(H, 3) * out(W, 3) * 9 * (C // 2) * 6),
    "depthwise 1D": (L.DepthwiseConv1D(3), TOKENS, out(S, 3) * C * 3),
    "depthwise 2D": (L.DepthwiseConv2D(3), MAP, out(H, 3) * out(W, 3) * C * 9),
    "depthwise, two of each": (
        L.DepthwiseConv2D(3, depth_multiplier=2),
        MAP,
        out(H, 3) * out(W, 3) * 2 * C * 9,
    ),
    "separable 1D": (L.SeparableConv1D(6, 3), TOKENS, out(S, 3) * (C * 3 + C * 6)),
    "separable 2D": (L.SeparableConv2D(6, 3), MAP, out(H, 3) * out(W, 3) * (C * 9 + C * 6)),
    "transposed 1D": (L.Conv1DTranspose(6, 3, 2), TOKENS, S * 3 * C * 6),
    "transposed 2D": (L.Conv2DTranspose(6, 3, 2), MAP, H * W * 9 * C * 6),
    "transposed 2D, same": (L.Conv2DTranspose(6, 3, 2, padding="same"), MAP, H * W * 9 * C * 6),
    "transposed 2D, dilated": (L.Conv2DTranspose(6, 3, dilation_rate=2), MAP, H * W * 9 * C * 6),
    "transposed 3D": (L.Conv3DTranspose(6, 3, 2), VOLUME, H * W * D * 27 * C * 6),
    "dilated 1D": (L.Conv1D(6, 2, dilation_rate=2), TOKENS, out(S, 2, 1, 2) * 2 * C * 6),
    "dilated 1D, causal": (
        L.Conv1D(6, 3, padding="causal", dilation_rate=2),
        TOKENS,
        S * 3 * C * 6,
    ),
    "dilated 2D": (
        L.Conv2D(6, 3, dilation_rate=2),
        MAP,
        out(H, 3, 1, 2) * out(W, 3, 1, 2) * 9 * C * 6,
    ),
    "dilated 2D, same": (
        L.Conv2D(6, 3, padding="same", dilation_rate=2),
        MAP,
        H * W * 9 * C * 6,
    ),
    "dilated 2D, grouped": (
        L.Conv2D(6, 3, padding="same", dilation_rate=2, groups=2),
        MAP,
        H * W * 9 * (C // 2) * 6,
    ),
    "dilated 3D": (
        L.Conv3D(6, 3, padding="same", dilation_rate=2),
        VOLUME,
        H * W * D * 27 * C * 6,
    ),
    "dilated depthwise": (
        L.DepthwiseConv2D(3, dilation_rate=2),
        MAP,
        out(H, 3, 1, 2) * out(W, 3, 1, 2) * C * 9,
    ),
    "dilated depthwise, same": (
        L.DepthwiseConv2D(3, padding="same", dilation_rate=2),
        MAP,
        H * W * C * 9,
    ),
    "dilated separable": (
        L.SeparableConv2D(6, 3, padding="same", dilation_rate=2),
        MAP,
        H * W * (C * 9 + C * 6),
    ),
    "EinsumDense": (L.EinsumDense("abc,cde->abde", (S, 6, 7)), TOKENS, S * C * 6 * 7),
    "EinsumDense, dots": (L.EinsumDense("...x,xy->...y", 6), TOKENS, S * C * 6),
    "EinsumDense, dots and more": (L.EinsumDense("...xc,cy->...xy", (W, 6)), MAP, H * W * C * 6),
    "EinsumDense over tokens": (L.EinsumDense("abc,bd->adc", (6, C)), TOKENS, S * C * 6),
    "attention": (  # four layers of C x 6, two products of S x S for 6 features
        L.MultiHeadAttention(2, 3),
        TOKENS,
        4 * S * C * 6 + 2 * S * S * 6,
    ),
    "attention, grouped": (  # four heads of 3 features; keys and values of two
        L.GroupQueryAttention(3, 4, 2),
        TOKENS,
        2 * S * C * 12 + 2 * S * C * 6 + 2 * S * S * 12,
    ),
    "time distributed": (L.TimeDistributed(L.Dense(6)), TOKENS, S * C * 6),
    "recurrent, unrolled": (L.SimpleRNN(6, unroll=True), TOKENS, S * (C * 6 + 6 * 6)),
    "spectral norm": (L.SpectralNormalization(L.Dense(6)), TOKENS, S * C * 6),  # as in inference
    "norm": (L.LayerNormalization(), TOKENS, 0),
    "pooling": (L.AveragePooling2D(2), MAP, 0),
    "resizing": (L.Resizing(4, 4), MAP, 0),
    "sums by einsum": (L.Lambda(lambda x: keras.ops.einsum("abc->ac", x)), TOKENS, 0),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_s_products_are_counted(name):
    layer, shape, expected = LAYERS[name]
    x = keras.Input(shape)
    y = layer(x, x) if name.startswith("attention") else layer(x)
    assert keras_mixer.count_macs(keras.Model(x, y)) == expected


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_a_dilated_convolution_multiplies_as_often_as_numpy(padding, channels):
    kernel, dilation = 3, 3
    image = np.ones((H, W, channels), int)
    if padding == "same":
        image = np.pad(image, ((dilation, dilation), (dilation, dilation), (0, 0)))
    reach = dilation * (kernel - 1) + 1
    windows = np.lib.stride_tricks.sliding_window_view(image, (reach, reach), (0, 1))
    products = 6 * windows[..., ::dilation, ::dilation].size
    x = keras.Input((H, W, channels))
    y = keras.layers.Conv2D(6, kernel, padding=padding, dilation_rate=dilation)(x)
    assert keras_mixer.count_macs(keras.Model(x, y)) == products


class Twice(keras.Model):
    """A model with a call of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(C)

    def call(self, x):
        if isinstance(x, dict):
            x = x["a"] + x["b"]
        return self.dense(self.dense(x))


def called_on(model, *shape):
    model(keras.ops.zeros(shape))
    return model


def functional(layer, shape, **kwargs):
    x = keras.Input(shape, **kwargs)
    return keras.Model(x, layer(x))


def by_dict():
    model = Twice()
    model({"a": keras.ops.zeros((2, C)), "b": keras.ops.zeros((2, C))})
    return model


def sequential(*layers):
    return keras.Sequential([keras.Input(TOKENS), *layers])


def quantised():
    layer = keras.layers.Dense(6)
    model = sequential(layer)
    layer.quantize("int8")
    return model


MODELS = {
    "Sequential": (lambda: sequential(L.Dense(6)), S * C * 6),
    "Sequential, called": (lambda: called_on(keras.Sequential([L.Dense(6)]), 3, C), C * 6),
    "Sequential in Sequential": (
        lambda: sequential(sequential(L.Dense(6)), L.Dense(7)),
        S * (C * 6 + 6 * 7),
    ),
    "functional in Sequential": (
        lambda: sequential(functional(L.Dense(6), TOKENS), L.Dense(7)),
        S * (C * 6 + 6 * 7),
    ),
    "Sequential in functional": (lambda: functional(sequential(L.Dense(6)), TOKENS), S * C * 6),
    "subclass, called": (lambda: called_on(Twice(), 3, S, C), 2 * S * C * C),
    "subclass, of a dict": (by_dict, 2 * C * C),
    "subclass in functional": (lambda: functional(Twice(), TOKENS), 2 * S * C * C),
    "subclass in Sequential": (lambda: sequential(Twice()), 2 * S * C * C),
    "fixed batch": (
        lambda: functional(
            L.Lambda(lambda x: keras.ops.reshape(x, (8, S * C)) @ keras.ops.ones((S * C, 6))),
            TOKENS,
            batch_size=8,
        ),
        S * C * 6,
    ),
    "in 8 bits": (quantised, S * C * 6),
    "in bfloat16": (lambda: functional(L.Dense(6, dtype="mixed_bfloat16"), TOKENS), S * C * 6),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_of_every_kind_are_counted(name):
    build, expected = MODELS[name]
    assert keras_mixer.count_macs(build()) == expected


def test_a_convolutional_network_has_what_its_paper_says():
    with keras.StatelessScope(initialize_variables=False):
        model = keras.applications.MobileNetV2(weights=None)
    keras.utils.clear_session(free_memory=False)
    assert keras_mixer.count_macs(model) == pytest.approx(300e6, rel=0.01)  # table 4 of the paper


def test_a_model_of_ours_within_another_counts_as_alone():
    model = keras_mixer.MlpMixer(
        patch_size=4, width=8, depth=1, token_mlp_dim=4, channel_mlp_dim=16, input_shape=(8, 8, 3)
    )
    expected = keras_mixer.count_macs(model)
    assert expected > 0
    image = keras.Input((8, 8, 3))
    assert keras_mixer.count_macs(keras.Sequential([image, model])) == expected
    called = called_on(keras.Sequential([L.Rescaling(2.0), model]), 3, 8, 8, 3)
    assert keras_mixer.count_macs(called) == expected


def test_several_inputs_are_counted():
    a, b = keras.Input((3,), name="a"), keras.Input((4,), name="b")
    model = keras.Model({"a": a, "b": b}, keras.layers.Dense(2)(a) + keras.layers.Dense(2)(b))
    assert keras_mixer.count_macs(model) == 2 * (3 + 4)


def test_a_model_for_images_of_any_size_is_refused():
    x = keras.Input((None, None, 3))
    with pytest.raises(ValueError, match="inputs of known size"):
        keras_mixer.count_macs(keras.Model(x, keras.layers.Conv2D(2, 3)(x)))


def positive(x):
    """The first channel's values above zero: nobody knows how many before they are computed."""
    return x[0, :, 0][x[0, :, 0] > 0]


KERNEL = np.ones((C, C), np.float32)
REFUSED = {
    "FFT": (lambda x: tf.signal.rfft(x), "'m' has the operation RFFT"),
    "loop": (lambda x: tf.while_loop(lambda _: True, lambda y: y @ KERNEL, [x])[0], "While"),
    "inverse": (lambda x: tf.linalg.inv(x[:, :C]), "MatrixInverse"),
    "Python": (lambda x: tf.numpy_function(np.copy, [x], "float32"), "PyFunc"),
    "sparse": (
        lambda x: tf.sparse.sparse_dense_matmul(tf.sparse.from_dense(x[0]), KERNEL),
        "SparseTensorDenseMatMul",
    ),
    "kernel's gradient": (
        lambda x: tf.raw_ops.Conv2DBackpropFilter(
            input=x[..., None],
            filter_sizes=(1, 1, 1, 1),
            out_backprop=x[..., None],
            strides=[1] * 4,
            padding="SAME",
        ),
        "Conv2DBackpropFilter",
    ),
    "unknown size": (
        lambda x: positive(x)[:, None] @ tf.ones((1, 3)),
        r"tensors of known size; 'm' has the operation MatMul .* takes \(None, 1\) and \(1, 3\)",
    ),
    "unknown rank": (
        lambda x: tf.matmul(tf.reshape(x, tf.cast(positive(x), "int32")), KERNEL),
        r"tensors of known size; .* takes <unknown> and \(4, 4\)",
    ),
    "another batch": (
        lambda x: tf.reshape(x, (8, S * C)),
        "'m' fails for a batch of 1: Cannot reshape a tensor with 20 elements .*\\]\\.$",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_counted_is_refused(name):
    function, said = REFUSED[name]
    x = keras.Input(TOKENS)
    model = keras.Model(x, L.Lambda(function, (1,))(x), name="m")
    with pytest.raises(ValueError, match=said) as caught:
        keras_mixer.count_macs(model)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("model", [keras.Sequential([L.Dense(3)], name="m"), Twice(name="m")])
def test_a_model_that_is_not_built_is_refused(model):
    with pytest.raises(ValueError, match=r"a model that is built, .*; 'm' .* Call it on images"):
        keras_mixer.count_macs(model)
