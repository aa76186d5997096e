"""A converted model is the model, on LiteRT's own ops."""

from collections import Counter
from itertools import product

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.schema_py_generated import ModelT

import keras_mixer
from keras_mixer._keras import inner_layers
from keras_mixer.layers import LayerNorm, Mlp, PatchEmbed, Residual
from keras_mixer.models import ARCHITECTURES
from keras_mixer.tflite import RECIPES, convert, inspect
from keras_mixer.tflite.convert.calibration import calibration_images
from keras_mixer.tflite.convert.rewrite import REWRITES, gelu_in_steps
from keras_mixer.tflite.file.interpreter import activations, open_interpreter
from keras_mixer.tflite.file.structure import check_structure
from keras_mixer.tflite.run.runner import Runner
from tests.cases import BY_NAME, CASES, OTHERS, PILOTS, SMALLEST, randomised
from tests.marks import slow
from tests.tflite.files import tiny_file, tiny_model

CASE = CASES[0]

# Largest difference of a logit to Keras's, over the largest logit, on a tiny model with random
# weights: rounding of float32, of float16, of 8 bits in products and then in every op, of 4 bits.
TOLERANCES = {
    "float32": 1e-5,
    "float16": 1e-3,
    "dynamic_int8": 0.03,
    "static_int8": 0.06,
    "int8": 0.1,
    "int16x8": 0.03,
    "dynamic_int4": 0.4,
}


def by_default(case, recipe):
    """Of the first architecture all recipes, of the other pilot one in integers, of all float32."""
    return case is CASES[0] or recipe == "float32" or (case in PILOTS and recipe == "int8")


@pytest.fixture(
    scope="module",
    params=[row if by_default(*row) else slow(row) for row in product(CASES, RECIPES)],
    ids=lambda row: f"{row[0].architecture}-{row[1]}",
)
def converted(request):
    case, recipe = request.param
    return case, recipe, tiny_file(recipe, case)


def test_every_recipe_keeps_the_logits(converted):
    case, recipe, content = converted
    images = case.images(32)
    expected = np.asarray(tiny_model(case)(images))
    runner = Runner(content)
    got = np.stack([runner(image) for image in images])
    assert np.abs(got - expected).max() < TOLERANCES[recipe] * np.abs(expected).max()
    for value in (-1, 0, 1):  # a norm divides by what does not vary
        assert np.isfinite(runner(np.full_like(images[0], value))).all()


def test_every_recipe_takes_one_float_image_and_uses_built_in_ops(converted):
    case, recipe, content = converted
    check_structure("the file", content)
    runner = Runner(content)
    assert runner.shape == case.images().shape[1:]
    for tensor in (runner.input, runner.output):
        assert tensor["dtype"] == np.float32
        assert tensor["shape"][0] == 1
    found = inspect(content)
    counts = found.counts
    assert found.problem is None
    assert not [name for name in counts if name.startswith(("Flex", "CUSTOM", "NEG", "SQUARED"))]
    assert not {"SHAPE", "PACK", "GATHER"} & set(counts)  # signs of a batch that is not static
    has_gelu = case.architecture != "g_mixer"  # which has SiLU
    assert (counts["GELU"] > 0) == (has_gelu and not RECIPES[recipe].every_op)
    if not RECIPES[recipe].every_op:
        assert len(found.partitions) == 1
        assert not found.outside
    else:
        assert (counts["QUANTIZE"], counts["DEQUANTIZE"]) == (1, 1)  # at the two ends, not between
        # XNNPACK has no int16. In int8 it has no RSQRT, which a norm is made of, and no SOFTMAX.
        assert bool(found.partitions) == (recipe == "int8")
        assert (len(found.partitions) > 1) == (
            recipe == "int8" and {"RSQRT", "SOFTMAX"} & {*counts} != set()
        )


@pytest.mark.parametrize("recipe", ["float16", "dynamic_int8"])
def test_weights_are_inside_the_flatbuffer_where_every_reader_looks(recipe):
    content = convert(CASE.tiny(channel_mlp_dim=2000, depth=1), recipe)
    buffers = ModelT.InitFromPackedBuf(content).buffers
    assert max(len(b.data) for b in buffers if b.data is not None) > 30_000  # a kernel
    assert {(b.offset, b.size) for b in buffers} == {(0, 0)}


def float_tensors(content):
    """How many of a file's activations are in float32."""
    tensors = activations(open_interpreter(content, preserve_tensors=True)).values()
    return sum(tensor["dtype"] == np.float32 for tensor in tensors)


