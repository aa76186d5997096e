"""What holds for every architecture and every variant."""

import inspect
import math
import subprocess
import sys
from pathlib import Path
from typing import Literal, get_args, get_origin

import keras
import numpy as np
import pytest

import keras_mixer
from keras_mixer import Preprocessing
from keras_mixer._keras import inner_layers, is_quantised
from keras_mixer.models import ARCHITECTURES, BUILDERS, architecture
from keras_mixer.weights.checkpoint import layouts_of
from tests.cases import CASES, OTHERS, WITH_LAYOUTS, WITH_TOKENS_FIRST
from tests.conftest import ROOT
from tests.marks import slow
from tests.models.frozen import frozen_weights_that_change

VARIANTS = keras_mixer.list_models()
TINY = {"patch_size": 4, "width": 8, "channel_mlp_dim": 8, "input_shape": (8, 8, 3)}


def test_every_paper_has_a_case():
    files = {p.stem for p in (ROOT / "keras_mixer/models").glob("[!_]*.py")} - {"architecture"}
    assert files == {case.architecture for case in CASES} == set(ARCHITECTURES)


def test_every_builder_is_a_public_name_of_the_package():
    assert set(BUILDERS) <= set(keras_mixer.__all__)
    assert all(getattr(keras_mixer, name) is builder for name, builder in BUILDERS.items())


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_has_exactly_the_number_of_parameters_in_its_table(name):
    with keras.StatelessScope(initialize_variables=False):  # the largest has 432 million weights
        model = keras_mixer.create_model(name)
    keras.utils.clear_session(free_memory=False)  # or they are initialised in another test
    trained = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    assert trained == BUILDERS[name].params
    assert model.output_shape == (None, 1000)


@pytest.mark.parametrize("name", VARIANTS)
def test_parameters_are_estimated_before_a_model_is_built(name):
    builder = BUILDERS[name]
    estimate = builder.architecture.parameters(builder.input_shape, **builder.sizes)
    assert 0.8 * builder.params < estimate < builder.params


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("MixerH14", {"input_shape": (14 * 10**4, 14 * 10**4, 3)}),
        ("ResMlpS12", {"input_shape": (16 * 1000, 16 * 1000, 3)}),
        ("MlpMixer", TINY | {"token_mlp_dim": 4, "depth": 10**10}),
        ("MlpMixer", TINY | {"token_mlp_dim": 10**12, "depth": 1}),
        ("ResMlp", TINY | {"layer_scale": 0.1, "depth": 10**10}),
    ],
)
def test_a_model_that_no_memory_holds_is_refused_before_it_is_built(name, arguments):
    with pytest.raises(ValueError, match=rf"{name} would have about .* GiB in float32, and this m"):
        BUILDERS[name](**arguments)


def test_a_model_without_values_may_be_larger_than_the_memory(monkeypatch):
    """`preflight` builds it so, for a TPU."""
    monkeypatch.setattr(architecture, "machine_memory", lambda: 1000)
    with pytest.raises(ValueError, match="would have about"):
        keras_mixer.MlpMixer(**TINY, token_mlp_dim=4, depth=1)
    with keras.StatelessScope(initialize_variables=False):
        keras_mixer.MlpMixer(**TINY, token_mlp_dim=4, depth=1)
    keras.utils.clear_session(free_memory=False)


@pytest.mark.parametrize("name", BUILDERS)
def test_help_shows_every_argument_with_its_meaning(name):
    builder = getattr(keras_mixer, name)
    *_, arguments = inspect.getdoc(builder).partition("Args:\n")
    for parameter in inspect.signature(builder).parameters:
        assert f"    {parameter}: " in arguments
    assert {"include_top", "weights", "input_tensor", "input_shape", "pooling", "classes"} <= set(
        inspect.signature(builder).parameters
    )


@pytest.mark.parametrize("name", BUILDERS)
def test_a_misspelt_argument_is_a_type_error_that_names_it(name):
    sizes = dict.fromkeys(
        (p.name for p in inspect.signature(BUILDERS[name]).parameters.values() if _required(p)), 1
    )
    with pytest.raises(TypeError, match=rf"{name}\(\).*'clases'.*'classes'"):
        BUILDERS[name](**sizes, clases=10)


