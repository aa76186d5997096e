"""What training computes: losses, decay, averages and precision as the recipe says."""

import csv
import json
import shutil
from functools import partial
from importlib import import_module
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import keras_mixer
from keras_mixer import Preprocessing, data, training
from keras_mixer._backend import settings
from keras_mixer._memory import machine_memory
from keras_mixer.training import memory
from keras_mixer.training.averages import averaged
from keras_mixer.training.heads import give_logits
from keras_mixer.training.optimizers import loss, optimizer, schedule
from keras_mixer.training.record import record_of
from tests.cases import randomised
from tests.pictures import labelled
from tests.training.runs import PLAIN, RECIPE, SHALLOW, SIMPLE, sources

module = import_module("keras_mixer.training.train")


def train(folder, recipe=SIMPLE, build=SHALLOW, **arguments):
    return training.train(build, *sources(), recipe=recipe, folder=folder, **arguments)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return folder, *train(folder, PLAIN.but(epochs=8))


def test_a_mixer_learns_and_all_that_is_promised_is_in_the_folder(run):
    folder, _, rows = run
    assert rows[-1]["val_accuracy"] > 0.9
    assert {p.name for p in folder.iterdir()} == {
        ".lock",
        "README.md",
        "best.keras",
        "classes.csv",
        "confusion.csv",
        "labels.txt",
        "last.keras",
        "log.csv",
        "results.json",
        "state.safetensors",
        "tensorboard",
    }
    with (folder / "log.csv").open() as file:
        written = list(csv.DictReader(file))
    assert [int(row["step"]) for row in written] == [12 * i for i in range(1, 9)]
    assert float(written[-1]["val_accuracy"]) == rows[-1]["val_accuracy"]
    assert float(written[-1]["images_per_second"]) > 0
    assert (folder / "labels.txt").read_text() == "0\n1\n2\n"
    assert list((folder / "tensorboard").rglob("events*"))


def test_the_model_that_is_kept_answers_with_probabilities_and_is_the_one_of_the_log(run):
    folder, model, rows = run
    _, held_out = sources()
    last = keras.saving.load_model(folder / "last.keras")
    best = keras.saving.load_model(folder / "best.keras")
    images = next(iter(data.evaluation_batches(held_out, 43, 8, crop="resize")))[0]
    scores = last.predict(images, verbose=0)
    np.testing.assert_allclose(ops.sum(scores, -1), 1, atol=1e-5)
    np.testing.assert_allclose(scores, model.predict(images, verbose=0), atol=1e-6)
    found = training.evaluate(best, held_out, crop="resize", batch_size=10)
    assert found["images"] == 43
    assert found["accuracy"] == pytest.approx(max(row["val_accuracy"] for row in rows))


def test_the_card_says_what_was_done_and_what_came_of_it(run):
    folder, model, rows = run
    card = (folder / "README.md").read_text()
    for said in (
        f"{model.count_params():,} parameters",
        "arrays: 200 images of 3 classes",
        "learning_rate: 0.003",
        RECIPE.source,
        f"{rows[-1]['val_accuracy']:.2%}",
        f"Keras {keras.__version__}",
    ):
        assert said in card, card


def test_evaluation_of_a_model_with_two_outputs_says_so():
    image = keras.Input((8, 8, 1))
    scores = keras.layers.Dense(3)(keras.layers.Flatten()(image))
    model = keras.Model(image, [scores, scores])
    with pytest.raises(
        ValueError, match=r"one output, scores .* gives \(None, 3\) and \(None, 3\)"
    ):
        training.evaluate(model, sources()[1])


def test_evaluation_is_what_numpy_computes(run):
    folder, *_ = run
    images, labels = labelled(43, seed=1)
    model = keras.saving.load_model(folder / "last.keras")
    model.compile("sgd", "mse")
    optimizer = model.optimizer
    scores = model.predict(images / np.float32(127.5) - 1, verbose=0)
    right = scores.argmax(-1) == labels
    cross_entropy = -np.log(scores[np.arange(43), labels])
    for batch_size in (20, 64):
        found = training.evaluate(
            model, data.arrays(images, labels), crop="resize", batch_size=batch_size
        )
        assert found["accuracy"] == pytest.approx(right.mean())
        assert found["loss"] == pytest.approx(cross_entropy.mean(), rel=1e-4)
        assert found["images"] == 43
    with settings():  # which are put back afterwards
        keras.config.set_floatx("float16")
        keras.config.set_dtype_policy("mixed_float16")
        again = training.evaluate(
            model, data.arrays(images, labels), crop="resize", batch_size=batch_size
        )
    assert again == found
    assert (model.optimizer, model.loss) == (optimizer, "mse")  # as the user compiled it