@pytest.mark.parametrize(("recipe", "kind"), [("int8", np.int8), slow("int16x8", np.int16)])
def test_with_integer_inputs_and_outputs_nothing_is_left_in_float(recipe, kind):
    content, image = tiny_file(recipe, integer_io=True), CASE.images()[0]
    runner = Runner(content)
    assert runner.input["dtype"] == runner.output["dtype"] == kind
    assert float_tensors(content) == 0
    images = CASE.images(8)
    probable = convert(CASE.tiny(depth=1), recipe, calibration=images, integer_io=True)
    assert float_tensors(probable) == 0  # nor in a softmax
    floats = Runner(tiny_file(recipe))
    # The image is rounded by us here and by LiteRT there.
    assert np.abs(runner(image) - floats(image)).max() < 2 * runner.output["quantization"][0]


@pytest.mark.parametrize(
    "recipe", ["int8", *map(slow, ("dynamic_int8", "dynamic_int4", "float16"))]
)
def test_layers_that_are_kept_compute_in_float(recipe):
    some = "block_1/*_mlp", ("block_1/*_mlp", "head"), "*"
    kept = [tiny_file(recipe), *(tiny_file(recipe, keep_float=layers) for layers in some)]
    sizes = [*map(len, kept)]
    assert sizes == sorted(set(sizes))  # the more is kept, the larger
    image = CASE.images()[0]
    everything, floats = Runner(kept[-1])(image), Runner(tiny_file())(image)
    assert np.abs(everything - floats).max() < 1e-5


@pytest.mark.cases(CASES, slow=OTHERS)
def test_what_can_go_into_a_neighbour_s_weights_is_not_computed(case):
    plain = inspect(tiny_file(case=case)).counts
    pixels = case.trained(classifier_activation=None, include_preprocessing=True)
    content = convert(pixels)
    if not ARCHITECTURES[case.architecture].padded_stem:  # around an image there are zeros
        assert inspect(content).counts == plain  # the rescaling of pixels is in the stem
    image = np.random.default_rng(0).integers(0, 256, case.images().shape[1:]).astype(np.float32)
    expected = np.asarray(pixels(image[None]))[0]
    assert np.abs(expected).max() > 0.1
    assert np.abs(Runner(content)(image) - expected).max() < 1e-5  # float32

    backbone = inspect(convert(case.trained(include_top=False))).counts
    # The norm before the head has no scale and offset of its own when a head follows.
    assert plain - backbone == Counter(FULLY_CONNECTED=1, MEAN=1)
    has_last_norm = "norm" in {layer.name for layer in pixels.layers}
    assert backbone - plain == (Counter(MUL=1, ADD=1) if has_last_norm else Counter())


@pytest.mark.parametrize(
    "make",
    [
        lambda: [keras.layers.Conv2D(5, 3), keras.layers.BatchNormalization()],
        lambda: [keras.layers.Dense(5), keras.layers.BatchNormalization()],
        lambda: [keras.layers.Dense(5), keras.layers.Rescaling([1, 2, 3, 4, 5])],  # a layer scale
        lambda: [LayerNorm(), keras.layers.Dense(5)],
        lambda: [keras.layers.Rescaling(3, [1, 2, 3]), keras.layers.Conv2D(5, 3)],
    ],
)
def test_a_norm_or_a_scale_goes_into_a_dense_layer_or_convolution_beside_it(make):
    layers = [keras.Input((8, 8, 3)), *make(), keras.layers.GlobalAveragePooling2D()]
    model = randomised(keras.Sequential(layers))
    for weight in model.weights:
        if "variance" in weight.name:
            weight.assign(keras.ops.abs(weight) + 0.5)
    content = convert(model)
    counts = inspect(content).counts
    a_norm_of_its_own = Counter(MUL=2, ADD=1) if counts["RSQRT"] else Counter()
    assert counts & Counter(MUL=9, ADD=9) == a_norm_of_its_own
    image = np.random.default_rng(0).normal(size=(8, 8, 3)).astype(np.float32)
    expected = np.asarray(model(image[None]))[0]
    assert np.abs(expected).max() > 0.1
    assert np.abs(Runner(content)(image) - expected).max() < 1e-5  # float32


@pytest.mark.parametrize("lora", [False, slow(True)])
def test_a_batch_norm_in_front_of_several_layers_goes_into_all_of_them(lora):
    case = BY_NAME["hire_mlp"]
    model = case.trained(classifier_activation=None, **case.shallow)
    blocks = [layer for layer in model.layers if isinstance(layer, Residual)]
    if lora:
        blocks[0].channel_dense.enable_lora(2)
        randomised(model)  # the kernel is now a sum, which replaces no variable
    folded, plain = convert(model), convert(model, without="fold_block_norms")
    count = len(blocks) - lora
    assert inspect(plain).counts - inspect(folded).counts == Counter(MUL=count, ADD=count)
    images = case.images()
    expected = np.asarray(model(images))
    assert np.abs(expected).max() > 0.1
    for image, logits in zip(images, expected, strict=True):
        assert np.abs(Runner(folded)(image) - logits).max() < 1e-5  # float32


