"""Arrays into models and back: all of them, or one complete error and none."""

import keras
import numpy as np
import pytest

import keras_mixer
from keras_mixer.models import ARCHITECTURES
from keras_mixer.weights import Checkpoint, files
from keras_mixer.weights.checkpoint import layouts_of
from keras_mixer.weights.names import named_weights
from tests.cases import BY_NAME, CASES, ISOTROPIC, OTHERS, TILED, WITH_LAYOUTS
from tests.weights import official
from tests.weights.unchanged import unchanged

MIXER = BY_NAME["mlp_mixer"]
HALF = {"patch_size": 4, "width": 24, "depth": 2, "token_mlp_dim": 20, "channel_mlp_dim": 48}


@pytest.fixture
def arrays():
    """A checkpoint of the tiny Mixer's size, in the official layout."""
    return official.checkpoint(HALF, tokens=32, classes=7)


@pytest.fixture
def save(tmp_path):
    def save(arrays, name="model.npz"):
        np.savez(tmp_path / name, **arrays)
        return tmp_path / name

    return save


def options(case, layout):
    """The builder's options with which a model computes what the code base of a layout does."""
    known = [option.name for option in ARCHITECTURES[case.architecture].options]
    return {name: value for name, value in layout.settings.items() if name in known}


def other_settings(case, layout):
    """Yields a setting of a layout as text, and an option with another layout's value of it."""
    for other in layouts_of(case.tiny()):
        for name, value in options(case, other).items():
            if value != layout.settings.get(name):
                yield f"{name}={layout.settings[name]!r}", {name: value}


def test_the_names_of_weights_are_their_paths(case):
    model = case.tiny()
    assert [name for name, _ in named_weights(model)] == [w.path for w in model.weights]


@pytest.mark.cases(WITH_LAYOUTS)
def test_every_layout_writes_every_weight_and_reads_it_back_bit_equal(case):
    arrays = {path: keras.ops.convert_to_numpy(w) for path, w in named_weights(case.trained())}
    assert layouts_of(case.tiny())
    for layout in layouts_of(case.tiny()):
        theirs = layout.write(arrays)
        sizes = [sum(a.size for a in some.values()) for some in (theirs, arrays)]
        assert sizes[0] == sizes[1]
        again = layout.read(theirs)
        assert again.keys() == arrays.keys()
        assert all(np.array_equal(array, arrays[path]) for path, (_, array) in again.items())


def test_what_is_saved_in_a_layout_is_loaded_bit_equal(case, tmp_path):
    for layout in layouts_of(case.tiny()):
        model = case.trained(**options(case, layout))
        path = tmp_path / f"{layout.name}{layout.suffix}"
        keras_mixer.save_weights(model, path, layout.name)
        again = case.tiny(weights=path)
        for ours, theirs in zip(model.get_weights(), again.get_weights(), strict=True):
            assert np.array_equal(ours, theirs)
        assert np.array_equal(again(case.images()), model(case.images()))


@pytest.mark.cases(CASES, slow=OTHERS)
def test_a_keras_file_brings_its_model_s_settings_and_preprocessing(case, tmp_path):
    takes = keras_mixer.Preprocessing(0.2, (0.3, 0.4, 0.5), None, "resmall_crop", 0.9, "bicubic")
    for layout in layouts_of(case.tiny()):
        chosen = options(case, layout)
        model = case.trained(**chosen, preprocessing=takes)
        path = tmp_path / f"{layout.name}.keras"
        model.save(path)
        again = case.tiny(weights=path)
        assert np.array_equal(again(case.images()), model(case.images()))
        assert keras_mixer.preprocessing(again) == keras_mixer.preprocessing(model)
        rescaling = case.tiny(weights=path, include_preprocessing=True)
        assert rescaling.get_layer("preprocessing").preprocessing == takes
        keras_mixer.load_weights(case.tiny(**chosen, preprocessing=takes), path)  # without warning
        with pytest.warns(UserWarning, match=r"was trained for images of mean 0\.2 and deviation"):
            keras_mixer.load_weights(case.tiny(**chosen), path)
        for other, changed in other_settings(case, layout):
            explicit = case.tiny(weights=path, **changed)  # the caller's own choice, no warning
            assert not np.array_equal(explicit(case.images()), model(case.images()))
            with pytest.warns(UserWarning, match=rf"saved from a model with .*{other}, and '"):
                keras_mixer.load_weights(case.tiny(**changed, preprocessing=takes), path)
        own = keras_mixer.Preprocessing(0.1, 0.1)
        kept = keras_mixer.preprocessing(case.tiny(weights=path, preprocessing=own))
        assert (kept.mean, kept.std) == (0.1, 0.1)


