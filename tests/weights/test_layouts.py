"""Rules of layouts run both ways."""

import numpy as np
import pytest

import keras_mixer
from keras_mixer.models import ARCHITECTURES
from keras_mixer.weights import flax, pytorch
from keras_mixer.weights.layouts import SAME, TRANSPOSED, axes, joined, length_one, permuted, split
from keras_mixer.weights.names import named_weights
from tests.cases import CASES

MIXER = next(case for case in CASES if case.architecture == "mlp_mixer")
CONVERSIONS = {
    "same": SAME,
    "transposed": TRANSPOSED,
    "axes": axes((2, 0, 1)),
    "length one": length_one(0, 1),
    "permuted": permuted([2, 0, 1, 4, 3]),
    "permuted columns": permuted([1, 2, 0], axis=1),
    "one after another": length_one(0).then(TRANSPOSED).then(permuted([2, 0, 1, 4, 3])),
}


def equal(found, expected):
    return all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("name", CONVERSIONS)
def test_a_conversion_undoes_its_inverse(name):
    shape = (5, 3, 4) if name == "axes" else (5, 3)
    array = np.random.default_rng(0).normal(size=shape)
    conversion = CONVERSIONS[name]
    assert np.array_equal(conversion.to_ours(conversion.to_theirs(array)), array)


@pytest.mark.parametrize(
    ("kind", "ours", "shapes"),
    [
        (pytorch.dense("fc"), "layer", {"kernel": (5, 3), "bias": (3,)}),
        (pytorch.conv("conv"), "layer", {"kernel": (2, 3, 4, 5), "bias": (5,)}),
        (pytorch.depthwise("conv"), "layer", {"kernel": (2, 3, 4, 1), "bias": (4,)}),
        (pytorch.norm("norm"), "layer", {"gamma": (4,), "beta": (4,)}),
        (
            pytorch.batch_norm("norm"),
            "layer",
            {"gamma": (4,), "beta": (4,), "moving_mean": (4,), "moving_variance": (4,)},
        ),
        (pytorch.parameters(length_one(0), alpha="alpha"), "layer", {"alpha": (4,)}),
        (pytorch.split_dense("qkv"), ("q", "k", "v"), {"kernel": (5, 3), "bias": (3,)}),
        (pytorch.joined_dense("a", "b"), "layer", {"kernel": (5, 6), "bias": (6,)}),
        (flax.dense("Dense_0"), "layer", {"kernel": (5, 3), "bias": (3,)}),
        (flax.norm("LayerNorm_0"), "layer", {"gamma": (4,), "beta": (4,)}),
        (flax.early_dense("mlp", 1), "layer", {"kernel": (5, 3), "bias": (3,)}),
    ],
)
def test_every_kind_of_layer_is_written_and_read_back(kind, ours, shapes):
    random = np.random.default_rng(0)
    layers = [ours] if isinstance(ours, str) else ours
    arrays = {
        f"{name}/{weight}": random.normal(size=shape)
        for name in layers
        for weight, shape in shapes.items()
    }
    layout = pytorch.layout("test", {ours: kind})
    theirs = layout.write(arrays)
    again = layout.read(theirs)
    assert again.keys() == arrays.keys()
    assert equal([array for _, array in again.values()], [arrays[path] for path in again])
    for rule in layout.rules:
        if rule.ours:
            given = [arrays[path] for path in rule.ours]
            assert equal(rule.to_ours(*rule.to_theirs(*given)), given)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_rule_of_every_architecture_runs_both_ways(architecture):
    case = next(case for case in CASES if case.architecture == architecture)
    random = np.random.default_rng(0)
    arrays = {name: random.normal(size=w.shape) for name, w in named_weights(case.tiny())}
    for layout in ARCHITECTURES[architecture].layouts:
        for rule in layout.rules:
            for ours, _ in rule.of_ours(arrays):
                given = [arrays[path] for path in ours]
                assert equal(rule.to_ours(*rule.to_theirs(*given)), given)


def test_arrays_are_in_the_axes_of_pytorch():
    kernel = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)  # [height, width, in, out]
    [conv] = [r for r in pytorch.conv("c")("o") if r.ours[0].endswith("kernel")]
    [theirs] = conv.to_theirs(kernel)
    assert theirs.shape == (5, 4, 2, 3)
    assert theirs[3, 2, 1, 0] == kernel[1, 0, 2, 3]
    depthwise, _ = pytorch.depthwise("c")("o")
    [theirs] = depthwise.to_theirs(kernel[..., :1])
    assert theirs.shape == (4, 1, 2, 3)
    assert theirs[2, 0, 1, 0] == kernel[1, 0, 2, 0]


def test_parts_of_one_array_are_cut_along_our_axis():
    whole = np.arange(12).reshape(6, 2)
    parts = split(("q", "k", "v"), "qkv", TRANSPOSED).to_ours(whole)
    assert [part.tolist() for part in parts] == [whole[n : n + 2].T.tolist() for n in (0, 2, 4)]
    [one] = joined("w", ("a", "b"), axis=0).to_ours(whole[:3], whole[3:])
    assert np.array_equal(one, whole)


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "model.", "model_ema.module.", "module._orig_mod."]
)
def test_the_prefixes_of_wrappers_are_taken_off(prefix, tmp_path):
    from safetensors.numpy import load_file, save_file

    model = MIXER.trained(gelu="erf")
    keras_mixer.save_weights(model, tmp_path / "plain.safetensors")
    arrays = {prefix + name: a for name, a in load_file(tmp_path / "plain.safetensors").items()}
    arrays["n_averaged"] = np.array(7)
    save_file(arrays, tmp_path / "wrapped.safetensors")
    again = MIXER.tiny(weights=tmp_path / "wrapped.safetensors")
    assert equal(again.get_weights(), model.get_weights())


def test_an_array_with_other_axes_is_an_error_that_gives_its_shape(tmp_path):
    from safetensors.numpy import load_file, save_file

    path = tmp_path / "model.safetensors"
    keras_mixer.save_weights(MIXER.trained(), path)
    arrays = load_file(path)
    arrays["stem.proj.weight"] = arrays["stem.proj.weight"].reshape(24, -1)
    save_file(arrays, path)
    with pytest.raises(ValueError, match=r"stem/kernel: \(4, 4, 3, 24\) in the model, \(24, 48\)"):
        MIXER.tiny(weights=path)


def test_a_layout_that_is_not_there_is_answered_with_those_that_are(tmp_path):
    with pytest.raises(ValueError, match=r"\.npz \(official\).*\.safetensors \(timm\); got"):
        keras_mixer.save_weights(MIXER.tiny(), tmp_path / "model.npz", "timm")
    assert not [*tmp_path.iterdir()]