def _required(parameter):
    return parameter.default is parameter.empty


def _right(parameter):
    """A value of a size that its type hint allows."""
    if get_origin(parameter.annotation) is Literal:
        return get_args(parameter.annotation)[0]
    return (4,) if get_origin(parameter.annotation) is tuple else 4


SIZES = 0, -1, True, 1.0, "4", None
STAGES = 4, (), (4, 0), (4, "4"), "44", (4, 4), None
SWITCHES = 1, "yes", None
# Wrong values of every argument, whatever the builder.
WRONG = {
    "include_top": ("imagenet1k", Path("file.npz"), 10, 1.0, None),
    **dict.fromkeys(("patch_size", "width", "depth", "token_mlp_dim", "channel_mlp_dim"), SIZES),
    **dict.fromkeys(("hidden_dim", "groups", "channel_mlp_ratio"), SIZES),
    **dict.fromkeys(("patch_sizes", "widths", "depths", "regions"), STAGES),
    **dict.fromkeys(("shift_cycles", "shift_steps"), STAGES),
    **dict.fromkeys(("backbone", "norm"), ("", "batch_norm", 1, None)),
    "fft": SWITCHES,
    "layer_scale": (True, "0.1", np.inf, np.nan, None, 1j),
    "include_preprocessing": (1, None, "yes", (0.5,), (0.5, 0), ("a", 1)),
    "preprocessing": ((0.5, 0.5), "resize", True, Preprocessing((0, 1), 1)),
    "weights": (5, True, b"imagenet1k", "no_release"),
    "input_tensor": (np.zeros((1, 32, 32, 3)), (32, 32, 3), keras.KerasTensor((None, 32, 32))),
    "input_shape": (224, True, "224", (224, 224), (None, 224, 3), (224.0, 224, 3), (True, 1, 3)),
    "pooling": ("sum", True, ["avg"]),
    "classes": (0, -1, True, 10.0, "10"),
    "classifier_activation": ("sofmax", 5, True),
    "name": (5, "", "a/b"),
    "drop_path_rate": (1, 1.5, -0.1, "0.1", True, None, np.nan),
    "gelu": ("", "relu", True),
    "remat": SWITCHES,
    "tokens_first": SWITCHES[:2],
}


@pytest.mark.parametrize("name", BUILDERS)
def test_a_wrong_value_of_any_argument_is_an_error_that_names_it(name):
    builder = BUILDERS[name]
    parameters = inspect.signature(builder).parameters.values()
    sizes = {p.name: _right(p) for p in parameters if _required(p)}
    for argument in (p.name for p in parameters):
        for value in WRONG[argument]:
            with pytest.raises(ValueError, match=f"^{name} (?=.*{argument}).*got") as caught:
                builder(**{**sizes, argument: value})
            assert "\n" not in str(caught.value), (argument, value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("distilled",), r"MixerB16 .*got 'distilled'\. Did you mean weights='distilled'\?"),
        ((10,), r"got 10\. Did you mean classes=10\?"),
        ({"input_shape": 96}, r"got 96\. Did you mean \(96, 96, 3\)\?"),
        (
            {"classes": 0, "remat": "x"},
            "classes to be .*got 0.*remat to be .*got 'x'",
        ),
    ],
)
def test_a_value_in_the_wrong_place_is_answered_with_the_right_one(arguments, message):
    positional = arguments if isinstance(arguments, tuple) else ()
    with pytest.raises(ValueError, match=message):
        keras_mixer.MixerB16(*positional, **({} if positional else arguments))


def test_numpy_s_numbers_build_a_model_that_can_be_saved(case, tmp_path):
    keywords = {"drop_path_rate": 0.25, **case.tiny.keywords, **case.shallow}
    as_numpy = {key: np.array(value)[()] for key, value in keywords.items()}
    model = case.tiny(**as_numpy, remat=np.True_, include_top=np.True_)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert [w.shape for w in again.weights] == [w.shape for w in model.weights]