def test_a_keras_file_with_a_model_within_says_the_same(tmp_path):
    takes = keras_mixer.Preprocessing(0.2, 0.3)
    model = within(MIXER.trained(gelu="erf", preprocessing=takes), 2)
    model.save(tmp_path / "model.keras")
    checkpoint = Checkpoint(tmp_path / "model.keras", layouts_of(model))
    assert checkpoint.settings == {"gelu": "erf", "epsilon": 1e-6}
    assert checkpoint.preprocessing == takes


@pytest.mark.cases(CASES, slow=OTHERS)
def test_a_weights_h5_says_nothing_of_its_model(case, tmp_path):
    case.trained(preprocessing=keras_mixer.Preprocessing(0.2, 0.3)).save_weights(
        tmp_path / "model.weights.h5"
    )
    checkpoint = Checkpoint(tmp_path / "model.weights.h5", layouts_of(case.tiny()))
    assert (checkpoint.settings, checkpoint.preprocessing) == ({}, None)
    keras_mixer.load_weights(case.tiny(), tmp_path / "model.weights.h5")  # without warning


@pytest.mark.cases(CASES, slow=OTHERS)
def test_a_layout_whose_code_computes_something_else_is_a_warning_when_saved(case, tmp_path):
    for layout in layouts_of(case.tiny()):
        path = tmp_path / f"model{layout.suffix}"
        keras_mixer.save_weights(
            case.tiny(**options(case, layout)), path, layout.name, overwrite=True
        )
        for wanted, changed in other_settings(case, layout):
            [(name, value)] = changed.items()
            with pytest.warns(UserWarning, match="save_weights: model") as caught:
                keras_mixer.save_weights(case.trained(**changed), path, layout.name, overwrite=True)
            [warning] = [each for each in caught if each.category is UserWarning]
            message = str(warning.message)
            assert warning.filename == __file__
            assert f"has the {layout.name} layout, whose code computes with {wanted}, " in message
            assert f"'{case.architecture}' has {name}={value!r}: its outputs there" in message
            assert f"is built from the file needs {name}={value!r} to compute what" in message
            again = case.tiny(weights=path, **changed)
            assert np.array_equal(again(case.images()), case.trained(**changed)(case.images()))
            assert files.read(path)  # it is written all the same


def test_another_epsilon_is_a_warning_when_saved_and_when_loaded(tmp_path):
    model = MIXER.tiny()
    model.get_layer("block_1").token_norm.epsilon = 1e-5
    with pytest.warns(UserWarning, match=r"code computes with epsilon=1e-06, and .*=1e-05: its ou"):
        keras_mixer.save_weights(model, tmp_path / "model.npz")
    with pytest.warns(UserWarning, match=r"from code with epsilon=1e-06, and .*=1e-05: its outp"):
        keras_mixer.load_weights(model, tmp_path / "model.npz")
    MIXER.tiny().save(tmp_path / "model.keras")
    with pytest.warns(UserWarning, match=r"a model with epsilon=1e-06, and .*=1e-05: its outputs"):
        keras_mixer.load_weights(model, tmp_path / "model.keras")


def test_what_was_loaded_is_saved_as_it_was(arrays, save, tmp_path):
    model = MIXER.tiny(weights=save(arrays))
    keras_mixer.save_weights(model, tmp_path / "again.npz")
    with np.load(tmp_path / "again.npz") as again:
        assert set(again) == set(arrays)
        for name, array in arrays.items():
            assert again[name].dtype == np.float32
            assert np.array_equal(again[name], array)


@pytest.mark.usefixtures("mixed_bfloat16")
def test_under_mixed_bfloat16_weights_keep_every_bit(arrays, save):
    model = MIXER.tiny(weights=save(arrays))
    assert np.array_equal(model.get_layer("stem").bias, arrays["stem/bias"])