def test_rewrites_are_listed_where_convert_takes_their_names():
    assert [name for name in REWRITES if f'"{name}"' not in convert.__doc__] == []


def test_gelu_in_steps_is_gelu():
    x = np.linspace(-20, 20, 10_001)
    expected = x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    got = keras.ops.convert_to_numpy(gelu_in_steps(x.astype(np.float32)))
    assert np.abs(got - expected).max() < 5e-6  # float32


@pytest.mark.parametrize(
    "layer", [Mlp(32), *(keras.layers.Dense(32, activation=a) for a in ("gelu", "silu", "sigmoid"))]
)
@pytest.mark.parametrize("size", [1, 10])
def test_what_goes_by_a_sigmoid_keeps_small_and_large_values_in_8_bits(layer, size):
    image = keras.Input((16, 16, 8))
    model = keras.Model(image, type(layer).from_config(layer.get_config())(image))
    kernel = model.weights[0]
    kernel.assign(kernel * size)
    images = np.random.default_rng(0).normal(size=(8, 16, 16, 8)).astype(np.float32)
    content = convert(model, "int8", calibration=images)
    assert not inspect(content).counts["GELU"]
    run = open_interpreter(content).get_signature_runner()
    got = np.concatenate([run(image=image[None])["scores"] for image in images])
    expected = np.asarray(model(images))
    # Five times as much where the sigmoid's input, which grows with the cube, is not cut off.
    assert np.sqrt(np.mean((got - expected) ** 2)) < 0.03 * expected.std()


def test_the_stem_is_a_dense_layer_which_is_faster_in_int8():
    image = keras.Input((8, 12, 2))  # no side like another, so that none can pass for another
    model = keras.Model(image, PatchEmbed(5, 4, name="stem")(image))
    randomised(model)
    content = convert(model)
    counts = inspect(content).counts
    assert (counts["FULLY_CONNECTED"], counts["CONV_2D"]) == (1, 0)
    example = np.random.default_rng(0).normal(size=(1, 8, 12, 2)).astype(np.float32)
    expected = np.asarray(model(example))
    assert np.abs(expected).max() > 0.1
    interpreter = open_interpreter(content)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], example)
    interpreter.invoke()
    [output] = interpreter.get_output_details()
    assert np.abs(interpreter.get_tensor(output["index"]) - expected).max() < 1e-5  # float32


@pytest.mark.cases(CASES, slow=OTHERS)
def test_a_mixed_bfloat16_model_is_converted_in_float32(case, mixed_bfloat16):
    half = case.trained(classifier_activation=None, **case.shallow)
    keras.config.set_dtype_policy("float32")
    full = case.trained(classifier_activation=None, **case.shallow)
    half.set_weights(full.get_weights())
    images = case.images()
    from_half, in_full = Runner(convert(half))(images[0]), np.asarray(full(images))[0]
    assert np.abs(from_half - in_full).max() < 1e-5 * np.abs(in_full).max()  # bfloat16 has 1e-2


def test_calibration_is_an_array_a_data_set_or_batches_and_all_give_the_same_file():
    images, labels = CASE.images(32), np.arange(32)
    dataset = tf.data.Dataset.from_tensor_slices((images, labels)).batch(5)
    kinds = [(images, labels), dataset, [images[:5], images[5:]], iter([(images, labels)])]
    takes = keras_mixer.preprocessing(tiny_model())
    for kind in kinds:
        found = calibration_images(RECIPES["int8"], kind, images.shape[1:], "test", takes)
        assert np.array_equal(np.stack([*found]), images)
    assert convert(tiny_model(), "int8", calibration=dataset) == tiny_file("int8")


