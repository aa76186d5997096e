"""Forms of a model that the tiny models of tests/cases.py do not have."""

import keras
import numpy as np
import pytest

from keras_mixer.layers import Circulant
from keras_mixer.models.ccs import CcsBlock
from keras_mixer.models.g_mlp import GMlpBlock
from keras_mixer.models.s2_mlp import S2MlpBlock
from tests.cases import BY_NAME

TOLERANCE = 1e-5  # float32 in another order of summation, relative to the largest value


@pytest.mark.parametrize(
    ("architecture", "option"),
    [
        ("ccs", {"backbone": "res_mlp"}),
        ("ccs", {"fft": True}),
        ("s2_mlp", {"norm": "affine"}),
    ],
)
def test_logits_equal_an_independent_computation_in_float64(architecture, option):
    case = BY_NAME[architecture]
    model, images = case.trained(classifier_activation=None, **option), case.images()
    weights = {w.path: keras.ops.convert_to_numpy(w).astype(np.float64) for w in model.weights}
    expected = case.oracle(weights, images.astype(np.float64))
    logits = model.predict(images, verbose=0)
    assert np.abs(logits - expected).max() < TOLERANCE * np.abs(expected).max()


@pytest.mark.parametrize("tokens", [1, 2, 7, 49, 196])
def test_a_circulant_by_fft_is_the_one_by_matrices(tokens):
    x = np.random.default_rng(0).normal(size=(2, 12, tokens)).astype(np.float32)
    layer, by_fft = Circulant(3), Circulant(3, fft=True)
    layer.build(x.shape)
    by_fft.build(x.shape)
    by_fft.set_weights(layer.get_weights())
    matrices, fft = layer(x), by_fft(x)
    assert np.abs(matrices - fft).max() < TOLERANCE * np.abs(matrices).max()


def test_the_gate_s_norm_of_gmlp_has_pytorch_s_epsilon():
    """1e-6 in its place changes the logits of a tiny model by less than rounding may."""
    block = GMlpBlock(hidden_dim=8)
    block.build((None, 4, 6))
    assert (block.norm.epsilon, block.gate_norm.epsilon) == (1e-6, 1e-5)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (
            lambda: S2MlpBlock(8, norm="bn", name="it"),
            "S2MlpBlock 'it' needs norm to be 'layer_norm' or 'affine'; got 'bn'",
        ),
        (
            lambda: CcsBlock(2, 8, backbone="vit", name="it"),
            "CcsBlock 'it' needs backbone to be 'mixer' or 'res_mlp'; got 'vit'",
        ),
    ],
)
def test_a_form_that_a_block_does_not_have_is_an_error(block, message):
    with pytest.raises(ValueError, match=message):
        block()