def test_one_error_names_all_that_does_not_fit_and_nothing_is_assigned(arrays, save):
    del arrays["MixerBlock_1/LayerNorm_0/scale"], arrays["stem/bias"]
    arrays["optimizer/step"] = np.zeros(3, np.float32)
    arrays["MixerBlock_3/LayerNorm_0/scale"] = np.zeros(24, np.float32)
    arrays["head/kernel"] = arrays["head/kernel"].T
    for i in range(2):
        arrays[f"MixerBlock_{i}/token_mixing/Dense_0/kernel"] = np.zeros((49, 20), np.float32)
    model = MIXER.trained()
    with unchanged(model), pytest.raises(ValueError, match="does not fit 'mlp_mixer'") as error:
        keras_mixer.load_weights(model, save(arrays))
    assert str(error.value).splitlines() == [
        "load_weights: model.npz (official layout) does not fit 'mlp_mixer'; nothing was loaded.",
        "Only in the file, 2:",
        "  optimizer/step: (3,)",
        "  MixerBlock_3/LayerNorm_0/scale: (24,)",
        "Only in the model, 2:",
        "  stem/bias: (24,)",
        "  block_1/token_norm/gamma: (24,)",
        "Of another shape, 3:",
        "  block_{0..1}/token_mlp/expand/kernel: (32, 20) in the model, (49, 20) in the file",
        "  head/kernel: (24, 7) in the model, (7, 24) in the file",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extra": np.zeros(3)}, r"Only in the file, 1:\n  extra: \(3,\)$"),
        ({"stem/bias": None}, r"Only in the model, 1:\n  stem/bias: \(24,\)$"),
        ({"stem/bias": np.zeros(5)}, r"shape, 1:\n  stem/bias: \(24,\) in the model, \(5,\) in"),
    ],
)
def test_one_array_too_many_too_few_or_misshapen_is_enough(arrays, save, change, message):
    arrays = {name: array for name, array in (arrays | change).items() if array is not None}
    model = MIXER.trained()
    with unchanged(model), pytest.raises(ValueError, match=message):
        keras_mixer.load_weights(model, save(arrays))


def test_the_early_layout_keeps_the_order_of_more_than_ten_blocks(save):
    arrays = official.checkpoint(HALF | {"depth": 12}, tokens=32, classes=7)
    model = MIXER.tiny(depth=12, weights=save(official.early(arrays)))
    for i in range(12):
        gamma = model.get_layer(f"block_{i}").channel_norm.gamma
        assert np.array_equal(gamma, arrays[f"MixerBlock_{i}/LayerNorm_1/scale"])


@pytest.mark.cases([case for case in ISOTROPIC if case in WITH_LAYOUTS], slow=OTHERS)
@pytest.mark.parametrize("lost", range(3))
def test_a_block_that_is_missing_is_an_error_in_every_layout(case, lost, tmp_path):
    """Also for a model of as many blocks as the file has left."""
    trained = case.trained(depth=3)
    arrays = {path: keras.ops.convert_to_numpy(w) for path, w in named_weights(trained)}
    for layout in layouts_of(case.tiny()):
        theirs = layout.write(arrays)
        found = layout.read(theirs).items()
        block = {
            n for path, (names, _) in found if path.startswith(f"block_{lost}/") for n in names
        }
        path = tmp_path / f"{layout.name}{layout.suffix}"
        files.write(path, {name: array for name, array in theirs.items() if name not in block})
        fewer = case.tiny(depth=2, **options(case, layout))
        if lost == 2:  # the last one: what is left is a model of two blocks
            keras_mixer.load_weights(fewer, path)
        else:
            with unchanged(fewer), pytest.raises(ValueError, match=r"Only in the model") as error:
                keras_mixer.load_weights(fewer, path)
            assert f"\n  block_{lost}/" in str(error.value)


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_keras_s_own_files_are_loaded_as_strictly(suffix, tmp_path):
    other = MIXER.trained(depth=1, classes=5)
    path = tmp_path / f"model{suffix}"
    (other.save if suffix == ".keras" else other.save_weights)(path)
    model = MIXER.trained()
    with unchanged(model), pytest.raises(ValueError, match=f"model{suffix} does not fit") as error:
        keras_mixer.load_weights(model, path)
    assert "Only in the model, 12:" in str(error.value)
    assert "block_1/channel_mlp/expand/kernel: (24, 48)" in str(error.value)
    assert "head/kernel: (24, 7) in the model, (24, 5) in the file" in str(error.value)


@pytest.mark.parametrize("arguments", [{"classes": 9}, {"include_top": False}])
def test_another_head_alone_is_answered_with_the_builder(arrays, save, arguments):
    model = MIXER.trained(**arguments)
    with unchanged(model), pytest.raises(ValueError, match="does not fit") as error:
        keras_mixer.load_weights(model, save(arrays))
    assert str(error.value).endswith(
        "To load all but the head, give the file to the builder as weights=."
    )


