"""What holds for ResMLP alone."""

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

import keras_mixer
from keras_mixer.models.res_mlp import EVALUATION, RES_MLP
from keras_mixer.weights import Release
from tests.cases import BY_NAME
from tests.conftest import ROOT

RESMLP = BY_NAME["res_mlp"]
TOLERANCE = 1e-5  # float32 in another order of summation, relative to the largest logit


def test_it_computes_what_the_official_code_computes(tmp_path):
    with np.load(ROOT / "tests/models/official/res_mlp.npz") as file:
        arrays = dict(file)
    images, expected = arrays.pop("images"), arrays.pop("logits")
    weights = {name.removeprefix("weights/"): array for name, array in arrays.items()}
    save_file(weights, tmp_path / "model.safetensors")
    model = RESMLP.tiny(
        width=12, depth=2, weights=tmp_path / "model.safetensors", classifier_activation=None
    )
    logits = model.predict(images, verbose=0)
    assert np.abs(logits - expected).max() < TOLERANCE * np.abs(expected).max()
    # And what is saved in the official layout is what the official code wrote.
    keras_mixer.save_weights(model, tmp_path / "again.safetensors")
    again = RES_MLP.layouts[0].write(
        {path: array for path, (_, array) in RES_MLP.layouts[0].read(weights).items()}
    )
    assert again.keys() == weights.keys()
    assert all(np.array_equal(again[name], weights[name]) for name in weights)


def test_it_starts_as_the_official_code_does():
    model = keras_mixer.ResMlpS12()
    block, stem = model.get_layer("block_3"), model.get_layer("stem")
    for scale in (block.token_scale, block.channel_scale):
        assert np.array_equal(scale.gamma, np.full(384, 0.1, np.float32))
    for dense in (block.token_dense, block.channel_mlp.expand, model.get_layer("head")):
        # of 38,416 draws or more: the deviation of a deviation is 0.4 % of it
        assert np.std(dense.kernel) == pytest.approx(0.02, rel=0.02)
        assert not np.any(dense.bias)
    bound = (16 * 16 * 3) ** -0.5
    kernel = np.array(stem.kernel)
    assert np.abs(kernel).max() <= bound
    assert kernel.std() == pytest.approx(bound / 3**0.5, rel=0.02)
    start = keras_mixer.ResMlpS36(input_shape=(32, 32, 3)).get_layer("block_0").token_scale.gamma
    assert np.array_equal(start, np.full(384, 1e-6, np.float32))


def test_two_kernels_of_one_shape_do_not_start_equal():
    model = RESMLP.tiny()
    first, second = (model.get_layer(f"block_{i}").token_dense.kernel for i in (0, 1))
    assert not np.array_equal(first, second)


def test_stochastic_depth_is_the_same_in_every_block():
    model = RESMLP.tiny(drop_path_rate=0.2)
    assert [model.get_layer(f"block_{i}").drop_path_rate for i in range(2)] == [0.2] * 2


def test_it_takes_images_normalised_by_imagenet_s_mean_and_deviation():
    found = keras_mixer.preprocessing(RESMLP.tiny())
    assert found.mean == (0.485, 0.456, 0.406)
    assert found.std == (0.229, 0.224, 0.225)
    pixels = RESMLP.images() * 100 + 127
    with_pixels = RESMLP.trained(include_preprocessing=True)(pixels)
    assert np.allclose(RESMLP.trained()(found.scaled(pixels)), with_pixels, rtol=1e-4)


def test_its_released_weights_are_evaluated_as_their_authors_say():
    for builder in RES_MLP.variants.values():
        for name, release in builder.releases.items():
            assert isinstance(release, Release), name
            assert release.preprocessing is EVALUATION
    assert EVALUATION.enlarged((224, 224)) == [248, 248]  # int(224 / 0.9) in the official code


def test_the_paths_of_its_weights_are_the_public_ones():
    paths = {w.path for w in RESMLP.tiny(depth=1).weights}
    assert paths == {
        *("stem/kernel", "stem/bias"),
        *("block_0/token_affine/alpha", "block_0/token_affine/beta"),
        *("block_0/token_dense/kernel", "block_0/token_dense/bias"),
        "block_0/token_scale/gamma",
        *("block_0/channel_affine/alpha", "block_0/channel_affine/beta"),
        *("block_0/channel_mlp/expand/kernel", "block_0/channel_mlp/expand/bias"),
        *("block_0/channel_mlp/project/kernel", "block_0/channel_mlp/project/bias"),
        "block_0/channel_scale/gamma",
        *("norm/alpha", "norm/beta", "head/kernel", "head/bias"),
    }


def test_without_its_branches_it_is_the_identity_behind_the_stem():
    model = RESMLP.tiny(layer_scale=0.0, include_top=False)
    stem = keras.Model(model.input, model.get_layer("stem").output)
    images = RESMLP.images()
    assert np.array_equal(np.reshape(model(images), stem(images).shape), stem(images))