@pytest.mark.cases(CASES, slow=OTHERS)
@pytest.mark.filterwarnings("ignore:save_weights.*gelu")  # both models then have the file's
@pytest.mark.parametrize("suffix", [".safetensors", ".weights.h5"])
def test_weights_are_loaded_behind_layers_that_have_weights_too(case, suffix, tmp_path):
    if suffix == ".safetensors" and case not in WITH_LAYOUTS:
        pytest.skip("no other code has weights of this architecture")
    trained, image = case.trained(), keras.Input(case.images().shape[1:])
    path = tmp_path / f"model{suffix}"
    if suffix == ".safetensors":
        keras_mixer.save_weights(trained, path)
    else:
        trained.save_weights(path)
    front = keras.Sequential([keras.layers.Normalization(), keras.layers.Conv2D(3, 1)])
    model = case.tiny(input_tensor=front(image), input_shape=None, weights=path)
    alone = case.tiny(weights=path)
    assert np.array_equal(model(case.images()), alone(front(case.images())))
    if suffix == ".weights.h5":  # a file that has all of it
        model.save_weights(tmp_path / "all.weights.h5")
        before = front.get_weights()
        front.set_weights([0 * w for w in before])
        case.tiny(input_tensor=front(image), input_shape=None, weights=tmp_path / "all.weights.h5")
        for one, other in zip(front.get_weights(), before, strict=True):
            assert np.array_equal(one, other)


def test_logits_equal_an_independent_computation_in_float64(case):
    model, images = case.trained(classifier_activation=None), case.images()
    weights = {w.path: keras.ops.convert_to_numpy(w).astype(np.float64) for w in model.weights}
    expected = case.oracle(weights, images.astype(np.float64))
    # float32 through a few blocks: rounding of 6e-8 a step, relative to the largest logit
    assert np.abs(model.predict(images, verbose=0) - expected).max() < 1e-5 * np.abs(expected).max()


def test_every_weight_receives_a_gradient(case):
    import tensorflow as tf

    model, images = case.trained(classifier_activation=None), case.images()
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model(images, training=True) ** 2)
    gradients = tape.gradient(loss, [w.value for w in model.trainable_weights])
    without = [
        w.path
        for w, g in zip(model.trainable_weights, gradients, strict=True)
        if g is None or not np.all(np.any(g, axis=-1))
    ]
    assert without == []


def assert_quantised(model):
    """All of its dense layers are."""
    dense = [layer for layer in inner_layers(model) if isinstance(layer, keras.layers.Dense)]
    assert [layer.path for layer in dense if not is_quantised(layer)] == []


def blocks_of(model):
    return [layer for layer in model.layers if isinstance(layer, keras_mixer.layers.Residual)]


@pytest.mark.cases(CASES, slow=OTHERS)
@pytest.mark.parametrize("first_block", [False, True])
def test_frozen_layers_stay_frozen_when_loaded_and_cloned(case, first_block, tmp_path):
    model = case.tiny()
    keras_mixer.freeze(model, until=blocks_of(model)[0].name if first_block else None)
    expected = [w.path for w in model.trainable_weights]
    assert 0 < len(expected) < len(model.weights)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for again in (loaded, keras.models.clone_model(model)):
        assert [w.path for w in again.trainable_weights] == expected
    keras_mixer.unfreeze(loaded)
    assert len(loaded.trainable_weights) == len(case.tiny().trainable_weights)


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_a_saved_model_comes_back_bit_equal(case, suffix, tmp_path):
    model, images = case.trained(drop_path_rate=0.2), case.images()
    path = tmp_path / f"model{suffix}"
    if suffix == ".keras":
        model.save(path)
        again = keras.saving.load_model(path)
        configs = [[layer.get_config() for layer in m.layers] for m in (model, again)]
        assert configs[0] == configs[1]
    else:
        model.save_weights(path)
        again = case.tiny(drop_path_rate=0.2, weights=path)
    assert [w.path for w in again.weights] == [w.path for w in model.weights]
    for ours, theirs in zip(model.get_weights(), again.get_weights(), strict=True):
        assert np.array_equal(ours, theirs)
    assert np.array_equal(model(images), again(images))