def logits_and_labels():
    random = np.random.default_rng(0)
    logits = random.normal(size=(6, 4)).astype(np.float32)
    return logits, random.dirichlet(np.ones(4), 6).astype(np.float32)


def test_losses_are_their_formulas():
    logits, labels = logits_and_labels()
    smooth = labels * 0.9 + 0.1 / 4
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    softmax = -(smooth * np.log(shares)).sum(-1).mean()
    np.testing.assert_allclose(loss(RECIPE)(labels, logits), softmax, rtol=1e-5)
    yes = 1 / (1 + np.exp(-logits))
    # sigmoid_xent in big_vision/utils.py: summed over classes, mean over images.
    sigmoid = -(smooth * np.log(yes) + (1 - smooth) * np.log(1 - yes)).sum(-1).mean()
    found = loss(RECIPE.but(loss="sigmoid"))(labels, logits)
    np.testing.assert_allclose(ops.mean(found), sigmoid, rtol=1e-5)


@pytest.mark.parametrize("name", ["adamw", "lamb", "sgd", "muon"])
def test_only_kernels_decay(name):
    recipe = PLAIN.but(
        optimizer=name, learning_rate=0.1, weight_decay=0.5, warmup=0, schedule="constant"
    )
    model = randomised(SHALLOW(input_shape=(8, 8, 3), classes=3))
    before = [ops.convert_to_numpy(w) for w in model.trainable_variables]
    made = optimizer(recipe, schedule(recipe, 10), model)
    made.apply([ops.zeros_like(w) for w in model.trainable_variables], model.trainable_variables)
    for weight, was in zip(model.trainable_variables, before, strict=True):
        kept = 0.95 if weight.name == "kernel" else 1.0
        np.testing.assert_allclose(weight, was * kept, rtol=1e-5, err_msg=weight.path)


def test_muon_turns_the_hidden_kernels_and_adamw_the_rest():
    recipe = PLAIN.but(
        optimizer="muon", learning_rate=0.1, warmup=0, schedule="constant", clip_norm=0,
        weight_decay=0.0,
    )  # fmt: skip
    model = SHALLOW(input_shape=(8, 8, 3), classes=3)
    before = [ops.convert_to_numpy(w) for w in model.trainable_variables]
    random = np.random.default_rng(0)
    gradients = [random.normal(size=w.shape).astype(np.float32) for w in before]
    optimizer(recipe, schedule(recipe, 10), model).apply(gradients, model.trainable_variables)
    for weight, was in zip(model.trainable_variables, before, strict=True):
        moved = (was - np.asarray(weight)) / 0.1
        if "_mlp/" in weight.path and weight.name == "kernel":
            # Liu et al. 2025, eq. 4; Newton-Schulz ends between 0.7 and 1.2.
            lengths = np.linalg.svd(moved, compute_uv=False) / (0.2 * max(was.shape) ** 0.5)
            assert np.median(lengths) > 0.6, weight.path
            assert lengths.max() < 1.3, weight.path
        else:
            np.testing.assert_allclose(np.abs(moved), 1, rtol=1e-3, err_msg=weight.path)


def test_muon_leaves_the_head_alone_whatever_its_name():
    image = keras.Input((8, 8, 3))
    hidden = keras.layers.Dense(16, name="hidden")(keras.layers.Flatten()(image))
    model = keras.Model(image, keras.layers.Dense(3, name="predictions")(hidden))
    made = optimizer(PLAIN.but(optimizer="muon"), 0.1, model)
    paths = {v.path: made._should_use_adamw(v) for v in model.trainable_variables}
    assert [path for path, adamw in paths.items() if not adamw] == ["hidden/kernel"]


def test_the_gradient_of_all_weights_together_is_clipped():
    recipe = PLAIN.but(
        optimizer="sgd", momentum=0.0, learning_rate=1.0, warmup=0, schedule="constant",
        clip_norm=0.5, weight_decay=0.0,
    )  # fmt: skip
    model = SHALLOW(input_shape=(8, 8, 3), classes=3)
    before = [ops.convert_to_numpy(w) for w in model.trainable_variables]
    made = optimizer(recipe, schedule(recipe, 10), model)
    made.apply([ops.ones_like(w) for w in model.trainable_variables], model.trainable_variables)
    moved = [was - np.asarray(w) for w, was in zip(model.trainable_variables, before, strict=True)]
    assert np.sqrt(sum((m**2).sum() for m in moved)) == pytest.approx(0.5, rel=1e-3)