def test_another_image_size_alone_is_answered_with_resize(save):
    path = save(official.checkpoint(HALF, tokens=64, classes=7))
    model = MIXER.trained()
    with (
        unchanged(model),
        pytest.raises(
            ValueError,
            match=r"shape, 6:\n.*\n.*\n.*\nFor another image size \(64 in the file, 32 in the m",
        ),
    ):
        keras_mixer.load_weights(model, path)


@pytest.mark.parametrize(
    ("sizes", "tokens", "advice"),
    [
        (
            {"token_mlp_dim": 30},
            32,
            "What differs: the hidden units over tokens (30 in the file, 20 in the model). Build",
        ),
        (
            {"token_mlp_dim": 30},
            64,
            "What differs: the number of tokens (64 in the file, 32 in the model) and the hidden "
            "units over tokens (30 in the file, 20 in the model). Build",
        ),
        ({"channel_mlp_dim": 40}, 32, "What differs: widths that do not depend on the image"),
        (
            {"channel_mlp_dim": 40},
            64,
            "What differs: the number of tokens (64 in the file, 32 in the model) and widths that",
        ),
        ({"token_mlp_dim": 80}, 128, "The file has 4 times the hidden units over tokens, as ker"),
        ({"token_mlp_dim": 80}, 32, "The file has 4 times the hidden units over tokens, as ker"),
    ],
)
def test_other_sizes_are_told_from_another_image_size(save, sizes, tokens, advice):
    path = save(official.checkpoint(HALF | sizes, tokens=tokens, classes=7))
    with pytest.raises(ValueError, match="Of another shape") as error:
        keras_mixer.load_weights(MIXER.tiny(), path)
    assert str(error.value).splitlines()[-1].startswith(advice)


@pytest.mark.cases([case for case in TILED if case in WITH_LAYOUTS])
def test_an_image_size_is_told_by_the_axes_of_tokens_in_every_architecture(case, tmp_path):
    keras_mixer.save_weights(case.tiny(input_shape=(32, 32, 3)), path := saved(case, tmp_path))
    with pytest.raises(ValueError, match=r"\nFor another image size \(64 in the file, 32 in the"):
        case.tiny(weights=path)
    keras_mixer.save_weights(case.tiny(width=16), path, overwrite=True)
    with pytest.raises(ValueError, match=r"\nWhat differs: widths that do not depend on the im"):
        case.tiny(weights=path)


def test_what_resize_made_is_loaded_after_the_same_resize(tmp_path):
    larger = keras_mixer.resize(MIXER.trained(), (32, 32))
    keras_mixer.save_weights(larger, tmp_path / "larger.npz")
    with pytest.raises(ValueError, match="2 times the hidden units over tokens, as keras"):
        MIXER.tiny(input_shape=(32, 32, 3), weights=tmp_path / "larger.npz")
    again = keras_mixer.resize(MIXER.tiny(), (32, 32))
    keras_mixer.load_weights(again, tmp_path / "larger.npz")
    assert np.array_equal(again.get_weights()[2], larger.get_weights()[2])


def test_a_file_of_another_architecture_is_an_error_that_says_what_it_holds(save):
    path = save({"conv1/kernel": np.zeros(3), "conv1/bias": np.zeros(3)})
    with pytest.raises(
        ValueError, match=r"holds conv1/kernel, conv1/bias\. It knows the layouts off"
    ):
        keras_mixer.load_weights(MIXER.tiny(), path)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pth", ".weights.h5", ".keras"])
def test_a_model_of_another_package_is_told_what_it_can_load_and_save(suffix, tmp_path):
    image = keras.Input((4, 4, 3))
    model = keras.Model(image, keras.layers.Dense(2, name="other")(image), name="foreign")
    path = tmp_path / f"model{suffix}"
    message = rf"needs a model of this package for '.*model{suffix}', .* 'foreign' is another mod.*"
    message += r"other/kernel and other/bias\. For any model use Keras's own files"
    with pytest.raises(ValueError, match=f"save_weights {message}"):
        keras_mixer.save_weights(model, path)
    if suffix not in (".weights.h5", ".keras"):
        with pytest.raises(ValueError, match=f"load_weights {message}"):
            keras_mixer.load_weights(model, path)
    else:
        (model.save if suffix == ".keras" else model.save_weights)(path)
        keras_mixer.load_weights(model, path)


