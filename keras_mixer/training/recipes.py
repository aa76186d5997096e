"""Recipes: how to train, as data. The table is at the end of this file, with sources."""

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Annotated, Any, get_args, get_type_hints

from keras_mixer._text import WORDS, did_you_mean
from keras_mixer.data.decoding import TRAINING
from keras_mixer.data.tasks import find_task
from keras_mixer.images import CROPS


def _one_of(*choices):
    return Annotated[str, f"one of {', '.join(choices)}", lambda value: value in choices]


Count = Annotated[int, "a whole number of at least 1", lambda value: value >= 1]
Layers = Annotated[int, "a whole number of at least 0", lambda value: value >= 0]
Positive = Annotated[float, "a number above 0", lambda value: 0 < value < math.inf]
Strength = Annotated[float, "a number of at least 0", lambda value: 0 <= value < math.inf]
Share = Annotated[float, "a number from 0 to 1", lambda value: 0 <= value <= 1]
Rate = Annotated[float, "a number from 0 to below 1", lambda value: 0 <= value < 1]
Finite = Annotated[float, "a finite number", math.isfinite]
Switch = Annotated[bool, "true or false", lambda value: True]


OPTIONAL = ("image_size", "epochs", "steps")  # may be None


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train, without the model and the data.

    Attributes:
        name: Name of the recipe.
        source: Publication or code that it comes from, with the table or file.
        image_size: Side of the images in pixels; None for that of the model.
        batch_size: Images per update of the weights, over all replicas.
        epochs, steps: Length of the training: passes over the training images, or updates. Exactly
            one of the two is given.
        crop: Of training images: `"inception"`, `"shift"` or `"resize"`, see
            `keras_mixer.data.training_image`.
        flip: Whether half of the training images are mirrored.
        rand_augment_layers, rand_augment_magnitude: See `keras_mixer.data.rand_augment`; 0 layers
            for none.
        rand_augment_from: Share of the training after which RandAugment begins.
        mixup: Alpha of MixUp's beta distribution; 0 for none.
        cutmix: Alpha of CutMix, up to 1; 0 for none. With both, each batch uses one of them.
        random_erasing: Share of the training images in which a part is erased.
        evaluation_crop: `"resize"`, `"resize_crop"` or `"resmall_crop"`, see
            `keras_mixer.Preprocessing`. The trained model carries it.
        drop_path_rate: Drop rate of stochastic depth in the last block.
        loss: `"softmax"` cross-entropy, or `"sigmoid"`: binary cross-entropy, summed over classes.
        head_bias: Initial biases of a new head. With a sigmoid loss and 1,000 classes, -6.9 is the
            logit of a probability of 1/1000.
        label_smoothing: Share of a label that is spread evenly over all classes.
        optimizer: `"adamw"`, `"lamb"`, `"sgd"` with momentum, or `"muon"` (Jordan et al. 2024, with
            updates of AdamW's size: Liu et al. 2025). Muon is for kernels that are matrices, except
            the head's; the other weights are updated by AdamW.
        learning_rate: Peak learning rate.
        schedule: `"linear"` or `"cosine"` decay after the warm-up, or `"constant"`.
        warmup: Steps of linear warm-up; a number below 1 is a share of all steps.
        weight_decay: Decay of the kernels. Each step subtracts this times the learning rate times
            the kernel.
        momentum: Momentum of SGD and Muon.
        beta_1, beta_2: Betas of AdamW and LAMB.
        clip_norm: Maximum global norm of the gradients; 0 for no limit.
        ema: Decay of the moving average of the weights; 0 for none. The averages are what is
            evaluated and saved.
        accumulate: Number of parts into which a batch is split to save memory. Gradients are
            accumulated over the parts.
        precision: `"float32"`, or `"mixed_bfloat16"`: activations in bfloat16.

    Raises:
        ValueError: Values are out of range; the message lists all of them.
    """

    name: str
    source: str
    image_size: Count | None = None
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
            if not _is_a(getattr(self, key), kind, holds, optional=key in OPTIONAL)
        ]
        if (self.epochs is None) == (self.steps is None):
            wrong += [f"either epochs or steps must be given, not {self.epochs} and {self.steps}"]
        if not wrong and self.steps and 1 <= self.warmup >= self.steps:
            wrong += [f"warmup must be shorter than its {self.steps} steps, not {self.warmup:g}"]
        if not wrong and self.batch_size % self.accumulate:
            wrong += [f"batch_size must be a multiple of accumulate, not {self.batch_size}"]
        if wrong:
            raise ValueError(f"Recipe {self.name!r} cannot be used: {'; '.join(wrong)}.")

    def but(self, **changes) -> "Recipe":
        """A copy with other values: `recipe.but(epochs=100)`. `epochs` replaces `steps`.

        Raises:
            ValueError: A field does not exist, or a value is out of range.
        """
        known = [f.name for f in fields(self)]
        unknown = [key for key in changes if key not in known]
        if unknown:
            hint = did_you_mean(unknown[0], known) or f"It has {', '.join(known)}."
            raise ValueError(f"A recipe has no {unknown[0]!r}. {hint}")
        if {"epochs", "steps"} & changes.keys():
            changes = {"epochs": None, "steps": None} | changes
        return replace(self, **changes)

    def for_task(self, name: str) -> "Recipe":
        """A copy for a task of `keras_mixer.data.TASKS`: its steps, and crops that keep labels."""
        row = find_task(name)
        return self.but(
            steps=row.steps,
            warmup=row.warmup,
            flip=self.flip and row.flip,
            crop=self.crop if row.crop else "resize",
        )

    def set(self, *assignments: str) -> "Recipe":
        """As `but`, from text: `recipe.set("epochs=100", "flip=false")`."""
        changes = {}
        for assignment in assignments:
            key, _, text = assignment.partition("=")
            kind = RULES.get(key, (str,))[0]
            word = text.lower()
            if key in OPTIONAL and word == "none":
                changes[key] = None
                continue
            try:
                changes[key] = WORDS[word] if kind is bool else kind(text)
            except (KeyError, ValueError):
                changes[key] = text  # `but` raises an error that says what is needed
        return self.but(**changes)

    def as_dict(self) -> dict[str, Any]:
        """Field -> value."""
        return asdict(self)


def _rules():
    """Field -> its type, its rule in words, and a function that checks a value."""
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


def recipe(name: "str | Recipe") -> Recipe:
    """One of `RECIPES` by name; a `Recipe` is returned as it is.

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
    image_size=224,
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
        # For a Mixer of a million parameters on CIFAR-10, and a few hours on two CPU cores.
        # RandAugment begins late, like the progressive augmentation of EfficientNetV2 (Tan and Le
        # 2021, section 4). Results with AdamW and less augmentation are in
        # benchmarks/results/cifar10_adamw.csv.
        Recipe(
            name="small_images",
            source="our own; results are in benchmarks/results/cifar10.csv",
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