def test_averages_are_of_updates_however_many_calls_they_take():
    found = []
    for calls in (1, 4):
        model = SHALLOW(input_shape=(8, 8, 3), classes=3)
        recipe = PLAIN.but(ema=0.9, accumulate=calls, warmup=0, schedule="constant", clip_norm=0.0)
        made = optimizer(recipe, schedule(recipe, 3), model)
        for weight in model.trainable_variables:
            weight.assign(ops.ones_like(weight))
        for _ in range(3 * calls):
            gradients = [ops.ones_like(w) for w in model.trainable_variables]
            made.apply(gradients, model.trainable_variables)
        found.append([ops.convert_to_numpy(a) for a in made._model_variables_moving_average])
    for one, parts in zip(*found, strict=True):
        assert np.ptp(one) < 1e-6
        assert 0.99 < one.flat[0] < 0.9971  # it follows: three steps are 0.009
        np.testing.assert_allclose(one, parts, rtol=1e-5)


def test_averages_take_the_weights_place_exactly_and_only_for_a_while():
    recipe = PLAIN.but(ema=0.5)
    model = SHALLOW(input_shape=(8, 8, 3), classes=3, classifier_activation=None)
    updates = optimizer(recipe, schedule(recipe, 10), model)
    model.compile(updates, loss(recipe), jit_compile=False)
    for _ in range(3):
        model.train_on_batch(np.ones((2, 8, 8, 3)), np.eye(3)[:2])
    weights = [ops.convert_to_numpy(w) for w in model.trainable_variables]
    with averaged(model):
        averages = [ops.convert_to_numpy(w) for w in model.trainable_variables]
    for weight, was, average in zip(model.trainable_variables, weights, averages, strict=True):
        np.testing.assert_array_equal(weight, was)
        if weight.name == "kernel":
            assert not np.array_equal(was, average)


@pytest.mark.slow
def test_accumulation_takes_the_steps_of_the_whole_batch(tmp_path):
    recipe = SIMPLE.but(steps=4, crop="resize", flip=False)
    one, _ = train(tmp_path / "one", recipe)
    parts, rows = train(tmp_path / "parts", recipe.but(accumulate=4))
    assert rows[-1]["step"] == 16
    for a, b in zip(one.weights, parts.weights, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5, err_msg=a.path)


@pytest.mark.slow
def test_mixed_bfloat16_computes_in_it_and_keeps_float32(tmp_path):
    model, rows = train(tmp_path, SIMPLE.but(precision="mixed_bfloat16", epochs=6))
    assert model.get_layer("block_0").compute_dtype == "bfloat16"
    assert model.get_layer("head").compute_dtype == "float32"
    assert {w.dtype for w in model.weights} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"
    assert rows[-1]["val_accuracy"] > 0.6


def test_augmentation_of_ones_own_and_callbacks_take_part(tmp_path):
    seen = []

    def darken(images):
        seen.append(images.shape)
        return images * 0.5

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            assert logs["val_images"] == 43
            self.model.stop_training = True

    _, rows = train(tmp_path, SIMPLE, augment=[darken], callbacks=[Stop()])
    assert seen == [(16, 8, 8, 3)]
    assert len(rows) == 1


def test_random_erasing_erases_the_share_that_the_recipe_says():
    grey = data.arrays(np.full((1000, 8, 8, 3), 128, np.uint8), np.arange(1000) % 3)
    recipe = PLAIN.but(random_erasing=0.5, batch_size=100, crop="resize", mixup=0.0, cutmix=0.0)
    recipe = recipe.but(rand_augment_layers=0)
    plan = module._plan(recipe, grey, 1, None)
    batches = module._training(recipe, plan, grey, (), 0, 0, Preprocessing()).take(10)
    erased = [np.ptp(images, axis=(1, 2, 3)) > 0 for images, *_ in batches.as_numpy_iterator()]
    assert np.mean(erased) == pytest.approx(0.5, abs=0.06)


def test_a_model_that_does_not_say_what_images_it_takes_is_told(tmp_path):
    def build(*, input_shape, classes, classifier_activation, drop_path_rate):
        image = keras.Input(input_shape)
        x = keras.layers.Flatten()(image)
        return keras.Model(image, keras.layers.Dense(classes, classifier_activation)(x))

    images, held_out = sources()
    arguments = {"recipe": PLAIN.but(epochs=2), "folder": tmp_path / "run"}
    with pytest.raises(ValueError, match="input_range="):
        training.train(build, images, held_out, **arguments)
    assert not (tmp_path / "run").exists()
    model, rows = training.train(build, images, held_out, input_range=(0, 1), **arguments)
    found = training.evaluate(model, held_out, crop="resize", input_range=(0, 1))
    assert found["accuracy"] == rows[-1]["val_accuracy"] > 0.5
    assert record_of(tmp_path / "run")["preprocessing"]["mean"] == 0


