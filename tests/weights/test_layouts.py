"""Rules of layouts run both ways."""

import numpy as np
import pytest

import keras_mixer
from keras_mixer.models import ARCHITECTURES
from keras_mixer.weights import flax, pytorch
from keras_mixer.weights.layouts import (
    SAME,
    TRANSPOSED,
    Layout,
    Misfit,
    MisfitError,
    axes,
    joined,
    length_one,
    permuted,
    single,
    split,
    squeezed_to,
)
from keras_mixer.weights.names import named_weights
from tests.cases import BY_NAME

MIXER = BY_NAME["mlp_mixer"]
CONVERSIONS = {
    "same": SAME,
    "transposed": TRANSPOSED,
    "axes": axes((2, 0, 1)),
    "length one": length_one(0, 1),
    "permuted": permuted([2, 0, 1, 4, 3]),
    "permuted columns": permuted([1, 2, 0], axis=1),
    "permuted at any length": permuted(lambda length: np.arange(length)[::-1], axis=-1),
    "squeezed": squeezed_to(2),
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


@pytest.mark.parametrize("shape", [(5, 1), (1, 5), (1, 1), (1,)])
def test_axes_of_length_one_that_ours_has_too_are_kept(shape):
    early, array = squeezed_to(len(shape)), np.arange(np.prod(shape)).reshape(shape)
    assert early.to_theirs(array).ndim == len(shape) + 1
    for theirs in (early.to_theirs(array), array):
        assert np.array_equal(early.to_ours(theirs), array)


def test_a_dense_layer_of_before_linen_may_have_one_unit_only():
    layout = flax.layout("test", {"layer": flax.early_dense("mlp", 1)})
    arrays = {"layer/kernel": np.ones((5, 1)), "layer/bias": np.ones(1)}
    again = layout.read(layout.write(arrays))
    assert equal([array for _, array in again.values()], arrays.values())


def test_a_permutation_that_follows_the_width_is_one_rule_for_every_width():
    # As CycleMLP's reweighting: theirs counts the 3 branches fastest, ours the channels.
    by_branch = permuted(lambda length: np.arange(length).reshape(-1, 3).T.ravel())
    assert by_branch.to_ours(np.arange(6)).tolist() == [0, 3, 1, 4, 2, 5]
    assert by_branch.to_theirs(by_branch.to_ours(np.arange(9))).tolist() == [*range(9)]


@pytest.mark.parametrize("order", [[0, 2], [1, 2, 3], [0, 0, 1], [0.5, 1]])
def test_an_order_that_is_no_permutation_is_refused_at_once(order):
    with pytest.raises(ValueError, match="needs each index from 0 once; got"):
        permuted(order)


# Of each kind of rule: the rule, the shapes of arrays that it cannot convert, and what they need.
MISFITS = {
    "axes": (single("w", "a", axes((2, 0, 1))), [(2, 3)], "must have 3 axes"),
    "dense": (single("w", "a", TRANSPOSED), [(2, 3, 1, 1)], "must have 2 axes"),
    "no axis to squeeze": (
        single("w", "a", length_one(0, 1)),
        [(4,)],
        "length 1 along axis 0 and 1",
    ),
    "another length": (
        single("w", "a", length_one(0)),
        [(2, 4)],
        "must have length 1 along axis 0",
    ),
    "too many axes": (single("w", "a", squeezed_to(1)), [(2, 4)], "must have 1 axes besides those"),
    "too few axes": (single("w", "a", squeezed_to(2)), [(4,)], "must have 2 axes besides those"),
    "too long": (single("w", "a", permuted([1, 0])), [(3,)], "must have 2 entries along axis 0"),
    "too short": (single("w", "a", permuted([1, 0])), [(1,)], "must have 2 entries along axis 0"),
    "no such axis": (single("w", "a", permuted([0], axis=1)), [(1,)], "must have an axis 1"),
    "uneven parts": (split(("w", "v"), "a"), [(5,)], "must divide into 2 equal parts"),
    "no parts": (split(("w", "v"), "a"), [()], "must divide into 2 equal parts"),
    "other shapes": (joined("w", ("a", "b")), [(2, 3), (2, 5)], "must have the same shape"),
    "a rule's own": (
        single("w", "a", permuted(lambda length: np.arange(length).reshape(-1, 3).T.ravel())),
        [(4,)],
        "must be as its rule needs it: cannot reshape",
    ),
}


@pytest.mark.parametrize("name", MISFITS)
def test_arrays_that_a_rule_cannot_convert_are_given_with_what_they_must_be(name):
    rule, shapes, needed = MISFITS[name]
    layout = Layout("test", (rule,), ".npz")
    arrays = {theirs: np.zeros(s) for theirs, s in zip(rule.theirs, shapes, strict=True)}
    found = layout.read(arrays)
    assert {*found} == {*rule.ours}
    for names, misfit in found.values():
        assert names == rule.theirs
        assert isinstance(misfit, Misfit)
        assert misfit.shapes == tuple(shapes)
        assert needed in misfit.needed


@pytest.mark.parametrize(
    ("rule", "shapes"),
    [
        (single("w", "a", TRANSPOSED), [(2, 3, 4)]),
        (single("w", "a", permuted([1, 0])), [(3,)]),
        (split(("w", "v"), "a"), [(5, 2), (5, 3)]),
        (joined("w", ("a", "b")), [(5,)]),
    ],
)
def test_weights_that_a_rule_cannot_convert_are_named(rule, shapes):
    arrays = {path: np.zeros(shape) for path, shape in zip(rule.ours, shapes, strict=True)}
    with pytest.raises(MisfitError, match=rf"^{rule.ours[0]} .*must .*; got \({shapes[0][0]},"):
        Layout("test", (rule,), ".npz").write(arrays)


def test_a_number_that_comes_twice_in_a_name_is_the_same_number():
    rule = single("block_{i}/scale", "stages.{i}.block_{i}.scale")
    assert [*rule.of_theirs(["stages.1.block_1.scale", "stages.1.block_2.scale"])] == [
        (("block_1/scale",), ("stages.1.block_1.scale",))
    ]
    assert [*rule.of_ours(["block_12/scale"])] == [
        (("block_12/scale",), ("stages.12.block_12.scale",))
    ]


@pytest.mark.parametrize(("ours", "theirs"), [("a_{i}", "b"), ("a", "b_{i}"), ("a_{i}", "b_{j}")])
def test_a_rule_with_a_number_on_one_side_only_is_refused(ours, theirs):
    with pytest.raises(ValueError, match=r"the same words in braces .*; got a.* and b"):
        single(ours, theirs)


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
    case = BY_NAME[architecture]
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
    keras_mixer.save_weights(MIXER.trained(gelu="erf"), path)
    arrays = load_file(path)
    arrays["stem.proj.weight"] = arrays["stem.proj.weight"].reshape(24, -1)
    save_file(arrays, path)
    row = r"  stem/kernel: \(4, 4, 3, 24\) in the model, \(24, 48\) in the file: "
    with pytest.raises(ValueError, match=row + r"stem\.proj\.weight must have 4 axes$"):
        MIXER.tiny(weights=path)


def test_affines_with_the_axes_of_another_code_base_are_one_line_that_names_their_arrays(tmp_path):
    from safetensors.numpy import load_file, save_file

    path = tmp_path / "model.safetensors"
    res_mlp = BY_NAME["res_mlp"]
    keras_mixer.save_weights(res_mlp.trained(), path, "timm")
    arrays = {
        name: array.reshape(-1) if name.endswith("norm2.alpha") else array
        for name, array in load_file(path).items()
    }
    save_file(arrays, path)
    with pytest.raises(ValueError, match="nothing was loaded") as error:
        res_mlp.tiny(weights=path)
    assert str(error.value).splitlines()[1:3] == [
        "Of another shape, 2:",
        "  block_{0..1}/channel_affine/alpha: (24,) in the model, (24,) in the file: "
        "blocks.{0..1}.norm2.alpha must have length 1 along axis 0 and 1",
    ]


def test_a_layout_that_is_not_there_is_answered_with_those_that_are(tmp_path):
    with pytest.raises(ValueError, match=r"\.npz \(official\).*\.safetensors \(timm\); got"):
        keras_mixer.save_weights(MIXER.tiny(), tmp_path / "model.npz", "timm")
    assert not [*tmp_path.iterdir()]
