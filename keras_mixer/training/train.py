"""Training: one function, over Keras's `fit`."""

import functools
import hashlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_mixer._backend import settings
from keras_mixer._checks import check_model, check_whole
from keras_mixer._extras import needs
from keras_mixer._files import check_folder, whole_file
from keras_mixer._runs import LAST, SKIPPED, STATE
from keras_mixer._text import printable, say
from keras_mixer._types import InputRange, StrPath
from keras_mixer.data import Augment, evaluation_batches, training_batches
from keras_mixer.data.augmentation import check_augmentation
from keras_mixer.data.sources import Source, Splits, check_source
from keras_mixer.images import carrier, preprocessing
from keras_mixer.training.averages import EvaluateAverages
from keras_mixer.training.devices import (
    batch_share,
    jit_compile_for_training,
    mirrored,
    on_a_tpu,
    on_the_cpu,
    process,
    replicas,
    wait_for_all,
    warn_of_batch_norms,
)
from keras_mixer.training.devices import strategy as find
from keras_mixer.training.heads import for_use, give_logits
from keras_mixer.training.lock import alone_in
from keras_mixer.training.memory import warn
from keras_mixer.training.optimizers import loss, metrics, optimizer, schedule
from keras_mixer.training.progress import Progress
from keras_mixer.training.recipes import Recipe
from keras_mixer.training.recipes import recipe as named
from keras_mixer.training.record import record_of
from keras_mixer.training.results import results
from keras_mixer.training.run import Run

with needs(__name__):
    import tensorboard  # noqa: F401  Keras's callback writes with it

IMAGE_SIZE = 224  # where neither the recipe nor the model says one: that of the papers
ON_A_TPU = 32  # steps per execution, enough to hide the overhead of Python


@dataclass(frozen=True)
class Plan:
    """The length of a run, in steps. A step is one call of the optimizer.

    Attributes:
        batch_size: Images a step.
        steps_per_epoch: Steps for one pass over the images.
        steps: Steps in all.
        interval: Steps between two evaluations.
    """

    batch_size: int
    steps_per_epoch: int
    steps: int
    interval: int


