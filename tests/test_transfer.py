"""A trained model as the start of another."""

import keras
import numpy as np
import pytest

import keras_mixer
from tests.cases import BY_NAME, CASES, OTHERS

MIXER = BY_NAME["mlp_mixer"]


@pytest.mark.cases(CASES, slow=OTHERS)
def test_features_are_what_lies_on_the_way(case):
    model, images = case.trained(classifier_activation=None), case.images()
    found = keras_mixer.features(model)(images)
    blocks = [layer.name for layer in model.layers if "block_" in layer.name]
    assert list(found) == ["levels", "blocks", "pre_logits"]
    assert list(found["blocks"]) == ["stem", *blocks]
    pooled = case.trained(include_top=False, pooling="avg")(images)
    assert np.allclose(found["pre_logits"], pooled, rtol=1e-5, atol=1e-6)  # float32 sums
    kernel, bias = model.get_layer("head").get_weights()
    logits = np.array(found["pre_logits"]) @ kernel + bias
    assert np.allclose(logits, model(images), rtol=1e-4, atol=1e-5)
    for name, there in found["blocks"].items():
        before = keras.Model(model.input, model.get_layer(name).output)
        assert len(there.shape) == 4
        assert np.array_equal(np.reshape(there, before(images).shape), before(images))


def test_levels_are_maps_by_their_stride(case):
    model, images = case.trained(), case.images()
    levels = keras_mixer.features(model)(images)["levels"]
    for stride, level in levels.items():
        sides = [-(-side // stride) for side in images.shape[1:3]]  # rounded up by convolutions
        assert [*level.shape[1:3]] == sides
    feature_map = case.trained(include_top=False)(images)
    assert np.array_equal(levels[max(levels)], feature_map)


@pytest.mark.parametrize("arguments", [{"include_top": False}, {"include_preprocessing": True}])
def test_features_are_there_with_and_without_a_top(case, arguments):
    model = case.trained(**arguments)
    features = keras_mixer.features(model)
    map_shape = model.get_layer("map").output.shape
    assert [*features.output["blocks"].values()][-1].shape == map_shape
    assert features.output["pre_logits"].shape == (None, map_shape[-1])
    assert {id(w) for w in features.weights} <= {id(w) for w in model.weights}  # shared, not copied


@pytest.mark.parametrize(
    "model", [keras.Sequential([keras.layers.Dense(2, name="top")]), "MixerB16"]
)
def test_features_of_another_model_are_an_error(model):
    with pytest.raises(ValueError, match="features needs a model of this package"):
        keras_mixer.features(model)


def trainable(model):
    return {layer.name for layer in model.layers if layer.trainable and layer.weights}


def test_freeze_leaves_the_head():
    model = MIXER.tiny()
    keras_mixer.freeze(model)
    assert trainable(model) == {"head"}
    assert [w.path for w in model.trainable_weights] == ["head/kernel", "head/bias"]
    keras_mixer.unfreeze(model)
    assert len(model.trainable_weights) == len(model.weights)


def test_freeze_up_to_a_layer_leaves_those_after_it():
    model = MIXER.tiny()
    keras_mixer.freeze(model, until="block_0")
    assert trainable(model) == {"block_1", "norm", "head"}


def test_the_head_of_a_model_inside_is_left_to_train_too():
    inner = MIXER.tiny(name="inner")
    outer = keras.Sequential([keras.Input((16, 32, 3)), keras.layers.RandomFlip(), inner])
    keras_mixer.freeze(outer)
    assert [w.path.split("/")[-2:] for w in outer.trainable_weights] == [
        ["head", "kernel"],
        ["head", "bias"],
    ]


def test_what_works_on_the_model_inside_says_so():
    inner = MIXER.tiny(include_top=False, pooling="avg", name="inner")
    outer = keras.Sequential([inner, keras.layers.Dense(2, name="top")])
    outer.build((None, 16, 32, 3))
    advice = r"Pass the model inside it: model\.get_layer\('inner'\)\."
    with pytest.raises(ValueError, match=f"features needs .*{advice}"):
        keras_mixer.features(outer)
    with pytest.raises(ValueError, match=f"got 'block_0'.*{advice}"):
        keras_mixer.freeze(outer, until="block_0")
    with pytest.raises(ValueError, match=r"'head' to train, and .* has none; it has inner, top\."):
        keras_mixer.freeze(outer)
    assert len(outer.trainable_weights) == len(outer.weights)
    keras_mixer.freeze(outer, until="inner")
    assert trainable(outer) == {"top"}


def test_frozen_weights_stay_as_they_are_in_training():
    model = MIXER.trained()
    keras_mixer.freeze(model)
    before = model.get_weights()
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(MIXER.images(), np.arange(4), verbose=0)
    same = [np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert same == [True] * (len(same) - 2) + [False] * 2


def test_freezing_up_to_a_layer_that_is_not_there_is_an_error_and_changes_nothing():
    model = MIXER.tiny()
    with pytest.raises(ValueError, match=r"got 'block_9'. There are image, preprocessing, stem"):
        keras_mixer.freeze(model, until="block_9")
    assert len(model.trainable_weights) == len(model.weights)
