"""Training and evaluation: one function each, over Keras's `fit` and `evaluate`."""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import keras
import tensorflow as tf

from keras_mixer._backend import settings
from keras_mixer._files import whole_file
from keras_mixer._runs import SKIPPED, STATE
from keras_mixer.data import Augment, evaluation_batches, training_batches
from keras_mixer.data.augmentation import check_augmentation
from keras_mixer.images import carrier, preprocessing
from keras_mixer.training.averages import EvaluateAverages
from keras_mixer.training.devices import (
    jit_compile_for_training,
    mirrored,
    on_a_tpu,
    part,
    process,
    replicas,
    wait_for_all,
)
from keras_mixer.training.devices import strategy as find
from keras_mixer.training.heads import answering, give_logits
from keras_mixer.training.optimizers import loss, metrics, optimizer, schedule
from keras_mixer.training.progress import Progress
from keras_mixer.training.recipes import recipe as named
from keras_mixer.training.run import Run

ON_A_TPU = 32  # steps, in which starting the next one from Python no longer matters


@dataclass(frozen=True)
class Plan:
    """How much there is to do, counted in calls of the optimizer.

    Attributes:
        batch_size: Images in a call.
        steps_per_epoch: Calls for one pass over the images.
        steps: Calls in all.
        round: Calls between two evaluations.
    """

    batch_size: int
    steps_per_epoch: int
    steps: int
    round: int