def pooling():
    return keras.Sequential([keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D()])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"recipe": "small"}, "no recipe 'small'"),
        ({"evaluate_every": -1}, "needs evaluate_every to be .* at least 1; got -1"),
        ({"evaluate_every": True}, "evaluate_every .* got True"),
        ({"steps_per_execution": 0}, "steps_per_execution .* got 0"),
        ({"seed": -1}, "seed .* got -1"),
        ({"seed": 1.5}, r"seed .* got 1\.5"),
        ({"seed": 2**32}, "seed to be at most 4,294,967,295; got 4294967296"),
        ({"build": "MixerTi4"}, r"build to be a function .*keras_mixer\.MixerB16; got str"),
        ({"build": pooling()}, "build to be a function .* got Sequential.* weights="),
        ({"build": lambda **_: None}, "train needs a Keras model; got NoneType"),
        ({"augment": keras.layers.RandomFlip()}, "augment to be a list; got RandomFlip alone"),
        ({"callbacks": keras.callbacks.Callback()}, "callbacks to be a list; got Callback alone"),
        ({"augment": ["flip"]}, "a Keras layer or a function on batches of images; got 'flip'"),
        ({"strategy": "gpus"}, "strategy takes auto, tpu, gpu, cpu; got 'gpus'"),
        ({"test": (1, 2)}, r"needs a Source of keras_mixer\.data.*got tuple"),
        (
            {"build": partial(SHALLOW, include_top=False)},
            r"needs a model with a head.* gives \(None, 2, 2, 16\)\. Leave out include_top=False",
        ),
        ({"recipe": RECIPE.but(batch_size=500)}, r"arrays has 200 images.* batch of 500"),
        ({"build": lambda **_: pooling()}, r"ends in a keras\.layers\.Dense, its head"),
        (
            {"build": lambda **_: keras_mixer.MixerTi4(classes=3)},
            r"images 32 x 32 x 3.* 8 x 8 x 3",
        ),
    ],
)
def test_what_does_not_go_together_is_an_error_before_anything_is_written(
    tmp_path, arguments, message
):
    with pytest.raises(ValueError, match=message):
        train(tmp_path / "run", **arguments)
    assert not (tmp_path / "run").exists()


def test_where_several_steps_cannot_be_compiled_into_one_call_one_is_and_it_says_so(capsys):
    did = []

    def fit(batches):
        did.append((batches, model.steps_per_execution))
        if model.steps_per_execution > 1:
            raise tf.errors.InvalidArgumentError(None, None, "an op\nin XLA")

    model = SimpleNamespace(steps_per_execution=6, fit=fit)
    run = SimpleNamespace(step=0, resume=lambda: did.append("resumed"))
    module._fit(model, run, lambda: "batches")
    assert did == [("batches", 6), "resumed", ("batches", 1)]
    said = "TensorFlow cannot run 6 steps per call, so it runs one: an op\n"
    assert capsys.readouterr().out == said


def test_a_batch_that_cannot_be_divided_is_an_error():
    images, _ = sources()
    with pytest.raises(ValueError, match=r"among 3 replicas, .* a multiple of 3; got 16"):
        module._plan(PLAIN, images, 3, None)
    with pytest.raises(ValueError, match="cannot accumulate gradients over 2 replicas of TensorF"):
        module._plan(PLAIN.but(accumulate=2), images, 2, None)


def test_classes_that_are_others_are_an_error(tmp_path, run):
    images, _ = sources()
    held_out = data.arrays(*labelled(20, classes=2))
    with pytest.raises(ValueError, match="have different classes"):
        training.train(SHALLOW, images, held_out, recipe=RECIPE, folder=tmp_path / "run")
    model = keras.saving.load_model(run[0] / "last.keras")
    with pytest.raises(ValueError, match="answers with 3 classes; arrays has 2 classes"):
        training.evaluate(model, held_out)
    with pytest.raises(ValueError, match=r"evaluate needs a Source .* got tuple"):
        training.evaluate(model, labelled(20))
    with pytest.raises(ValueError, match=r"fixed size; 'unbuilt' takes None\. A model"):
        training.evaluate(keras.Sequential([keras.layers.Flatten()], name="unbuilt"), held_out)
    with pytest.raises(ValueError, match=r"train needs a Source .* got tuple"):
        training.train(SHALLOW, images, labelled(20), recipe=RECIPE, folder=tmp_path / "run")
    with pytest.raises(ValueError, match=r"a function that builds the model.* got Functional"):
        training.train(model, images, recipe=RECIPE, folder=tmp_path / "run")
    single = data.arrays(labelled(20)[0], [0] * 20)
    with pytest.raises(ValueError, match="has a single class, '0'"):
        training.train(SHALLOW, single, recipe=RECIPE, folder=tmp_path / "run")


