"""Larger images: every tile as before."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

import keras_mixer
from keras_mixer import data, training
from keras_mixer._keras import inner_layers
from keras_mixer.weights.resize import Interpolation
from tests.cases import BY_NAME, CASES, TILED, randomised
from tests.pictures import SHARED

MIXER = BY_NAME["mlp_mixer"]
TOLERANCE = 1e-5  # float32 in two orders of summation, relative to the largest value


def tiles(images, rows, columns):
    """[R C, H, W, 3] -> one image [1, R H, C W, 3] of those tiles."""
    lines = [np.concatenate(images[r * columns : (r + 1) * columns], 1) for r in range(rows)]
    return np.concatenate(lines, 0)[None]


@pytest.mark.cases(TILED)
@pytest.mark.parametrize(("rows", "columns"), [(2, 2), (3, 3), (1, 2)])
def test_copies_of_one_tile_are_answered_as_the_tile_is(case, rows, columns):
    model = case.trained(classifier_activation=None)
    resized = keras_mixer.resize(model, (16 * rows, 32 * columns))
    images = case.images()
    expected = np.asarray(model(images))
    logits = np.asarray(resized(np.tile(images, (1, rows, columns, 1))))
    assert np.abs(logits - expected).max() < TOLERANCE * np.abs(expected).max()


@pytest.mark.cases(TILED)
def test_different_tiles_give_their_own_maps_side_by_side_after_every_block(case):
    """Also between blocks: the next norm would hide a bias that stood at a wrong token."""
    model = case.trained(include_top=False)
    resized = keras_mixer.resize(model, (32, 64))
    images = case.images()
    large = tiles(images, 2, 2)
    expected, found = maps(model, images), maps(resized, large)
    assert expected.keys() == found.keys()
    for name, one in expected.items():
        side_by_side = tiles(one, 2, 2)
        assert found[name].shape == (1, 8, 16, 24)
        difference = np.abs(found[name] - side_by_side).max()
        assert difference < TOLERANCE * np.abs(side_by_side).max()


def maps(model, images):
    found = keras_mixer.features(model)(images)
    return {name: np.array(x) for name, x in {**found["blocks"], "map": model(images)}.items()}


@pytest.mark.cases(TILED)
def test_scores_of_different_tiles_are_averaged(case):
    model = case.trained(classifier_activation=None)
    images = case.images()
    expected = np.asarray(model(images)).mean(0)
    logits = np.asarray(keras_mixer.resize(model, (32, 64))(tiles(images, 2, 2)))[0]
    assert np.abs(logits - expected).max() < TOLERANCE * np.abs(expected).max()


@pytest.mark.cases([case for case in CASES if case.resized == "rebuilt"])
def test_a_model_without_weights_of_tokens_is_built_anew_for_any_size(case):
    model, size = case.trained(classifier_activation=None), (24, 40)
    direct = case.tiny(classifier_activation=None, input_shape=(*size, 3))
    direct.set_weights(model.get_weights())
    images = np.random.default_rng(2).uniform(-1, 1, (2, *size, 3)).astype(np.float32)
    for resize in (keras_mixer.resize, keras_mixer.resize_by_interpolation):
        resized = resize(model, size)
        assert [w.path for w in resized.weights] == [w.path for w in model.weights]
        assert np.array_equal(resized(images), direct(images))


@pytest.mark.cases([case for case in CASES if case.resized is None])
@pytest.mark.parametrize("resize", [keras_mixer.resize, keras_mixer.resize_by_interpolation])
def test_a_model_of_one_size_alone_says_why(case, resize):
    model = case.tiny()
    for size in ((32, 64), (20, 36)):
        with pytest.raises(ValueError, match=r"cannot resize 'block_0' \(CcsBlock\)\. Its circul"):
            resize(model, size)


def test_the_token_mlps_grow_as_the_paper_says():
    """S -> K^2 S tokens and D_S -> K^2 D_S units, with one block of the old weights a tile."""
    model = MIXER.trained()
    resized = keras_mixer.resize(model, (32, 64))
    before, after = (m.get_layer("block_1").token_mlp for m in (model, resized))
    assert after.expand.kernel.shape == (4 * 32, 4 * 20)
    assert after.project.kernel.shape == (4 * 20, 4 * 32)
    for old, new in zip(before.weights, after.weights, strict=True):
        assert np.count_nonzero(new) == 4 * np.count_nonzero(old)
        assert np.isclose(np.sum(np.abs(new)), 4 * np.sum(np.abs(old)), rtol=1e-5)
    for name in ("stem", "norm", "head"):
        for old, new in zip(
            model.get_layer(name).weights, resized.get_layer(name).weights, strict=True
        ):
            assert np.array_equal(old, new)


def test_the_zeros_between_tiles_are_trained():
    resized = keras_mixer.resize(MIXER.trained(), (32, 64))
    kernel = resized.get_layer("block_0").token_mlp.expand.kernel
    zeros = keras.ops.convert_to_numpy(kernel) == 0
    resized.compile("sgd", "sparse_categorical_crossentropy")
    images = np.random.default_rng(2).uniform(-1, 1, (4, 32, 64, 3)).astype(np.float32)
    resized.train_on_batch(images, np.arange(4))
    assert zeros.mean() == 0.75
    assert np.count_nonzero(keras.ops.convert_to_numpy(kernel)[zeros]) == zeros.sum()


def test_what_is_not_weights_stays_too(tmp_path):
    model = MIXER.trained(drop_path_rate=0.2, include_preprocessing=True, gelu="erf", name="mine")
    model.get_layer("stem").trainable = False
    resized = keras_mixer.resize(model, (32, 64))
    assert resized.name == "mine"
    assert resized.input_shape == (None, 32, 64, 3)
    assert not resized.get_layer("stem").trainable
    for old, new in zip(model.layers[1:], resized.layers[1:], strict=True):
        changed = {k for k, v in old.get_config().items() if v != new.get_config()[k]}
        assert changed <= {"token_mlp_dim", "target_shape", "build_config"}
    resized.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    images = np.random.default_rng(2).uniform(0, 255, (2, 32, 64, 3)).astype(np.float32)
    assert np.array_equal(again(images), resized(images))
    twice = keras_mixer.resize(resized, (64, 64))
    assert twice.get_layer("block_0").token_mlp_dim == 20 * 4 * 2


@pytest.mark.usefixtures("mixed_bfloat16")
def test_the_dtype_stays():
    model = MIXER.trained()
    resized = keras_mixer.resize(model, (32, 64))
    assert resized.get_layer("block_0").compute_dtype == "bfloat16"
    assert {w.dtype for w in resized.weights} == {"float32"}


@pytest.fixture(scope="module")
def mixer_s32():
    return keras_mixer.MixerS32()


@pytest.mark.slow
def test_a_variant_at_448(mixer_s32, tmp_path):
    resized = keras_mixer.resize(mixer_s32, np.int64(448))
    resized.save(tmp_path / "model.keras")
    built = keras_mixer.MixerS32(input_shape=(448, 448, 3))
    assert resized.output_shape == (None, 1000)
    assert resized.get_layer("map").output.shape == built.get_layer("map").output.shape
    assert resized.get_layer("block_0").token_mlp_dim == 4 * 256


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (300, r"takes 224 x 224, so 448 x 448 or 672 x 672 would do; got 300 x 300"),
        (112, r"so 448 x 448 or 672 x 672 would do; got 112 x 112"),
        ((448, 1000), r"so 448 x 448 or 448 x 896 or 672 x 672 would do; got 448 x 1000"),
        ((448, 448, 3), r"would do; got 448 x 448 x 3"),
        (448.5, r"would do; got 448\.5 x 448\.5"),
        (0, r"would do; got 0 x 0"),
    ],
)
def test_a_factor_that_is_not_whole_is_an_error_that_says_what_would_work(mixer_s32, size, message):
    with pytest.raises(ValueError, match=message):
        keras_mixer.resize(mixer_s32, size)


def test_a_model_within_a_model_is_an_error_that_says_what_to_resize():
    backbone = MIXER.tiny(include_top=False, name="backbone")
    outer = keras.Sequential([backbone.input, backbone, keras.layers.GlobalAveragePooling2D()])
    with pytest.raises(ValueError, match=r"contains backbone\. Resize that and build"):
        keras_mixer.resize(outer, (32, 64))


def test_a_layer_that_cannot_grow_is_named():
    model = MIXER.tiny(include_top=False)
    flat = keras.layers.Dense(2, name="top")(keras.layers.Flatten()(model.output))
    with pytest.raises(ValueError, match=r"cannot resize 'top' \(Dense\)"):
        keras_mixer.resize(keras.Model(model.input, flat), (32, 64))


@pytest.mark.parametrize(
    ("model", "message"), [("MixerB16", "got str"), (keras.Sequential(), "got Sequential")]
)
def test_what_is_no_functional_model_is_an_error(model, message):
    with pytest.raises(ValueError, match=f"functional Keras model; {message}"):
        keras_mixer.resize(model, 448)


def in_front(*front, **arguments):
    """A Mixer whose weights are at no start, behind other layers."""
    x = keras.Input((16, 32, 3))
    for layer in front:
        x = layer(x)
    model = MIXER.tiny(input_tensor=x, classifier_activation=None, **arguments)
    adapted = [layer for layer in front if isinstance(layer, keras.layers.Normalization)]
    kept = {id(weight) for layer in adapted for weight in layer.weights}
    randomised(SimpleNamespace(weights=[w for w in model.weights if id(w) not in kept]))
    return model


def adapted(**arguments):
    layer = keras.layers.Normalization(**arguments)
    layer.adapt(np.random.default_rng(3).uniform(0, 255, (9, 16, 32, 3)) * [0.2, 1, 0.5] + 40)
    return layer


def of_others(x):
    return x / 127.5 - 1


@pytest.mark.parametrize(
    "front",
    [
        lambda: [adapted()],
        lambda: [adapted(axis=None)],
        lambda: [keras.layers.Normalization(mean=[9, 99, 120], variance=[900, 4000, 5000])],
        lambda: [keras.layers.RandomFlip(), keras.layers.Rescaling([1 / 127.5] * 3, -1)],
        lambda: [of_others, keras.layers.BatchNormalization()],
        lambda: [keras.applications.resnet.preprocess_input],
        lambda: [keras.layers.Lambda(of_others)],
        lambda: [keras.layers.CenterCrop(16, 32), of_others],
        lambda: [WithoutKwargs(1 / 127.5)],
    ],
    ids=[
        *("adapted", "adapted over all", "normalization", "augmentation", "operations"),
        *("preprocess_input", "lambda", "sized", "without kwargs"),
    ],
)
def test_layers_in_front_come_along_with_their_state(front):
    model = in_front(*front())
    state = [np.array(weight) for weight in model.weights]
    nodes = [len(operation._outbound_nodes) for operation in model.operations]
    resized = keras_mixer.resize(model, (32, 64))
    images = np.random.default_rng(2).integers(0, 256, (4, 16, 32, 3)).astype(np.float32)
    expected = np.asarray(model(images, training=False))
    logits = np.asarray(resized(np.tile(images, (1, 2, 2, 1)), training=False))
    assert np.abs(logits - expected).max() < TOLERANCE * max(1, np.abs(expected).max())
    assert np.abs(expected[0] - expected[1]).max() > 1e-3
    # The old model stays as it is, and shares nothing with the new one.
    assert not {*map(id, model.weights)} & {*map(id, resized.weights)}
    for weight in resized.weights:
        weight.assign(weight * 0)
    assert all(np.array_equal(a, b) for a, b in zip(state, model.weights, strict=True))
    assert nodes == [len(operation._outbound_nodes) for operation in model.operations]


class WithoutKwargs(keras.layers.Layer):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def call(self, x):
        return x * self.scale - 1


def test_what_a_model_was_compiled_with_does_not_matter_and_is_left_behind():
    model = MIXER.trained()
    model.compile("sgd", lambda a, b: keras.ops.mean(a - b), metrics=[lambda a, b: a])
    resized = keras_mixer.resize(model, (32, 64))
    assert not resized.compiled
    assert model.compiled


def test_a_resized_image_grows_along_with_its_tokens():
    image = keras.Input((40, 40, 3))
    x = keras.layers.Resizing(16, 32)(image)  # of another shape than the image
    model = randomised(MIXER.tiny(input_tensor=x, classifier_activation=None))
    resized = keras_mixer.resize(model, (80, 40))
    assert resized.get_layer("map").output.shape == (None, 8, 8, 24)
    flat = np.full((1, 40, 40, 3), 0.3, np.float32)
    expected = np.asarray(model(flat))
    logits = np.asarray(resized(np.tile(flat, (1, 2, 1, 1))))
    assert np.abs(logits - expected).max() < TOLERANCE * np.abs(expected).max()


def test_what_is_frozen_within_a_layer_stays_so():
    model = MIXER.trained()
    model.get_layer("block_1").token_mlp.trainable = False
    resized = keras_mixer.resize(model, (32, 64))
    assert not resized.get_layer("block_1").token_mlp.trainable
    assert resized.get_layer("block_1").channel_mlp.trainable
    assert len(resized.trainable_weights) == len(model.trainable_weights)


def test_operations_behind_a_backbone_grow_too():
    backbone = randomised(MIXER.tiny(include_top=False))
    x = backbone.output + keras.layers.Dense(24)(backbone.output)
    model = keras.Model(backbone.input, keras.ops.mean(x / 2, axis=(1, 2)))
    images = MIXER.images()
    expected = np.asarray(model(images))
    found = np.asarray(keras_mixer.resize(model, (32, 64))(np.tile(images, (1, 2, 2, 1))))
    assert np.abs(found - expected).max() < TOLERANCE * np.abs(expected).max()


class BuildsItself(keras.Model):
    """A functional model whose class takes no inputs and outputs, and whose call does more."""

    def __init__(self):
        backbone = MIXER.tiny()
        super().__init__(backbone.input, backbone.output)

    def call(self, x, training=None):
        return 2 * super().call(x)


def test_a_class_with_a_call_of_its_own_is_told_what_to_resize():
    said = "resize cannot build another BuildsItself, whose call is its own. Resize a functional"
    with pytest.raises(ValueError, match=said):
        keras_mixer.resize(BuildsItself(), (32, 64))


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (
            lambda x: x + np.ones((1, 4, 8, 24)),
            r"resize 'add.*\(Add\)\. It does not take an image of",
        ),
        (lambda x: keras.ops.reshape(x, (-1, 4 * 8 * 24)), "not give one result for one image"),
        (lambda x: keras.ops.reshape(x, (1, 4 * 8 * 24)), "not give one result for one image"),
    ],
)
def test_an_operation_that_cannot_grow_is_an_error(operation, message):
    backbone = MIXER.tiny(include_top=False)
    model = keras.Model(backbone.input, operation(backbone.output))
    with pytest.raises(ValueError, match=message):
        keras_mixer.resize(model, (32, 64))


# -------------------------------------------------------------------------------- by interpolation
@pytest.mark.cases(TILED)
def test_interpolation_to_the_same_size_is_the_identity(case):
    model = case.trained()
    same = keras_mixer.resize_by_interpolation(model, (16, 32))
    for old, new in zip(model.weights, same.weights, strict=True):
        assert old.path == new.path
        assert np.array_equal(old, new)


@pytest.mark.cases(TILED)
def test_tokens_that_are_weighed_alike_give_the_same_scores_in_any_resolution(case):
    """Of an image of one colour, which is the same picture in every resolution."""
    model = case.trained(classifier_activation=None)
    for block in ("block_0", "block_1"):
        layer = model.get_layer(block)
        for weight in layer.weights:
            if (axes := layer.token_axes.get(weight.path.partition("/")[2])) is not None:
                over = tuple(i for i, kind in enumerate(axes) if kind == "tokens")
                weight.assign(np.mean(weight, over, keepdims=True) + np.zeros(weight.shape))
    colours = case.images()[:, :1, :1]
    expected = np.asarray(model(np.tile(colours, (1, 16, 32, 1))))
    for size in (12, 24), (20, 40), (24, 32), (32, 64), (8, 48):
        resized = keras_mixer.resize_by_interpolation(model, size)
        logits = np.asarray(resized(np.tile(colours, (1, *size, 1))))
        assert resized.input_shape == (None, *size, 3)
        assert np.abs(logits - expected).max() < TOLERANCE * np.abs(expected).max(), size


@pytest.mark.parametrize(("old", "new"), [((4, 8), (3, 6)), ((4, 8), (5, 9)), ((3, 5), (9, 5))])
def test_hidden_units_get_the_same_from_a_constant_map_whatever_their_kernel(old, new):
    kernel = np.random.default_rng(0).normal(size=(old[0] * old[1], 6)).astype(np.float32)
    grown = Interpolation(old, new).grown(kernel, ("tokens", "units"))
    assert grown.shape == (new[0] * new[1], 6)
    assert np.allclose(grown.sum(0), kernel.sum(0), rtol=1e-5, atol=1e-5)  # float32 sums


def waves(side):
    """A smooth map at the centres of a grid of a side, [S, 3]."""
    y, x = np.divmod(np.arange(side * side), side)
    y, x = (y + 0.5) / side, (x + 0.5) / side
    return np.stack([np.cos(3 * x + y), np.sin(2 * y - x), x * y], axis=1).astype(np.float32)


def test_smooth_weights_are_met_the_better_the_finer_the_grid():
    """Linear interpolation errs with the square of the distance between tokens inside the grid,
    and with the distance at its border, where there is nothing to interpolate with."""
    errors = []
    for side in (6, 12, 24):
        stretched = Interpolation((side, side), (side * 5 // 3,) * 2)
        given, summed = (
            stretched.grown(array, axes)
            for array, axes in (
                (waves(side).T, ("units", "tokens")),
                (waves(side), ("tokens", "units")),
            )
        )
        exact = waves(side * 5 // 3)
        share = (3 / 5) ** 2
        errors.append([np.abs(given.T - exact).mean(), np.abs(summed / share - exact).mean()])
    errors = np.array(errors)
    assert (errors[1:] < 0.6 * errors[:-1]).all()
    assert errors[-1, 0] < 0.005


def test_every_token_s_bias_is_interpolated_and_no_other():
    model = MIXER.trained()
    resized = keras_mixer.resize_by_interpolation(model, (8, 32))
    before, after = (m.get_layer("block_1").token_mlp for m in (model, resized))
    assert after.expand.kernel.shape == (16, 20)
    assert np.array_equal(after.expand.bias, before.expand.bias)
    pairs = np.reshape(before.project.bias, (2, 2, 8))  # two rows become one
    assert np.allclose(after.project.bias, pairs.mean(1).ravel(), rtol=1e-6)


def test_a_model_resized_by_interpolation_is_saved_and_shrunk_layers_in_front_with_it(tmp_path):
    image = keras.Input((40, 40, 3))
    x = keras.layers.Resizing(16, 32)(image)
    model = randomised(MIXER.tiny(input_tensor=x, include_preprocessing=True))
    resized = keras_mixer.resize_by_interpolation(model, 30)
    assert resized.get_layer("map").output.shape == (None, 3, 6, 24)
    resized.save(tmp_path / "model.keras")
    pixels = np.random.default_rng(2).uniform(0, 255, (2, 30, 30, 3)).astype(np.float32)
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert np.array_equal(again(pixels), resized(pixels))
    with pytest.raises(ValueError, match=r"'resizing.* Its 16 x 32 would need to be multiples of"):
        keras_mixer.resize_by_interpolation(model, 41)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (30, r"cannot resize 'stem'.* nearest size that works is 32 x 32"),
        (0, "needs size to be a height and a width in pixels; got 0"),
        ((8, 16, 3), r"a height and a width in pixels; got \(8, 16, 3\)"),
    ],
)
def test_a_size_that_cannot_be_interpolated_to_is_an_error(size, message):
    with pytest.raises(ValueError, match=f"^resize_by_interpolation .*{message}"):
        keras_mixer.resize_by_interpolation(MIXER.tiny(), size)


def test_a_size_that_is_no_multiple_is_sent_to_the_interpolation():
    with pytest.raises(ValueError, match=r"resize_by_interpolation, which is not the paper's\."):
        keras_mixer.resize(MIXER.tiny(), (24, 48))


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method:UserWarning")
@pytest.mark.parametrize("resize", [keras_mixer.resize, keras_mixer.resize_by_interpolation])
def test_a_quantised_model_is_an_error_that_does_not_blame_the_size(resize):
    model = MIXER.trained()
    model.quantize("int8")
    with pytest.raises(ValueError, match=r"needs weights in floating point.*first, then quantise"):
        resize(model, (32, 64))


@pytest.mark.cases([BY_NAME[name] for name in ("mlp_mixer", "s2_mlp")])
@pytest.mark.parametrize("resize", [keras_mixer.resize, keras_mixer.resize_by_interpolation])
def test_a_model_with_lora_is_an_error_with_a_cure_that_works(case, resize, tmp_path):
    model, images = case.trained(), case.images()
    with_lora(model.get_layer("block_0"))
    with pytest.raises(ValueError, match=r"'block_0' .* LoRA updates\. Save the model as \.keras"):
        resize(model, (32, 64))
    model.save(tmp_path / "model.keras")
    merged = keras.saving.load_model(tmp_path / "model.keras")
    assert np.abs(merged(images) - model(images)).max() < TOLERANCE
    assert resize(merged, (32, 64)).output_shape == model.output_shape


def with_lora(block):
    for layer in inner_layers(block):
        if isinstance(layer, keras.layers.Dense):
            layer.enable_lora(2)
            layer.lora_kernel_b.assign(np.ones(layer.lora_kernel_b.shape))


# The size of the images -> correct answers of 1,000; docs/models.md quotes them.
CIFAR10 = {20: 707, 24: 779, 28: 791, 32: 834, 36: 751, 40: 703, 48: 578}


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.exists(), reason="needs CIFAR-10 as TensorFlow Datasets has it")
@pytest.mark.parametrize("size", CIFAR10)
def test_a_trained_model_keeps_most_of_its_accuracy_at_sizes_nearby(size):
    model = keras_mixer.MixerTi4(weights="cifar10")
    images = data.tfds("cifar10", "test[:1000]", data_dir=SHARED)
    result = training.evaluate(keras_mixer.resize_by_interpolation(model, size), images)
    # another processor's rounding may turn an image or two
    assert 1000 * result["accuracy"] == pytest.approx(CIFAR10[size], abs=2)