def train(
    build: Callable[..., keras.Model],
    images: Source,
    held_out: Source | None = None,
    *,
    test: Source | None = None,
    recipe: Recipe | str,
    folder: StrPath,
    strategy: Any = None,
    seed: int = 0,
    resume: bool = False,
    augment: Iterable[Callable] = (),
    evaluate_every: int | None = None,
    steps_per_execution: int | None = None,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    input_range: InputRange | None = None,
) -> tuple[keras.Model, list[dict[str, Any]]]:
    """Trains a model, and saves it to a folder with everything that is needed to resume.

    Writes into `folder`: `best.keras` and `last.keras`, models ready for use; `labels.txt`, the
    class names; `log.csv`, a row for each evaluation; `tensorboard/`; `README.md`, a model card;
    `confusion.csv` and `classes.csv`, which classes are taken for which; `results.json`, what was
    measured at the end; `skipped.txt`, the files that could not be read, if any; and
    `state.safetensors`, from which training resumes.

    The best model is the one with the highest accuracy on the held-out images, then the lowest loss
    on them, then the later one. Where the folder of a finished run is given as a model, the last
    model is used, unless its accuracy is below the 95 % interval of the best one's (Wilson's, for
    so many held-out images): where few images are held out, the best is best by chance.

    The recipe decides the precision; `keras.json` and `keras.config` have no
    influence. On a CPU, a run that was stopped and resumed ends at the same weights as one that was
    not stopped, bit by bit.

    Args:
        build: A function that builds the model: called with `input_shape`, `classes`,
            `classifier_activation` and `drop_path_rate`, as the builders of this package are. To
            fine-tune: `functools.partial(keras_mixer.MixerB16, weights="imagenet21k")`.
        images: The `keras_mixer.data.Source` to train on.
        held_out: The `Source` to evaluate on, after each epoch or `evaluate_every` steps.
        test: A `Source` that has no influence on the training and on which model is best. The model
            that is used of the run is measured on it once, at the end.
        recipe: A `Recipe`, or the name of one of `RECIPES`. Without an `image_size` it takes that
            of the model: the attribute `input_shape` of the function that builds it, as the
            builders of this package have it, else 224.
        folder: The folder to write to. It is created if it does not exist.
        strategy: From `keras_mixer.training.strategy`, which is called by default; or what it takes
            first, such as `"cpu"`.
        seed: Seed of the initial weights, the order of images, augmentation and dropped paths.
        resume: Whether to resume the run in `folder`, if there is one.
        augment: Keras layers or callables on batches of images, after the recipe's crops, flips and
            RandAugment and before MixUp and CutMix; see `keras_mixer.data.augmented`.
        evaluate_every: Evaluation interval in steps; by default an epoch, or a twentieth of the
            training for a recipe that gives `steps`.
        steps_per_execution: Maximum steps per compiled call; the largest number up to it that
            divides an evaluation interval is used. By default 32 on a TPU and 1 elsewhere. The
            state is saved and the loss checked between calls only.
        callbacks: Additional Keras callbacks.
        input_range: The model's input values for black and for white, where nothing in the model
            says so; see `keras_mixer.preprocessing`.

    Returns:
        `(model, rows)`: the model as in `last.keras`, and the log.

    Raises:
        FileExistsError: A run is in `folder` already, and `resume` is not set.
        ValueError: Recipe, data and model do not fit together, or the run to resume has other
            settings.
        RuntimeError: The loss is not finite; the message says where the last good state is. Or
            another run is writing to the folder.
    """
    if not callable(build) or isinstance(build, keras.Model):
        raise ValueError(
            "train needs build to be a function that builds the model, such as "
            f"keras_mixer.MixerB16; got {type(build).__name__}. To go on from a model, save it "
            'and pass functools.partial(keras_mixer.MixerB16, weights="model.keras").'
        )
    recipe, folder = named(recipe), Path(folder)
    augment, callbacks = _items("augment", augment), _items("callbacks", callbacks)
    _check(folder, resume, images, [held_out, test], augment)
    _check_numbers(seed, evaluate_every, steps_per_execution)
    recipe = recipe.but(image_size=_image_size(recipe, build, folder if resume else None))
    if strategy is None or isinstance(strategy, str):
        strategy = find(strategy or "auto")
    plan = _plan(recipe, images, replicas(strategy), evaluate_every)
    keras.utils.set_random_seed(seed)
    with strategy.scope(), settings(recipe.precision):
        model = build(
            input_shape=(recipe.image_size, recipe.image_size, images.channels),
            classes=len(images.classes),
            classifier_activation=None,
            drop_path_rate=recipe.drop_path_rate,
        )
        _check_model(model, recipe, images)
        warn_of_batch_norms(model, replicas(strategy))
        if on_the_cpu(strategy) and process()[0] == 0:
            warn(model, plan.batch_size)
        give_logits(model, recipe.head_bias)
        takes = _images(model, recipe, input_range)
        rates = schedule(recipe, plan.steps // recipe.accumulate)
        model.compile(
            optimizer(recipe, rates, model),
            loss(recipe),
            weighted_metrics=metrics(len(images.classes)),
            jit_compile=jit_compile_for_training(model),
        )
        record = _record(recipe, images, held_out, test, seed, augment, model, plan, takes)
        run = Run(folder, record, plan, rates, activation=recipe.loss)
        run.set_model(model)
        with alone_in(folder):
            _check_new(folder, resume)  # again: another run may have begun meanwhile
            if resume and (folder / STATE).exists():
                run.resume()
            _announce(model, images, held_out, test, folder)
            if run.misses_row:
                run.record_missing_row(_evaluated(model, plan, held_out, takes) or {})
            if run.step < plan.steps:
                model.steps_per_execution = _steps_per_execution(
                    plan, run.step, steps_per_execution, strategy
                )
                with run.handling_signals():
                    _fit(
                        model,
                        run,
                        lambda: _training(recipe, plan, images, augment, seed, run.step, takes),
                        initial_epoch=run.step // plan.interval,
                        epochs=math.ceil(plan.steps / plan.interval),
                        steps_per_epoch=plan.interval,
                        validation_data=held_out and _held_out(plan, held_out, takes),
                        callbacks=[
                            run,
                            Progress(run),
                            EvaluateAverages(),
                            *_tensorboard(folder),
                            *callbacks,
                        ],
                        shuffle=False,
                        verbose=0,
                    )
            else:
                say(f"The run in {folder} is finished.")
                model.optimizer.finalize_variable_values(model.trainable_variables)
            run.write(LAST)
            trained = for_use(model, recipe.loss)
            found = results(
                run,
                trained,
                held_out,
                test,
                crop=recipe.evaluation_crop,
                batch_size=plan.batch_size,
                input_range=input_range,
            )
            run.finish(found)
            wait_for_all()
        return trained, run.rows


def _items(name, values):
    if not isinstance(values, Iterable):
        raise ValueError(f"train needs {name} to be a list; got {type(values).__name__} alone.")
    return tuple(values)


def _image_size(recipe, build, folder):
    """The recipe's image size; else that of the run to resume; else the model's own."""
    if recipe.image_size:
        return recipe.image_size
    if folder and (record := record_of(folder)):
        return record["recipe"].image_size
    while isinstance(build, functools.partial):
        if "input_shape" in build.keywords:
            return build.keywords["input_shape"][0]
        build = build.func
    return getattr(build, "input_shape", (IMAGE_SIZE,))[0]


def _plan(recipe, images, replicas, evaluate_every):
    if recipe.accumulate > 1 and replicas > 1 and keras.backend.backend() == "tensorflow":
        raise ValueError(
            f"Keras cannot accumulate gradients over {replicas} replicas of TensorFlow; got "
            f"accumulate={recipe.accumulate}. The JAX backend can."
        )
    batch_size = recipe.batch_size // recipe.accumulate
    if batch_size % replicas:
        raise ValueError(
            f"A batch is divided among {replicas} replicas, so its size must be a multiple of "
            f"{replicas}; got {batch_size}."
        )
    if batch_size > images.count:
        fits = max(1, 2 ** int(math.log2(images.count)) // replicas) * replicas * recipe.accumulate
        raise ValueError(
            f"{images.name} has {images.count:,} images, fewer than one batch of {batch_size:,}. "
            f"Choose a smaller one: --set batch_size={fits}, recipe.but(batch_size={fits})."
        )
    epoch = images.count // batch_size
    steps = recipe.steps * recipe.accumulate if recipe.steps else round(recipe.epochs * epoch)
    every = epoch if recipe.epochs else math.ceil(steps / 20)
    return Plan(batch_size, epoch, max(1, steps), evaluate_every or every)


def _fit(model, run, batches, **arguments):
    """`fit`; with one step per call if TensorFlow cannot compile several into one."""
    begun = run.step
    try:
        model.fit(batches(), **arguments)
    except tf.errors.InvalidArgumentError as error:
        if model.steps_per_execution == 1 or run.step > begun:
            raise
        reason = str(error).strip().splitlines()[0]
        say(
            f"TensorFlow cannot run {model.steps_per_execution} steps per call, so it runs one: "
            f"{reason}"
        )
        run.resume()  # some replica may have done a step
        model.steps_per_execution, model.train_function = 1, None
        model.fit(batches(), **arguments)


def _evaluated(model, plan, held_out, takes):
    """The results of an evaluation, as `fit` gets them after an epoch."""
    return held_out and model.evaluate(
        _held_out(plan, held_out, takes),
        callbacks=[EvaluateAverages()],
        return_dict=True,
        verbose=0,
    )


def _steps_per_execution(plan, step, most, strategy):
    """The largest number of steps up to `most` that divides the rest of every interval."""
    if (most or 1) > 1 and replicas(strategy) > 1 and mirrored(strategy):
        raise ValueError(
            f"With a MirroredStrategy of {replicas(strategy)} replicas Keras needs "
            f"steps_per_execution=1; got {most}."
        )
    most = most or (ON_A_TPU if on_a_tpu(strategy) else 1)
    left = math.gcd(plan.interval, plan.steps, step)
    return max(n for n in range(1, most + 1) if left % n == 0)


def _check(folder, resume, images, others, augment):
    """Raises the errors that can be found before the model is built."""
    others = [other for other in others if other is not None]
    for source in (images, *others):
        check_source(source, "train")
    for augmentation in augment:
        check_augmentation(augmentation)
    check_folder(folder)
    _check_new(folder, resume)
    _check_outside(folder, images)
    if len(images.classes) < 2:
        raise ValueError(
            f"{images.name} has a single class, {images.classes[0]!r}, and at least two are "
            "needed: a model of one class is always right."
        )
    for other in others:
        if other.classes != images.classes:
            raise ValueError(
                f"{images.name} and {other.name} have different classes: {images.classes[:5]} and "
                f"{other.classes[:5]}, ..."
            )


def _check_outside(folder, images):
    """Raises ValueError if a run's folder is among the images to train on."""
    root = Path(images.origin.get("absolute", folder / "elsewhere"))
    if folder.resolve() == root or root in folder.resolve().parents:
        raise ValueError(
            f"{folder} is inside {images.origin['folder']}, among the images to train on. Choose a "
            "folder elsewhere (--output)."
        )


def _check_new(folder, resume):
    if (folder / STATE).exists() and not resume:
        raise FileExistsError(
            f"There is a run in {folder} already; resume it (--resume, resume=True) or choose "
            "another folder."
        )


def _check_numbers(seed, evaluate_every, steps_per_execution):
    check_whole("train", 0, seed=seed)
    if seed >= 2**32:
        raise ValueError(f"train needs seed to be at most 4,294,967,295; got {seed}.")
    given = {"evaluate_every": evaluate_every, "steps_per_execution": steps_per_execution}
    check_whole("train", 1, **{name: n for name, n in given.items() if n is not None})


def _check_model(model, recipe, images):
    check_model(model, "train")
    image = (recipe.image_size, recipe.image_size, images.channels)
    if len(model.output_shape) != 2:
        raise ValueError(
            f"train needs a model with a head, images -> [B, classes]; '{model.name}' gives "
            f"{model.output_shape}. Leave out include_top=False."
        )
    if model.input_shape[1:] != image or model.output_shape != (None, len(images.classes)):
        shape, wanted = (" x ".join(map(str, s)) for s in (model.input_shape[1:], image))
        raise ValueError(
            f"'{model.name}' takes images {shape} and has {model.output_shape[-1]} classes; the "
            f"recipe and the data have {wanted} and {len(images.classes)}."
        )


def _images(model, recipe, input_range):
    """The model's `Preprocessing`, with the recipe's crop. The model keeps that, too."""
    layer = carrier(model)
    if layer:
        layer.preprocessing = layer.preprocessing.cut(recipe.evaluation_crop)
    return preprocessing(model, input_range=input_range).cut(recipe.evaluation_crop)


def _record(recipe, images, held_out, test, seed, augment, model, plan, takes):
    """The settings that must not change when a run resumes.

    Test images change nothing in the training, so that a run without any may be resumed with some.
    """
    sources = {"images": images, "held_out": held_out} | ({"test": test} if test else {})
    return {
        "recipe": recipe.as_dict(),
        "model": model.name,
        "parameters": model.count_params(),
        **{key: source and str(source) for key, source in sources.items()},
        "origin": {key: source and source.origin for key, source in sources.items()},
        "fingerprint": {key: source and source.fingerprint() for key, source in sources.items()},
        "augment": [getattr(a, "__name__", type(a).__name__) for a in augment],
        "classes": list(images.classes),
        "seed": seed,
        "layer_arguments": _outline(model),
        "preprocessing": takes.as_dict(),
        "evaluate_every": plan.interval,
    }


def _outline(model):
    """A fingerprint of the plain constructor arguments of a model's layers."""
    plain = str | int | float | bool | None
    layers = [
        (type(layer).__name__, [(k, v) for k, v in _config(layer) if isinstance(v, plain)])
        for layer in model.layers
    ]
    return hashlib.sha256(repr(layers).encode()).hexdigest()[:16]


def _config(layer):
    """The arguments that are the same when the same model is built again."""
    return sorted((k, v) for k, v in layer.get_config().items() if k not in ("name", "seed"))


def _announce(model, images, held_out, test, folder):
    """Prints what is trained on which images, and which files were left out."""
    sources = Splits(images, held_out, test)
    say(f"{model.name}, {model.count_params():,} parameters, {sources}.")
    skipped = [line for source in filter(None, sources) for line in source.skipped.items()]
    # Two of the sources may be parts of one folder.
    lines = [*dict.fromkeys(printable(f"{path}: {why}") for path, why in skipped)]
    if lines and process()[0] == 0:
        with whole_file(folder / SKIPPED, overwrite=True) as path:
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        say(f"Left out {len(lines)}, all in {folder / SKIPPED}:", *(f"  {x}" for x in lines[:10]))


def _training(recipe, plan, images, augment, seed, start, takes):
    layers = keras.layers
    # A single number would be the maximum of a range that Keras draws from, here and in CutMix.
    share = (recipe.random_erasing, recipe.random_erasing)
    erase = [layers.RandomErasing(share)] if recipe.random_erasing else []
    mix = [layers.MixUp(recipe.mixup)] if recipe.mixup else []
    mix += [layers.CutMix((recipe.cutmix, recipe.cutmix))] if recipe.cutmix else []
    operations = recipe.rand_augment_layers
    augment = Augment(
        crop=recipe.crop,
        flip=recipe.flip,
        rand_augment=(operations, recipe.rand_augment_magnitude) if operations else None,
        rand_augment_from=round(recipe.rand_augment_from * plan.steps),
        layers=(*augment, *erase),
        one_of=tuple(mix),
    )
    return training_batches(
        images,
        plan.batch_size,
        recipe.image_size,
        augment=augment,
        preprocessing=takes,
        seed=seed,
        start=start,
        **batch_share(),
    )


def _held_out(plan, held_out, takes):
    return evaluation_batches(
        held_out, plan.batch_size, takes.size, preprocessing=takes, **batch_share()
    )


def _tensorboard(folder):
    if process()[0]:
        return []
    return [keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False)]