def test_a_recipe_without_an_image_size_takes_the_model_s_own():
    own, grown = module._image_size, partial(keras_mixer.MixerTi4, input_shape=(64, 64, 3))
    free = training.RECIPES["fine_tuning"]
    assert own(free, keras_mixer.MixerTi4, None) == 32
    assert own(free, partial(keras_mixer.MixerTi4, classes=3), None) == 32
    assert own(free, partial(grown, classes=3), None) == 64
    assert own(free, training.starting_from("MixerTi4", "cifar10"), None) == 32
    assert (
        own(free, training.starting_from("MixerTi4", None, "input_shape=(64, 64, 3)"), None) == 64
    )
    assert own(free, keras_mixer.MixerS16, None) == 224
    assert own(free, lambda **arguments: None, None) == 224
    assert own(free.but(image_size=96), keras_mixer.MixerTi4, None) == 96
    assert own(training.RECIPES["small_images"].set("image_size=none"), grown, None) == 64
    # Stated by the papers.
    for name in ("mixer_imagenet1k", "mixer_b_imagenet21k", "mixer_l_imagenet21k"):
        assert training.RECIPES[name].image_size == 224


def test_a_resumed_run_keeps_its_image_size(run):
    assert module._image_size(training.RECIPES["fine_tuning"], keras_mixer.MixerTi4, run[0]) == 8


def test_a_run_goes_on_from_the_folder_of_another_or_from_its_file_anywhere(run, tmp_path):
    options = [f"{key}={value}" for key, value in SHALLOW.keywords.items()]
    shutil.copy(run[0] / "last.keras", tmp_path)
    for weights in (run[0], tmp_path / "last.keras"):
        build = training.starting_from("MlpMixer", weights, *options)
        assert build.input_shape == (8, 8)
        built = build(input_shape=(8, 8, 3), classes=3)
        for one, other in zip(built.weights, run[1].weights, strict=True):
            np.testing.assert_array_equal(one, other)
    with pytest.raises(FileNotFoundError, match=r"no weights file at 'nowhere\.keras'"):
        training.starting_from("MixerTi4", "nowhere.keras")


def test_memory_that_cannot_be_there_is_said_before_it_is_taken(capsys):
    def outputs(**arguments):
        return memory.outputs(SHALLOW(input_shape=(8, 8, 3), classes=3, **arguments))

    image = keras.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.Dense(5)(keras.layers.Conv2D(4, 2)(image)))
    assert memory.outputs(model) == 4 * (7 * 7 * 4 + 7 * 7 * 5)
    assert outputs(remat=True) < outputs() / 2
    memory.warn(model, 2, memory=10**9)
    assert capsys.readouterr().out == ""
    memory.warn(model, 2 * 10**6, memory=10**9)
    assert "needs at least 5 GB of memory; this machine has 1" in capsys.readouterr().out
    assert 10**8 < machine_memory() < 10**15


def test_a_new_head_only_gets_the_bias():
    trained = randomised(SHALLOW(input_shape=(8, 8, 3), classes=3))
    bias = ops.convert_to_numpy(trained.get_layer("head").bias)
    give_logits(trained, -6.9)
    np.testing.assert_array_equal(trained.get_layer("head").bias, bias)


def test_released_weights_grow_to_the_recipe_s_size(tmp_path):
    small = SHALLOW(input_shape=(8, 8, 3), classes=3)
    small.save_weights(tmp_path / "small.weights.h5")
    build = training.starting_from(
        "MlpMixer",
        tmp_path / "small.weights.h5",
        *(f"{key}={value}" for key, value in SHALLOW.keywords.items()),
        "input_shape=(8, 8, 3)",
    )
    assert build(input_shape=(8, 8, 3), classes=3).input_shape == (None, 8, 8, 3)
    assert build(input_shape=(16, 16, 3), classes=3).input_shape == (None, 16, 16, 3)
    with pytest.raises(ValueError, match=r"written key=value; got 'width'"):
        training.starting_from("MlpMixer", None, "width")


def test_the_record_is_plain_json(run):
    from safetensors import safe_open

    with safe_open(run[0] / "state.safetensors", "numpy") as file:
        record = json.loads(file.metadata()["record"])
    assert training.Recipe(**record["recipe"]).epochs == 8
