"""What is in a file, whoever made it."""

import json

import keras
import numpy as np
import pytest

from keras_mixer.tflite import RECIPES, Metadata, convert, inspect, with_metadata
from keras_mixer.tflite.file.inspect import partitions
from tests.cases import CASES
from tests.tflite.files import tiny_files

CASE = CASES[0]


@pytest.fixture(scope="module")
def files():
    """Each recipe's file, with metadata."""
    metadata = Metadata(
        "Letters", "Tells them apart.", input_range=(-1, 1), labels=tuple("abcdefg")
    )
    return {name: with_metadata(content, metadata) for name, content in tiny_files().items()}


def converted(function, *specs, flex=False):
    """Somebody else's file, from TensorFlow."""
    import tensorflow as tf

    function = tf.function(function, input_signature=[tf.TensorSpec(*spec) for spec in specs])
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [function.get_concrete_function()], tf.Module()
    )
    if flex:
        ops = tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS
        converter.target_spec.supported_ops = ops
    return converter.convert()


def fits(found):
    return max(map(len, str(found).splitlines())) <= 80


def test_it_tells_ends_metadata_and_files(files):
    for content in files.values():
        found = inspect(content)
        [image], [scores] = found.inputs, found.outputs
        assert (image.dtype, image.shape, image.scale) == ("float32", (1, 16, 32, 3), None)
        assert (scores.dtype, scores.shape, scores.scale) == ("float32", (1, 7), None)
        assert found.metadata.labels == tuple("abcdefg")
        assert found.files == ("labels.txt",)
        assert (found.bytes, found.subgraphs, found.problem) == (len(content), 1, None)
        assert fits(found)


def test_a_scale_is_whole_however_long_a_name_is():
    content = convert(CASE.trained(), "int8", calibration=CASE.images(8), integer_io=True)
    text = str(inspect(content))
    [image] = inspect(content).inputs
    assert f"(zero point {image.zero_point}, scale {image.scale:.4g})" in text
    assert fits(text)


def test_what_is_no_tflite_file_is_refused_with_the_cure(tmp_path, files):
    with pytest.raises(FileNotFoundError, match=r"is a folder; .*file, of which it has none"):
        inspect(tmp_path)
    (tmp_path / "a.tflite").write_bytes(files["float32"])
    with pytest.raises(
        FileNotFoundError, match=r"is a folder; give a .tflite file in it: a\.tflite"
    ):
        inspect(tmp_path)
    (tmp_path / "a.keras").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"It is a Keras model; .* keras-mixer export .*a\.keras"):
        inspect(tmp_path / "a.keras")
    with pytest.raises(FileNotFoundError, match=r"There is no \.tflite file at"):
        inspect(tmp_path / "b.tflite")


def test_metadata_may_say_nothing(files):
    found = inspect(with_metadata(files["float32"], Metadata()))
    assert "\nmetadata without content\n" in str(found)


def test_it_tells_how_weights_are_stored(files):
    kernels = sum(w.shape.num_elements() for w in CASE.tiny().weights if len(w.shape) > 1)
    stored = {name: {w.dtype: w for w in inspect(file).weights} for name, file in files.items()}
    assert stored["float32"]["float32"].bytes > 4 * kernels
    assert stored["float16"]["float16"].bytes == 2 * kernels
    assert stored["float16"]["float32"].bytes < kernels  # of norms, and biases
    assert stored["dynamic_int8"]["int8"].quantised == "per channel"
    channelled = next(w for w in inspect(files["int8"]).weights if w.quantised == "per channel")
    assert (channelled.dtype, channelled.bytes) == ("int8", kernels)
    for name, file in files.items():
        assert sum(w.bytes for w in inspect(file).weights) < len(file), name


def test_every_op_is_in_a_partition_or_outside(files):
    for name, content in files.items():
        found = inspect(content)
        assert sum(found.partitions) + sum(found.outside.values()) == sum(found.counts.values())
        assert (len(found.partitions) == 1) == (not RECIPES[name].every_op)
    found = inspect(files["int8"])
    assert "RSQRT" in found.outside  # XNNPACK has it in float alone
    assert f"{found.outside['RSQRT']} RSQRT" in str(found).replace("\n", " ")
    hybrid = [op for op in inspect(files["dynamic_int8"]).ops if op.weights == "int8"]
    assert {(op.name, op.dtype) for op in hybrid} == {("FULLY_CONNECTED", "float32")}


