"""Which tensor of a file is which layer's."""

import pytest

from keras_mixer.tflite.convert.layer_names import (
    layer_of,
    layer_paths,
    layers_by_tensor,
    layers_in,
    matching,
)
from keras_mixer.tflite.file.interpreter import open_interpreter
from tests.cases import CASES
from tests.tflite.files import tiny_file, tiny_model

PATHS = ["stem", "block_1", "block_1/token_mlp", "block_1/token_mlp/expand", "block_11", "norm"]
PATHS.append("block_11/norm")


@pytest.mark.parametrize(
    ("tensor", "layer"),
    [
        ("mixer_1/stem_1/add;mixer_1/stem_1/convolution", "stem"),
        ("mixer/stem/convolution", "stem"),
        ("mixer_1/block_1_1/add", "block_1"),
        ("mixer_1/block_11_1/add", "block_11"),
        ("mixer_1/block_11_1/norm_1/add", "block_11/norm"),
        ("mixer_1/norm_1/add", "norm"),
        ("mixer_1/block_1_2/token_mlp_1/Gelu/mul_3;;mixer_1/x", None),
        ("mixer_1/block_1_2/token_mlp_1/Gelu/mul_3;", "block_1/token_mlp"),
        # A norm's scale in the weights of the dense layer: the file has only the latter's output.
        ("mixer_1/stem_1/mul;mixer_1/block_1_1/token_mlp_1/expand_1/Add", PATHS[3]),
        # The stem's bias, which is added behind a reshape.
        ("mixer_1/block_1_1/add;mixer_1/stem_1/add;mixer_1/stem_1/Tensordot", "block_1"),
        ("outer/mixer_1/block_1_1/token_mlp_1/expand_1/Tensordot", PATHS[3]),
        # A unit that the layer around it brings.
        ("m/block_1_1/token_mlp_1/expand_1/BiasAdd;m/block_1_1/token_mlp_1/truediv", PATHS[3]),
        ("stem/convolution", None),  # a model that is called after a layer
        ("StatefulPartitionedCall_1:0", None),
        ("", None),
    ],
)
def test_a_tensor_s_name_tells_its_layer(tensor, layer):
    assert layer_of(tensor, PATHS) == layer


def test_every_layer_that_computes_has_a_tensor(case):
    model = tiny_model(case)
    interpreter = open_interpreter(tiny_file(case=case), preserve_tensors=True)
    found = layers_by_tensor(interpreter, model)
    paths = [*layer_paths(model)]
    dense = {path for path in paths if path.endswith(("expand", "project", "dense"))}
    assert dense
    assert dense <= {path for name in found for path in layers_in(name, paths)}
    blocks = {layer.name for layer in model.layers if layer.name.startswith("block_")}
    assert blocks | {model.layers[-1].name} <= {*found.values()}


def test_patterns_name_layers_and_what_is_within_them():
    assert matching(["block_1"], PATHS, "f") == {*PATHS[1:4]}
    assert matching(["*/expand", "norm"], PATHS, "f") == {PATHS[3], "norm"}
    assert matching([], PATHS, "f") == set()
    with pytest.raises(ValueError, match=r"f: no layer is called 'blok'\. Layers: stem, block_1"):
        matching(["stem", "blok"], PATHS, "f")


def test_paths_are_those_of_the_weights():
    model = CASES[0].tiny()
    paths = {*layer_paths(model)}
    for weight in model.weights:
        assert weight.path.rsplit("/", 1)[0] in paths