def test_in_mixed_bfloat16_the_logits_stay_near(case, mixed_bfloat16):
    images = case.images()
    near = case.trained(classifier_activation=None)(images)
    keras.config.set_dtype_policy("float32")
    exact = case.trained(classifier_activation=None)(images)
    assert 0 < np.abs(near - exact).max() < 0.03 * np.abs(exact).max()  # 8 bits, a few layers


@pytest.mark.cases(CASES, slow=OTHERS)
def test_what_is_frozen_stays_as_it_is_in_training(case):
    assert frozen_weights_that_change(case) == []


@pytest.mark.cases(CASES, slow=OTHERS)
@pytest.mark.usefixtures("mixed_bfloat16")
def test_a_step_in_mixed_bfloat16_trains_float32_weights(case):
    keras.utils.set_random_seed(0)  # paths that are dropped for all images have no gradient
    model = case.trained(drop_path_rate=0.2)
    before = model.get_weights()
    model.compile("sgd", "sparse_categorical_crossentropy")
    loss = model.train_on_batch(case.images(), np.arange(4))
    assert np.isfinite(loss)
    assert {w.dtype for w in model.weights} == {"float32"}
    assert {model.get_layer(name).compute_dtype for name in ("stem", "map")} == {"bfloat16"}
    assert model.compute_output_spec(model.input).dtype == "float32"
    moved = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert all(moved)


def test_without_top_it_gives_a_map_or_its_pooling(case):
    images = case.images()
    features = keras.ops.convert_to_numpy(case.trained(include_top=False)(images))
    _, height, width, _ = features.shape
    assert (height < width) == (images.shape[1] < images.shape[2])  # it lies as the image does
    assert height != width
    for pooling, reduce in (("avg", np.mean), ("max", np.max)):
        pooled = case.trained(include_top=False, pooling=pooling)(images)
        # one mean of float32 in two orders of summation
        assert np.allclose(pooled, reduce(features, axis=(1, 2)), rtol=1e-5, atol=1e-6)


def test_it_builds_on_a_tensor_of_the_user(case):
    image = keras.Input(case.images().shape[1:])
    model = case.tiny(input_tensor=keras.layers.Rescaling(2.0)(image), input_shape=None)
    assert model.input is image


def test_images_stay_channels_last_whatever_keras_s_image_data_format(case):
    last = case.trained(classifier_activation=None)
    keras.config.set_image_data_format("channels_first")
    try:
        first = case.trained(classifier_activation=None)
    finally:
        keras.config.set_image_data_format("channels_last")
    assert np.array_equal(first(case.images()), last(case.images()))


@pytest.mark.cases(CASES, slow=CASES[1:])
def test_two_trainings_from_one_seed_are_bit_equal(case):
    def weights():
        keras.utils.set_random_seed(3)
        # Tracing a step takes seconds a block, and with Adam twice as long.
        model = case.tiny(drop_path_rate=0.5)
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.fit(case.images(), np.arange(4), epochs=2, batch_size=2, verbose=0)
        return model.get_weights()

    for first, second in zip(weights(), weights(), strict=True):
        assert np.array_equal(first, second)


@pytest.mark.slow
def test_all_run_and_train_on_jax_with_the_same_logits(tmp_path):
    """In one process, whose start costs more than a model of one block."""
    models = {case: case.trained(classifier_activation=None, **case.shallow) for case in CASES}
    for case, model in models.items():
        model.save_weights(tmp_path / f"{case.architecture}.weights.h5")
    subprocess.run([sys.executable, "-m", "tests.models.on_jax", tmp_path], cwd=ROOT, check=True)
    for case, model in models.items():
        ours = model.predict(case.images(), verbose=0)
        theirs = np.load(tmp_path / f"{case.architecture}.npy")
        # the same float32 arithmetic in other orders of summation
        assert np.abs(ours - theirs).max() < 1e-5 * np.abs(ours).max(), case.architecture