def saved(case, folder):
    """A path with the suffix of the official layout."""
    return folder / f"model{layouts_of(case.tiny())[0].suffix}"


def within(model, depth=1):
    for n in range(depth):
        image = keras.Input(model.input_shape[1:])
        model = keras.Sequential([image, model], name=f"outer_{n}")
    return model


@pytest.mark.cases(WITH_LAYOUTS, slow=OTHERS)
@pytest.mark.parametrize("depth", [1, 2])
def test_a_model_that_only_wraps_ours_is_saved_and_loaded_as_ours(case, depth, tmp_path):
    for layout in layouts_of(case.tiny()):
        inner = case.trained(**options(case, layout))
        path = tmp_path / f"{layout.name}{layout.suffix}"
        keras_mixer.save_weights(within(inner, depth), path, layout.name)
        direct = tmp_path / f"direct{layout.name}{layout.suffix}"
        keras_mixer.save_weights(inner, direct, layout.name)
        assert files.read(path).keys() == files.read(direct).keys()
        again = within(case.tiny(**options(case, layout)), depth)
        keras_mixer.load_weights(again, direct)
        for ours, theirs in zip(again.get_weights(), inner.get_weights(), strict=True):
            assert np.array_equal(ours, theirs)
    for name in ("plain.keras", "plain.weights.h5"):
        (inner.save if name == "plain.keras" else inner.save_weights)(tmp_path / name)
        again = within(case.tiny(**options(case, layout)), depth)
        keras_mixer.load_weights(again, tmp_path / name)
        assert np.array_equal(again.get_weights()[0], inner.get_weights()[0])


def test_weights_beside_a_model_within_are_answered_with_how_to_pass_it(arrays, save, tmp_path):
    model = keras.Sequential([within(MIXER.trained(), 1), keras.layers.Dense(3, name="top")])
    model.build((None, *MIXER.images().shape[1:]))
    inner = "pass model.get_layer('outer_0').get_layer('mlp_mixer')."
    with unchanged(model), pytest.raises(ValueError, match="does not fit") as error:
        keras_mixer.load_weights(model, save(arrays))
    assert str(error.value).splitlines()[1:] == [
        "Only in the model, 2:",
        "  top/kernel: (7, 3)",
        "  top/bias: (3,)",
        f"To load the file into the model inside, {inner}",
    ]
    with pytest.raises(ValueError, match="no name for top/kernel and top/bias of 'seq") as error:
        keras_mixer.save_weights(model, tmp_path / "x.npz")
    assert str(error.value).endswith(f"To save the model inside it, {inner}")


def test_a_model_with_lora_is_an_error_with_a_cure_that_works(tmp_path):
    model, images = MIXER.trained(), MIXER.images()
    mlp = model.get_layer("block_0").channel_mlp
    for layer in (mlp.expand, mlp.project, model.get_layer("head")):
        layer.enable_lora(2)
        layer.lora_kernel_b.assign(np.ones(layer.lora_kernel_b.shape))
    with pytest.raises(
        ValueError, match=r"6 such weights\. model\.save_weights\('model\.w"
    ) as error:
        keras_mixer.save_weights(model, tmp_path / "x.npz")
    assert str(error.value).count("lora_kernel") == 2
    model.save_weights(tmp_path / "model.weights.h5")
    merged = MIXER.tiny(weights=tmp_path / "model.weights.h5")
    assert np.abs(merged(images) - model(images)).max() < 1e-5
    keras_mixer.save_weights(merged, tmp_path / "x.npz")


def test_a_model_within_a_model_keeps_its_own_names(tmp_path):
    def model():
        backbone = MIXER.trained(include_top=False, name="backbone")
        pool = keras.layers.GlobalAveragePooling2D()
        return keras.Sequential([backbone.input, backbone, pool, keras.layers.Dense(3, name="top")])

    first, second = model(), model()
    assert next(named_weights(first))[0] == "backbone/stem/kernel"
    first.layers[-1].kernel.assign(np.ones((24, 3)))
    first.save_weights(tmp_path / "model.weights.h5")
    keras_mixer.load_weights(second, tmp_path / "model.weights.h5")
    for ours, theirs in zip(first.get_weights(), second.get_weights(), strict=True):
        assert np.array_equal(ours, theirs)