@pytest.mark.parametrize("groups", [slow(1), 8, slow(24)])
def test_any_number_of_groups_of_channels_is_one_partition(groups):
    case = BY_NAME["ccs"].but(groups=groups)
    model = case.trained(classifier_activation=None, **case.shallow)
    content, image = convert(model), case.images()[0]
    found = inspect(content)
    assert (len(found.partitions), found.outside) == (1, Counter())
    expected = np.asarray(model(image[None]))[0]
    assert np.abs(Runner(content)(image) - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MixerB16", *SMALLEST.values()])
def test_a_published_model_is_one_partition_and_within_1e_4_of_keras(name):
    model = randomised(getattr(keras_mixer, name)(classifier_activation=None))
    shape = 2, *model.input_shape[1:]
    images = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    norms = [x for x in inner_layers(model) if isinstance(x, keras.layers.BatchNormalization)]
    for norm in norms:
        norm.momentum = 0
    if norms:  # their statistics become those of these images
        model(images, training=True)
    content = convert(model)
    found = inspect(content)
    assert len(found.partitions) == 1
    assert not {"NEG", "SQUARED_DIFFERENCE"} & set(found.counts)
    expected, runner = model.predict(images, verbose=0), Runner(content)
    least = 1 if name == "MixerB16" else 0.3  # so that 1e-4 means something
    assert np.abs(expected).max() > least
    for image, logits in zip(images, expected, strict=True):
        assert np.abs(runner(image) - logits).max() < 1e-4


def nothing(*args, **kwargs):
    raise AssertionError("it should have been refused before any conversion")


IMAGES = CASE.images()
NAN = np.where(np.arange(4)[:, None, None, None] == 2, np.nan, IMAGES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"recipe": "int9"}, "no recipe 'int9'.*Did you mean 'int8'.*float32, float16"),
        ({"recipe": "int8"}, "'int8' needs calibration=.*got none"),
        ({"recipe": "int8", "calibration": []}, "at least one image"),
        ({"recipe": "int8", "calibration": IMAGES[0]}, r"\[N, 16, 32, 3\].*\(16, 32, 3\)"),
        ({"recipe": "int8", "calibration": IMAGES[:, :8]}, r"\[N, 16, 32, 3\].*\(4, 8, 32, 3\)"),
        ({"recipe": "int8", "calibration": [IMAGES, NAN]}, "1 of 4 contain NaN"),
        ({"recipe": "int8", "calibration": IMAGES.astype(str)}, "images of numbers"),
        ({"recipe": "float32", "calibration": IMAGES}, "'float32' takes no calibration"),
        (
            {"recipe": "float16", "keep_float": ["stem", "blok"]},
            "called 'blok'.*: preprocessing, stem,",
        ),
        ({"recipe": "float32", "keep_float": ["stem"]}, "'float32' keeps every layer"),
        ({"recipe": "dynamic_int8", "integer_io": True}, "needs 'int8', 'int16x8'"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_is_converted(arguments, message, monkeypatch):
    monkeypatch.setattr(tf.lite.TFLiteConverter, "from_saved_model", nothing)
    with pytest.raises(ValueError, match=message):
        convert(CASE.tiny(), **arguments)


def test_int4_refuses_layers_of_odd_width_and_says_which_to_keep():
    model = keras_mixer.MlpMixer(
        patch_size=4,
        width=8,
        depth=1,
        token_mlp_dim=4,
        channel_mlp_dim=8,
        input_shape=(12, 12, 3),  # 9 tokens
        classes=2,
    )
    with pytest.raises(ValueError, match=r"even.*block_0/token_mlp/expand has 9.*keep_float"):
        convert(model, "dynamic_int4")
    assert convert(model, "dynamic_int4", keep_float=["*/token_mlp/expand"])


def endless():
    while True:
        yield CASE.images(24)


@pytest.mark.parametrize(
    "data",
    [endless, lambda: tf.data.Dataset.from_tensor_slices(CASE.images(24)).batch(24).repeat()],
)
def test_of_calibration_batches_without_end_the_first_500_images_are_taken(data):
    takes = keras_mixer.preprocessing(tiny_model())
    found = calibration_images(RECIPES["int8"], data(), CASE.images().shape[1:], "test", takes)
    assert len(found) == 500
    assert np.array_equal(found[:24], CASE.images(24))


def _two_inputs():
    image, other = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    return keras.Model([image, other], image + other)


def _any_size():
    image = keras.Input((None, None, 3))
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(image), name="any_size")


def _with_flex():
    image = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.ops.erf(image))
    return keras.Model(image, x, name="with_flex")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: keras.Sequential([keras.layers.Dense(2)], name="raw"), "'raw' was never built"),
        (_two_inputs, "one input and one output.*2 and 1"),
        (_any_size, r"fixed size.*'any_size' takes \(None, None, None, 3\)"),
        (lambda: keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)]), "fixed size"),
        (lambda: keras.layers.Dense(2), "Keras model; got Dense"),
        (_with_flex, "'with_flex'.*built-in ops.*Erf"),
    ],
)
def test_a_model_that_cannot_be_converted_is_refused_with_the_reason(make, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        convert(make())
