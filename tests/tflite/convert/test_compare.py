"""A float32 file that is not its model is never returned, and the first wrong layer is named."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from keras_mixer.tflite import Classifier, convert, sensitivity, verify
from keras_mixer.tflite.convert import compare, rewrite
from keras_mixer.tflite.convert.float_file import to_float
from tests.cases import CASES

CASE = CASES[0]
IMAGES = CASE.images(8)


@pytest.fixture
def model():
    return CASE.trained(include_preprocessing=True, depth=1)


class Traced(layers.Layer):
    """A layer that computes something else when it is traced."""

    def call(self, x):
        return x * 1.001 if tf.inside_function() else x


def with_traced():
    inner = keras.Sequential(
        [keras.Input((8, 8, 4)), layers.Conv2D(4, 3), Traced(name="odd"), layers.ReLU()],
        name="inner",
    )
    image = keras.Input((8, 8, 3))
    x = inner(layers.Dense(4)(image))
    return keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)), name="mine")


@pytest.mark.parametrize("recipe", ["float32", "int8"])
def test_a_layer_that_differs_when_it_is_traced_is_named(recipe):
    calibration = np.ones((2, 8, 8, 3)) if recipe == "int8" else None
    with pytest.raises(
        ValueError, match=r"'mine' does not compute.*starts at 'inner/odd' \(Traced\)"
    ):
        convert(with_traced(), recipe, calibration=calibration)


def scaled(function, factor):
    return lambda *arguments, **keywords: function(*arguments, **keywords) * factor


def test_a_rewrite_of_a_layer_with_a_fault_is_found(model, monkeypatch):
    monkeypatch.setattr(rewrite, "dense_patches", scaled(rewrite.dense_patches, 1.001))
    with pytest.raises(ValueError, match=r"starts at '(preprocessing|stem)'"):
        convert(model)
    assert convert(model, without="dense_stem")


def test_a_rewrite_of_a_gelu_with_a_fault_is_found(model, monkeypatch):
    monkeypatch.setattr(rewrite, "gelu_in_steps", scaled(rewrite.gelu_in_steps, 1.001))
    with pytest.raises(ValueError, match="starts at 'block_0'"):
        convert(model, "int8", calibration=(IMAGES + 1) * 127.5)


@pytest.mark.parametrize(
    ("name", "starts"), [("fold_rescaling", "preprocessing"), ("fold_last_norm", "norm")]
)
def test_a_pass_with_a_fault_is_found(name, starts, model, monkeypatch):
    right = rewrite.PASSES[name]

    def wrong(graph, arithmetic):
        before = [*map(len, (call.weights for call in graph.calls))]
        right(graph, arithmetic)
        for call, count in zip(graph.calls, before, strict=True):
            call.weights[count:] = [(w, array * 1.001) for w, array in call.weights[count:]]

    monkeypatch.setitem(rewrite.PASSES, name, wrong)
    with pytest.raises(ValueError, match=f"starts at '{starts}'"):
        convert(model)
    assert convert(model, without=name)


def test_a_file_of_other_weights_is_no_file_of_the_model():
    model, other = (CASE.trained(include_preprocessing=True, depth=1) for _ in range(2))
    other.get_layer("block_0").channel_mlp.project.bias.assign_add(1e-2 * np.eye(24)[0])
    shape = model.input_shape[1:]
    content = to_float(other, shape)
    with pytest.raises(ValueError, match="starts at 'block_0'"):
        compare.check_same(model, content, shape)
    compare.check_same(other, content, shape)


def test_rewrites_are_left_out_by_name(model):
    with pytest.raises(ValueError, match=r"no rewrite 'stem'\. Rewrites: float_pixels"):
        convert(model, without=["stem"])


# Numbers that are not finite


@pytest.fixture
def plain():
    return CASE.trained(classifier_activation=None, depth=1)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused_by_name(plain, value):
    plain.get_layer("block_0").token_mlp.expand.bias.assign(np.full(20, value))
    for refused in (
        lambda: convert(plain),
        lambda: convert(plain, "int8", calibration=IMAGES),
        lambda: sensitivity(plain, "dynamic_int8", IMAGES),
    ):
        with pytest.raises(
            ValueError, match="block_0/token_mlp/expand/bias: 20 of 20 are NaN or inf"
        ):
            refused()


def test_weights_that_no_integer_scale_can_hold_are_refused_by_name(plain):
    plain.get_layer("stem").kernel.assign(plain.get_layer("stem").kernel * 1e20)
    for recipe in ("static_int8", "int8", "int16x8", "dynamic_int8"):
        calibration = None if recipe == "dynamic_int8" else IMAGES
        with pytest.raises(ValueError, match=r"stem/kernel: up to .*e\+19, beyond 1e\+18"):
            convert(plain, recipe, calibration=calibration)
    assert convert(plain)


@pytest.mark.parametrize(
    ("recipe", "size"), [("static_int8", 1e38), ("int8", 1e19), ("int16x8", 1e38)]
)
def test_a_calibration_image_of_absurd_size_is_refused(plain, recipe, size):
    images = np.concatenate([IMAGES, np.full_like(IMAGES[:1], size)])
    with pytest.raises(ValueError, match="needs images as the model takes them"):
        convert(plain, recipe, calibration=images)
    # Where nobody knows what the model takes, the ranges tell.
    silent = keras.Sequential([keras.Input(IMAGES.shape[1:]), *plain.layers[2:]])
    with pytest.raises(ValueError, match=f"'{recipe}' cannot quantise .*calibration images"):
        convert(silent, recipe, calibration=images)


def test_weights_beyond_float16_are_refused_by_layer(plain):
    head = plain.get_layer("head")
    head.kernel.assign(head.kernel * 1e6)
    with pytest.raises(ValueError, match=r"larger: 'head' up to .*--no-float16-arithmetic"):
        convert(plain, "float16")
    with pytest.raises(ValueError, match="ends at 65504; layer 'head' has weights up to"):
        convert(plain, "float16", float16_arithmetic=False)
    content = convert(plain, "float16", keep_float="head", float16_arithmetic=False)
    assert verify(plain, content, IMAGES).agreement == 1


def test_scores_that_are_not_finite_are_refused_with_the_layer(plain):
    image = keras.Input((8, 8, 3))
    x = layers.GlobalAveragePooling2D()(layers.Dense(2, name="first")(image))
    model = keras.Model(image, ops.log(-ops.abs(x) - 1))
    with pytest.raises(ValueError, match=r"not finite.*They stop being finite at 'log.*' \(Log"):
        convert(model)


def test_in_verify_a_score_that_is_not_finite_is_wrong_and_a_disagreement(plain):
    content = convert(plain)
    answers = np.asarray(plain(IMAGES)).argmax(-1)
    bad = CASE.trained(classifier_activation=None, depth=1)
    bad.get_layer("head").bias.assign(np.array([np.nan, *np.zeros(6)]))
    broken = to_float(bad, bad.input_shape[1:])
    for model, file in ((plain, broken), (bad, content), (bad, broken)):
        report = verify(model, file, (IMAGES, np.zeros(8)))
        assert report.agreement == 0
        assert report.max_abs_difference == np.inf
        assert report.not_finite == 8
        assert "scores of 8 images are NaN or infinite" in str(report)
    assert verify(plain, broken, (IMAGES, answers)).accuracy == 0
    assert verify(plain, broken, IMAGES, layers=True).first_wrong_layer == "head"
    good = verify(plain, content, (IMAGES, answers))
    assert (good.accuracy, good.agreement, good.not_finite) == (1, 1, 0)


def test_a_classifier_says_that_scores_are_not_finite(plain):
    plain.get_layer("head").bias.assign(np.array([np.nan, *np.zeros(6)]))
    for source in (plain, to_float(plain, plain.input_shape[1:])):
        with pytest.raises(ValueError, match="gives scores that are not finite"):
            Classifier(source, input_range=(-1, 1))(IMAGES[0])
