"""Recipes: how to train, as data. They stand at the foot of this file, each with its source."""

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Annotated, get_args, get_type_hints

from keras_mixer._text import WORDS, did_you_mean
from keras_mixer.data.decoding import TRAINING
from keras_mixer.data.tasks import find_task
from keras_mixer.images import CROPS


def _one_of(*choices):
    return Annotated[str, f"one of {', '.join(choices)}", lambda value: value in choices]


Count = Annotated[int, "a whole number from 1 up", lambda value: value >= 1]
Layers = Annotated[int, "a whole number from 0 up", lambda value: value >= 0]
Positive = Annotated[float, "a number above 0", lambda value: 0 < value < math.inf]
Strength = Annotated[float, "a number from 0 up", lambda value: 0 <= value < math.inf]
Share = Annotated[float, "a number from 0 to 1", lambda value: 0 <= value <= 1]
Rate = Annotated[float, "a number from 0 to below 1", lambda value: 0 <= value < 1]
Finite = Annotated[float, "a finite number", math.isfinite]
Switch = Annotated[bool, "true or false", lambda value: True]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train, but for the model and the data.

    Attributes:
        name: What it is called.
        source: Where it is from, down to the table or file.
        image_size: Side of the images in pixels.
        batch_size: Images in one update of the weights, over all replicas.
        epochs, steps: How long: passes over the training images, or updates. One of the two.
        crop: Of training images: `"inception"`, `"shift"` or `"resize"`, see
            `keras_mixer.data.training_image`.
        flip: Whether half of the training images are mirrored.
        rand_augment_layers, rand_augment_magnitude: See `keras_mixer.data.rand_augment`; 0 layers
            for none.
        rand_augment_from: Share of the training after which it begins.
        mixup: Alpha of MixUp's beta distribution; 0 for none.
        cutmix: Likewise of CutMix, up to 1. With both, each batch takes one of them.
        random_erasing: Share of the training images of which a part is erased.
        evaluation_crop: `"resize"`, `"resize_crop"` or `"resmall_crop"`, see
            `keras_mixer.Preprocessing`. The trained model carries it.
        drop_path_rate: Stochastic depth of the last block.
        loss: `"softmax"` cross-entropy, or `"sigmoid"`: a yes or no for each class, summed.
        head_bias: Where the biases of a new head start. With a sigmoid loss and 1,000 classes -6.9
            says that each of them is rare.
        label_smoothing: Share of a label that goes to all classes alike.
        optimizer: `"adamw"`, `"lamb"`, `"sgd"` with momentum, or `"muon"` (Jordan et al. 2024, with
            steps as long as AdamW's: Liu et al. 2025): for kernels that are matrices, but for the
            head's; all else takes AdamW's steps.
        learning_rate: Its peak.
        schedule: `"linear"` or `"cosine"` decay after the warm-up, or `"constant"`.
        warmup: Steps of linear warm-up; below 1, their share of all steps.
        weight_decay: Of kernels only: each step takes this times the learning rate off them.
        momentum, beta_1, beta_2: Of SGD and Muon; of AdamW and LAMB.
        clip_norm: Largest norm of the gradient of all weights together; 0 for any.
        ema: Decay of the moving average of the weights, which is then what is evaluated and kept; 0
            for none.
        accumulate: Parts in which a batch goes through the model one after the other, to save
            memory.
        precision: `"float32"`, or `"mixed_bfloat16"`: activations in bfloat16.

    Raises:
        ValueError: Values out of their range; the message lists all of them.
    """

    name: str
    source: str
    image_size: Count = 224
    batch_size: Count
    epochs: Positive | None = None
    steps: Count | None = None
    crop: _one_of(*TRAINING) = "inception"
    flip: Switch = True
    rand_augment_layers: Layers = 0
    rand_augment_magnitude: Strength = 0.0
    rand_augment_from: Share = 0.0
    mixup: Strength = 0.0
    cutmix: Share = 0.0
    random_erasing: Share = 0.0
    evaluation_crop: _one_of(*CROPS) = "resmall_crop"
    drop_path_rate: Rate = 0.0
    loss: _one_of("softmax", "sigmoid") = "softmax"
    head_bias: Finite = 0.0
    label_smoothing: Rate = 0.0
    optimizer: _one_of("adamw", "lamb", "sgd", "muon") = "adamw"
    learning_rate: Positive
    schedule: _one_of("linear", "cosine", "constant") = "cosine"
    warmup: Strength = 0.0
    weight_decay: Strength = 0.0
    momentum: Rate = 0.9
    beta_1: Rate = 0.9
    beta_2: Rate = 0.999
    clip_norm: Strength = 1.0
    ema: Rate = 0.0
    accumulate: Count = 1
    precision: _one_of("float32", "mixed_bfloat16") = "float32"

    def __post_init__(self):
        wrong = [
            f"{key} must be {rule}, not {getattr(self, key)!r}"
            for key, (kind, rule, holds) in RULES.items()
            if not _is_a(getattr(self, key), kind, holds, optional=key in ("epochs", "steps"))
        ]
        if (self.epochs is None) == (self.steps is None):
            wrong += [f"either epochs or steps must be given, not {self.epochs} and {self.steps}"]
        if not wrong and self.steps and 1 <= self.warmup >= self.steps:
            wrong += [f"warmup must be shorter than its {self.steps} steps, not {self.warmup:g}"]
        if not wrong and self.batch_size % self.accumulate:
            wrong += [f"batch_size must be a multiple of accumulate, not {self.batch_size}"]
        if wrong:
            raise ValueError(f"Recipe {self.name!r} cannot be used: {'; '.join(wrong)}.")

    def but(self, **changes):
        """The same with other values: `recipe.but(epochs=100)`; `epochs` replaces `steps`.

        Raises:
            ValueError: A field that does not exist, or a value out of its range.
        """
        known = [f.name for f in fields(self)]
        unknown = [key for key in changes if key not in known]
        if unknown:
            hint = did_you_mean(unknown[0], known) or f"It has {', '.join(known)}."
            raise ValueError(f"A recipe has no {unknown[0]!r}. {hint}")
        if {"epochs", "steps"} & changes.keys():
            changes = {"epochs": None, "steps": None} | changes
        return replace(self, **changes)

    def for_task(self, name):
        """The same for a task of `keras_mixer.data.TASKS`: its steps, and what keeps its labels."""
        row = find_task(name)
        return self.but(
            steps=row.steps,
            warmup=row.warmup,
            flip=self.flip and row.flip,
            crop=self.crop if row.crop else "resize",
        )

    def set(self, *assignments):
        """`but`, from text: `recipe.set("epochs=100", "flip=false")`."""
        changes = {}
        for assignment in assignments:
            key, _, text = assignment.partition("=")
            kind = RULES.get(key, (str,))[0]
            try:
                changes[key] = WORDS[text.lower()] if kind is bool else kind(text)
            except (KeyError, ValueError):
                changes[key] = text  # which `but` refuses, and says what it needs
        return self.but(**changes)

    def as_dict(self):
        """Field -> value."""
        return asdict(self)


def _rules():
    """Field -> its type, its rule in words, and whether a value keeps it; in a recipe's order."""
    hints = get_type_hints(Recipe, include_extras=True)
    for key in (f.name for f in fields(Recipe)[2:]):
        rule = hints[key]
        if not hasattr(rule, "__metadata__"):  # or None
            rule = get_args(rule)[0]
        yield key, (rule.__origin__, *rule.__metadata__)


def _is_a(value, kind, holds, optional):
    if value is None:
        return optional
    if isinstance(value, bool) != (kind is bool):
        return False
    return isinstance(value, (int, float) if kind is float else kind) and holds(value)


RULES = dict(_rules())


def recipe(name):
    """One of `RECIPES`; a `Recipe` is given back as it is.

    Raises:
        ValueError: There is none of that name.
    """
    if isinstance(name, Recipe):
        return name
    if name not in RECIPES:
        hint = f"{did_you_mean(name, RECIPES)} There are {', '.join(RECIPES)}.".lstrip()
        raise ValueError(f"There is no recipe {name!r}. {hint}")
    return RECIPES[name]


# The paper's table 4, with what the text of section 3 and big_vision's configuration add: the
# sigmoid loss, where the head's biases start, and the weight decay, which that code writes as
# 1e-4 = 0.1 x 0.001 because it does not multiply it by the learning rate.
MIXER = Recipe(
    name="mixer_imagenet1k",
    source="Tolstikhin et al. 2021, table 4, B and L on ImageNet; "
    "big_vision/configs/mlp_mixer_i1k.py, which reports 76.3 % for B/16",
    batch_size=4096,
    epochs=300,
    rand_augment_layers=2,
    rand_augment_magnitude=15.0,
    mixup=0.5,
    drop_path_rate=0.1,
    loss="sigmoid",
    head_bias=-6.9,
    learning_rate=1e-3,
    schedule="linear",
    warmup=10_000,
    weight_decay=0.1,
    precision="mixed_bfloat16",
)
RECIPES = {
    recipe.name: recipe
    for recipe in (
        MIXER,
        MIXER.but(
            name="mixer_b_imagenet21k",
            source="Tolstikhin et al. 2021, table 4, B on ImageNet-21k",
            rand_augment_magnitude=10.0,
            mixup=0.2,
        ),
        MIXER.but(
            name="mixer_l_imagenet21k",
            source="Tolstikhin et al. 2021, table 4, L on ImageNet-21k",
            rand_augment_magnitude=20.0,
        ),
        # The number of steps goes with the task, see keras_mixer.data.TASKS.
        Recipe(
            name="fine_tuning",
            source="Tolstikhin et al. 2021, section 3 and appendix C; vit_jax/configs/common.py",
            batch_size=512,
            steps=10_000,
            evaluation_crop="resize",
            optimizer="sgd",
            learning_rate=0.03,
            warmup=500,
        ),
        # Made for a Mixer of a million parameters and a few hours on two cores, with CIFAR-10 in
        # mind. RandAugment begins late: augmentation that grows while a model learns, as that of
        # EfficientNetV2 does (Tan and Le 2021, section 4). How it went with AdamW and less of it is
        # in benchmarks/results/cifar10_adamw.csv.
        Recipe(
            name="small_images",
            source="our own; what it does is in benchmarks/results/cifar10.csv",
            image_size=32,
            batch_size=128,
            epochs=75,
            crop="shift",
            rand_augment_layers=2,
            rand_augment_magnitude=6.0,
            rand_augment_from=0.4,
            mixup=0.2,
            cutmix=0.5,
            evaluation_crop="resize",
            drop_path_rate=0.05,
            label_smoothing=0.05,
            optimizer="muon",
            momentum=0.95,
            learning_rate=2e-3,
            warmup=0.03,
            weight_decay=0.1,
            beta_2=0.99,
        ),
    )
}