def test_it_tells_which_file_is_computed_in_float16(files):
    for name, content in files.items():
        found = inspect(content)
        assert found.float16 == found.as_dict()["float16"] == (name == "float16")
        assert ("compute it in float16" in " ".join(str(found).split())) == found.float16


def test_a_partition_is_what_lies_between_its_ends():
    """LiteRT's nodes: the model's ops, then one DELEGATE a part, by their tensors."""
    nodes = [
        ("A", [0], [1]),
        ("B", [1], [2]),  # outside
        ("C", [2, 1], [3]),
        ("D", [3, -1], [4]),
        ("DELEGATE", [0], [1]),
        ("DELEGATE", [1, 2], [4]),
    ]
    assert partitions(nodes) == ((1, 2), {0, 2, 3})
    assert partitions(nodes[:4]) == ((), set())
    assert partitions(None) == (None, None)


def test_several_inputs_and_sizes_that_may_change_are_shown():
    import tensorflow as tf

    content = converted(
        lambda x, y: {"product": tf.matmul(x, y), "more": x + 1},
        ((None, 4), tf.float32, "x"),
        ((4, 3), tf.float32, "y"),
    )
    found = inspect(content)
    assert sorted(tensor.shape for tensor in found.inputs) == [(-1, 4), (4, 3)]
    assert sorted(tensor.shape for tensor in found.outputs) == [(-1, 3), (-1, 4)]
    assert found.metadata is None
    assert found.files == ()
    assert "[?, 4]" in str(found)
    assert "no metadata" in str(found)


def test_loops_are_subgraphs_whose_ops_count():
    import tensorflow as tf

    content = converted(
        lambda x: tf.while_loop(lambda i, v: i < 3, lambda i, v: (i + 1, v * 2), (0, x))[1],
        ((3, 4), tf.float32),
    )
    found = inspect(content)
    assert found.subgraphs == 3
    assert {"WHILE", "LESS", "MUL"} <= set(found.counts)
    assert "3 subgraphs" in str(found)


def test_a_file_that_litert_does_not_run_is_shown_all_the_same():
    import tensorflow as tf

    found = inspect(converted(lambda x: tf.math.erf(x) + 1, ((3, 4), tf.float32), flex=True))
    assert found.counts == {"FlexErf": 1, "ADD": 1}
    assert found.partitions is None
    assert "FlexErf" in found.problem
    assert "LiteRT does not run the file on this machine" in str(found)
    assert fits(found)


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs")
def test_quantised_ends_are_shown_with_their_step():
    import tensorflow as tf

    layers = [keras.Input((4,), batch_size=1), keras.layers.Dense(3)]
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Sequential(layers))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    images = np.linspace(0, 1, 32, dtype=np.float32).reshape(8, 1, 4)
    converter.representative_dataset = lambda: ([image] for image in images)
    converter.inference_input_type = tf.uint8
    [image] = inspect(converter.convert()).inputs
    assert image.dtype == "uint8"
    assert image.scale == pytest.approx(1 / 255)  # of 0 to 1, in 256 values
    assert image.zero_point == 0


def test_it_is_json_when_it_is_asked_for(files):
    found = json.loads(json.dumps(inspect(files["int8"]).as_dict()))
    assert found["inputs"][0]["shape"] == [1, 16, 32, 3]
    assert found["metadata"]["name"] == "Letters"
    assert found["outside"]["RSQRT"] == 10


@pytest.mark.parametrize("size", [0, 7, 100, 5000, 20_000])
def test_a_truncated_file_is_refused(files, tmp_path, size):
    cut = tmp_path / "cut.tflite"
    cut.write_bytes(files["float32"][:size])
    with pytest.raises(ValueError, match=r"cut\.tflite (is not a \.tflite file|does not load)"):
        inspect(cut)


def test_a_foreign_or_missing_file_is_refused(tmp_path):
    text = tmp_path / "text.tflite"
    text.write_text("This is not a model at all.")
    with pytest.raises(ValueError, match=r"text\.tflite is not a \.tflite file"):
        inspect(text)
    with pytest.raises(FileNotFoundError, match=r"no \.tflite file at 'nowhere\.tflite'"):
        inspect("nowhere.tflite")
    text.write_bytes(b"\x10\0\0\0TFL3" + bytes(range(256)))
    with pytest.raises(ValueError, match=r"text\.tflite does not load"):
        inspect(text)