def test_the_head_of_a_checkpoint_decides_the_number_of_classes(arrays, save):
    model = MIXER.tiny(classes=None, weights=save(arrays))
    assert model.output_shape == (None, 7)
    assert np.array_equal(model.get_layer("head").kernel, arrays["head/kernel"])
    assert MIXER.tiny(classes=None).output_shape == (None, 1000)


def test_other_classes_keep_everything_but_the_head_and_say_so(arrays, save):
    with pytest.warns(UserWarning, match="has a head for 7 classes, so the head for 5 is new") as w:
        model = MIXER.tiny(classes=5, weights=save(arrays))
    assert w[0].filename == __file__
    whole = MIXER.tiny(weights=save(arrays))
    for ours, theirs in zip(model.weights[:-2], whole.weights[:-2], strict=True):
        assert np.array_equal(ours, theirs)
    assert not np.any(model.get_layer("head").kernel)


def test_a_checkpoint_without_a_head_gives_a_fresh_one_and_says_so(arrays, save):
    del arrays["head/kernel"], arrays["head/bias"]
    with pytest.warns(UserWarning, match="has no head, so the head for 7 is new and untrained"):
        MIXER.tiny(weights=save(arrays))


def test_without_top_the_head_of_a_checkpoint_is_passed_over(arrays, save):
    model = MIXER.tiny(include_top=False, weights=save(arrays))
    whole = MIXER.tiny(weights=save(arrays))
    for ours, theirs in zip(model.weights, whole.weights[:-2], strict=True):
        assert np.array_equal(ours, theirs)


def test_a_wrong_checkpoint_given_to_a_builder_is_the_same_error(arrays, save):
    del arrays["stem/bias"]
    with pytest.raises(ValueError, match=r"MlpMixer: model\.npz .*\nOnly in the model, 1:\n"):
        MIXER.tiny(weights=save(arrays))


def test_weights_that_have_no_official_name_are_named_and_nothing_is_written(tmp_path):
    model = MIXER.trained()
    extra = keras.layers.Dense(2, name="extra")(model.output)
    with pytest.raises(ValueError, match="no name for extra/kernel and extra/bias"):
        keras_mixer.save_weights(keras.Model(model.input, extra), tmp_path / "model.npz")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_replaced_only_on_request(tmp_path):
    path = tmp_path / "model.npz"
    keras_mixer.save_weights(MIXER.tiny(), path)
    with pytest.raises(FileExistsError, match=r"model\.npz exists"):
        keras_mixer.save_weights(MIXER.tiny(), path)
    keras_mixer.save_weights(MIXER.trained(), path, overwrite=True)
    assert np.load(path)["stem/bias"].any()


def test_another_suffix_is_answered_with_keras_s_own_functions(tmp_path):
    with pytest.raises(ValueError, match=r"\.npz \(official\).*got '.*x\.h5'.*model\.save_weights"):
        keras_mixer.save_weights(MIXER.tiny(), tmp_path / "x.h5")


@pytest.mark.parametrize("function", [keras_mixer.load_weights, keras_mixer.save_weights])
@pytest.mark.parametrize("model", ["MixerB16", keras.Sequential()])
def test_what_is_no_built_model_is_an_error(function, model):
    with pytest.raises(ValueError, match="needs a built Keras model; got"):
        function(model, "x.npz")


@pytest.mark.cases(TILED)
def test_as_many_tokens_in_a_grid_of_another_shape_are_warned_of(case, tmp_path):
    model = case.trained()  # of 4 x 8 tokens
    model.save(tmp_path / "model.keras")
    said = r"model\.keras was trained for images of 16 x 32 pixels, and 'mine' takes 32 x 16"
    with pytest.warns(UserWarning, match=said):
        case.tiny(weights=tmp_path / "model.keras", input_shape=(32, 16, 3), name="mine")
    with pytest.warns(UserWarning, match=f"load_weights: {said}"):
        keras_mixer.load_weights(
            case.tiny(input_shape=(32, 16, 3), name="mine"), tmp_path / "model.keras"
        )
    with pytest.warns(UserWarning, match="of 32 x 32 pixels, and 'mixer_ti4' takes 16 x 64"):
        keras_mixer.MixerTi4(weights="cifar10", input_shape=(16, 64, 3))
    resized = keras_mixer.resize_by_interpolation(model, (32, 16))  # no other order: no word
    resized.save(tmp_path / "resized.keras")
    case.tiny(weights=tmp_path / "resized.keras", input_shape=(32, 16, 3))