def train(
    build,
    images,
    held_out=None,
    *,
    recipe,
    folder,
    strategy=None,
    seed=0,
    resume=False,
    augment=(),
    evaluate_every=None,
    steps_per_execution=None,
    callbacks=(),
    input_range=None,
):
    """Trains a model and keeps it, and all that is needed to go on, in a folder.

    Writes into `folder`: `best.keras` and `last.keras`, models ready for use; `labels.txt`, the
    classes; `log.csv`, a row for each round; `tensorboard/`; `README.md`, a model card;
    `skipped.txt` where files were no pictures; and `state.safetensors`, from which training is
    taken up. The recipe decides the precision, and `keras.json` and `keras.config` change nothing.
    On a CPU a run that was stopped, by SIGTERM or by anything else, ends at the same weights as one
    that was not, bit by bit.

    Args:
        build: A function that builds the model: called with `input_shape`, `classes`,
            `classifier_activation` and `drop_path_rate`, as the builders of this package are. To
            fine-tune: `functools.partial(keras_mixer.MixerB16, weights="imagenet21k")`.
        images: The `keras_mixer.data.Source` to learn from.
        held_out: One to evaluate on, after each round.
        recipe: A `Recipe`, or the name of one of `RECIPES`.
        folder: Where to write; made if need be.
        strategy: What `keras_mixer.training.strategy` returns; by default what it finds.
        seed: Decides initial weights, order, augmentation and dropped paths.
        resume: Whether to go on with what is in `folder`.
        augment: Keras layers or callables on batches of images, after the recipe's crops, flips and
            RandAugment and before MixUp and CutMix; see `keras_mixer.data.augmented`.
        evaluate_every: Updates between two evaluations; by default an epoch, or a twentieth of a
            recipe that counts steps.
        steps_per_execution: Updates that the device does before it comes back to Python, at most;
            as many of them as divide a round. By default 32 on a TPU, which would wait otherwise,
            and 1 elsewhere. Only in between is the state kept and the loss looked at.
        callbacks: More Keras callbacks.
        input_range: What the model takes for black and for white, where nothing in it says so; see
            `keras_mixer.preprocessing`.

    Returns:
        `(model, rows)`: the model as in `last.keras`, and the log.

    Raises:
        FileExistsError: A run is in `folder` already, and `resume` is not set.
        ValueError: A recipe, data or a model that do not go together, or another run to resume.
        RuntimeError: The loss is no longer a number; the message says where the last good state is.
    """
    recipe = named(recipe)
    folder, strategy = Path(folder), strategy or find()
    plan = _plan(recipe, images, replicas(strategy), evaluate_every)
    _check(folder, resume, images, held_out, augment)
    keras.utils.set_random_seed(seed)
    with strategy.scope(), settings(recipe.precision):
        model = build(
            input_shape=(recipe.image_size, recipe.image_size, images.channels),
            classes=len(images.classes),
            classifier_activation=None,
            drop_path_rate=recipe.drop_path_rate,
        )
        _check_model(model, recipe, images)
        give_logits(model, recipe.head_bias)
        takes = _images(model, recipe, input_range)
        rates = schedule(recipe, plan.steps // recipe.accumulate)
        model.compile(
            optimizer(recipe, rates, model),
            loss(recipe),
            weighted_metrics=metrics(len(images.classes)),
            jit_compile=jit_compile_for_training(model),
        )
        record = _record(recipe, images, held_out, seed, augment, model, plan, takes)
        run = Run(folder, record, plan, rates, activation=recipe.loss)
        run.set_model(model)
        if resume and (folder / STATE).exists():
            run.take_up()
        _announce(model, images, held_out, folder)
        if run.owes_a_row:
            run.make_up(_evaluated(model, plan, held_out, takes) or {})
        if run.step < plan.steps:
            model.steps_per_execution = _at_once(plan, run.step, steps_per_execution, strategy)
            with run.listening():
                _fit(
                    model,
                    run,
                    lambda: _training(recipe, plan, images, augment, seed, run.step, takes),
                    initial_epoch=run.step // plan.round,
                    epochs=math.ceil(plan.steps / plan.round),
                    steps_per_epoch=plan.round,
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
            print(f"The run in {folder} is finished.")
            model.optimizer.finalize_variable_values(model.trainable_variables)
        run.finish()
        wait_for_all()
        return answering(model, recipe.loss), run.rows


def _plan(recipe, images, replicas, evaluate_every):
    if recipe.accumulate > 1 and replicas > 1 and keras.backend.backend() == "tensorflow":
        raise ValueError(
            f"Keras cannot accumulate gradients over {replicas} replicas of TensorFlow; got "
            f"accumulate={recipe.accumulate}. The JAX backend can."
        )
    batch_size = recipe.batch_size // recipe.accumulate
    if batch_size % replicas:
        raise ValueError(
            f"{replicas} replicas divide a batch among them, so its size must be a multiple of "
            f"that; got {batch_size}."
        )
    if batch_size > images.count:
        raise ValueError(
            f"{images.name} has {images.count:,} images, fewer than one batch of {batch_size:,}; "
            "the recipe takes another batch_size."
        )
    epoch = images.count // batch_size
    steps = recipe.steps * recipe.accumulate if recipe.steps else round(recipe.epochs * epoch)
    every = epoch if recipe.epochs else math.ceil(steps / 20)
    return Plan(batch_size, epoch, max(1, steps), evaluate_every or every)


def _fit(model, run, batches, **arguments):
    """`fit`. Where TensorFlow cannot do several steps at once, which shows at the first, one."""
    begun = run.step
    try:
        model.fit(batches(), **arguments)
    except tf.errors.InvalidArgumentError as error:
        if model.steps_per_execution == 1 or run.step > begun:
            raise
        reason = str(error).strip().splitlines()[0]
        print(f"Not {model.steps_per_execution} steps at once, but one after the other: {reason}")
        run.take_up()  # some replica may have done a step
        model.steps_per_execution, model.train_function = 1, None
        model.fit(batches(), **arguments)


def _evaluated(model, plan, held_out, takes):
    """What `fit` finds out after a round."""
    return held_out and model.evaluate(
        _held_out(plan, held_out, takes),
        callbacks=[EvaluateAverages()],
        return_dict=True,
        verbose=0,
    )


def _at_once(plan, step, most, strategy):
    """The largest number of steps, up to `most`, that divides what is left of every round."""
    if (most or 1) > 1 and replicas(strategy) > 1 and mirrored(strategy):
        raise ValueError(
            f"Keras does one step at a time over {replicas(strategy)} replicas of a "
            f"MirroredStrategy; got steps_per_execution={most}."
        )
    most = most or (ON_A_TPU if on_a_tpu(strategy) else 1)
    left = math.gcd(plan.round, plan.steps, step)
    return max(n for n in range(1, most + 1) if left % n == 0)


def _check(folder, resume, images, held_out, augment):
    """What can be known to go wrong, before it costs anything."""
    for augmentation in augment:
        check_augmentation(augmentation)
    if (folder / STATE).exists() and not resume:
        raise FileExistsError(
            f"There is a run in {folder} already; resume it (--resume, resume=True) or choose "
            "another folder."
        )
    if held_out and held_out.classes != images.classes:
        raise ValueError(
            f"{images.name} and {held_out.name} have other classes: {images.classes[:5]} and "
            f"{held_out.classes[:5]}, ..."
        )


def _check_model(model, recipe, images):
    image = (recipe.image_size, recipe.image_size, images.channels)
    if model.input_shape[1:] != image or model.output_shape != (None, len(images.classes)):
        shape, wanted = (" x ".join(map(str, s)) for s in (model.input_shape[1:], image))
        raise ValueError(
            f"'{model.name}' takes images {shape} and tells {model.output_shape[-1]} classes "
            f"apart; the recipe and the data have {wanted} and {len(images.classes)}."
        )


def _images(model, recipe, input_range):
    """What images the model takes, and how the recipe cuts them, which the model then carries."""
    layer = carrier(model)
    if layer:
        layer.preprocessing = layer.preprocessing.cut(recipe.evaluation_crop)
    return preprocessing(model, input_range=input_range).cut(recipe.evaluation_crop)


def _record(recipe, images, held_out, seed, augment, model, plan, takes):
    """What must be the same for a run to be the same."""
    return {
        "recipe": recipe.as_dict(),
        "model": model.name,
        "parameters": model.count_params(),
        "images": str(images),
        "held_out": str(held_out) if held_out else None,
        "origin": {"images": images.origin, "held_out": held_out and held_out.origin},
        "augment": [getattr(a, "__name__", type(a).__name__) for a in augment],
        "classes": list(images.classes),
        "seed": seed,
        "layers": _outline(model),
        "preprocessing": takes.as_dict(),
        "evaluate_every": plan.round,
    }


def _outline(model):
    """A fingerprint of the words and numbers that a model's layers are made from."""
    plain = str | int | float | bool | None
    layers = [
        (type(layer).__name__, [(k, v) for k, v in _config(layer) if isinstance(v, plain)])
        for layer in model.layers
    ]
    return hashlib.sha256(repr(layers).encode()).hexdigest()[:16]


def _config(layer):
    """What repeats when the same model is built again."""
    return sorted((k, v) for k, v in layer.get_config().items() if k not in ("name", "seed"))


def _announce(model, images, held_out, folder):
    """Says what will be done, and what of the data was left out."""
    print(f"{model.name}, {model.count_params():,} parameters, learns from {images}")
    skipped = images.skipped | (held_out.skipped if held_out else {})
    if held_out:
        print(f"and is measured on {held_out}.")
    if skipped and process()[0] == 0:
        lines = [f"{path}: {reason}" for path, reason in skipped.items()]
        with whole_file(folder / SKIPPED, overwrite=True) as path:
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        print(f"Left out {len(lines)}, all in {folder / SKIPPED}:", *lines[:10], sep="\n  ")


def _training(recipe, plan, images, augment, seed, start, takes):
    layers = keras.layers
    # One number would be the most that Keras draws the share from, and so would CutMix's.
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
        **part(),
    )


def _held_out(plan, held_out, takes):
    return evaluation_batches(held_out, plan.batch_size, takes.size, preprocessing=takes, **part())


def _tensorboard(folder):
    if process()[0]:
        return []
    return [keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False)]