@pytest.mark.cases(CASES, slow=OTHERS)
def test_it_learns_the_same_with_rematerialisation(case):
    images, targets = case.images(), np.ones((4, 7))

    def trained(remat):
        keras.utils.set_random_seed(0)
        # Few blocks: tracing a block that is rematerialised takes seconds.
        sizes = {"drop_path_rate": 0.5, "remat": remat, **case.shallow}
        model = case.trained(classifier_activation=None, **sizes)
        model.compile("sgd", "mse", jit_compile=False)
        return [float(model.train_on_batch(images, targets)) for _ in range(3)], model.get_weights()

    (losses, weights), (again, weights_again) = trained(False), trained(True)
    assert again == pytest.approx(losses, rel=1e-5)  # float32 rounding
    for one, other in zip(weights, weights_again, strict=True):  # and statistics of batch norms
        assert np.abs(one - other).max() <= 1e-4 * np.abs(one).max()


@pytest.mark.cases(WITH_TOKENS_FIRST)
def test_tokens_first_is_another_order_of_the_same_arithmetic(case):
    images = case.images()
    ours, theirs = (
        case.trained(classifier_activation=None, tokens_first=order)(images)
        for order in (False, True)
    )
    # float32 rounding, relative to the largest logit
    assert np.abs(ours - theirs).max() < 1e-5 * np.abs(ours).max()


@pytest.mark.cases(WITH_TOKENS_FIRST, slow=OTHERS)
@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
def test_a_quantised_model_computes_the_same_with_tokens_first(case):
    images, found = case.images(), {}
    for order in (False, True):
        model = case.trained(classifier_activation=None, tokens_first=order, **case.shallow)
        model.quantize("int8")
        assert_quantised(model)
        found[order] = keras.ops.convert_to_numpy(model(images))
    # the same integers; an activation that rounds to the next one may differ by a step of 127
    assert np.abs(found[True] - found[False]).max() < 1e-2 * np.abs(found[False]).max()


@pytest.mark.cases(CASES, slow=OTHERS)
@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
@pytest.mark.parametrize("mode", ["int8", slow("int4"), slow("float8")])
def test_a_quantised_model_is_saved_and_loaded_and_no_other_takes_its_weights(case, mode, tmp_path):
    model, images = case.trained(**case.shallow), case.images()
    model.quantize(mode)
    assert_quantised(model)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert np.array_equal(again(images), model(images))
    assert [w.dtype for w in again.weights] == [w.dtype for w in model.weights]
    if mode != "float8":
        with pytest.raises(ValueError, match=r"that model\.quantize has made integers of"):
            case.tiny(weights=tmp_path / "model.keras", **case.shallow)


@pytest.mark.cases(CASES, slow=OTHERS)
def test_what_is_frozen_within_a_block_stays_so_in_a_file(case, tmp_path):
    model = case.trained()
    first, *_, last = blocks_of(model)
    some = [layer for layer in inner_layers(last) if layer.weights]
    some[0].trainable, some[-1].trainable = False, False
    first.trainable = False
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    trained = [[w.path for w in each.trainable_weights] for each in (model, again)]
    assert trained[0] == trained[1]
    assert 0 < len(trained[0]) < len(model.weights)


@pytest.mark.cases(CASES, slow=OTHERS)
def test_a_saved_model_remembers_its_architecture(case, tmp_path):
    case.tiny().save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.get_layer("preprocessing").architecture == case.architecture
    layouts = ARCHITECTURES[case.architecture].layouts
    copies = [again, keras.models.clone_model(again)]
    if case.resized:
        height, width, _ = again.input_shape[1:]
        copies.append(keras_mixer.resize(again, (2 * height, 2 * width)))
    if layouts:  # an early file says nothing: the names of weights tell
        again.get_layer("preprocessing").architecture = None
    for model in copies:
        assert layouts_of(model) is layouts
