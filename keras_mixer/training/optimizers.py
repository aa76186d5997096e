"""Optimizer, schedule, loss and metrics of a recipe, from Keras's own."""

import math
import re

import keras
from keras import ops

from keras_mixer._keras import AveragesUpdates, ClipsTheSum
from keras_mixer.training.heads import head

ADAM_EPSILON = 1e-8  # Optax's, with which the paper's models were trained; Keras's is 1e-7.
LINEAR_END = 1e-5  # the end of big_vision's linear decay, as a share of the peak


@keras.saving.register_keras_serializable("keras_mixer")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate of each step: a linear warm-up, then a decay.

    Args:
        peak: Learning rate after the warm-up.
        updates: Number of updates of the weights, the warm-up included.
        warmup: Number of updates over which the rate rises from 0.
        decay: `"linear"`, `"cosine"` or `"constant"`.
        accumulate: Calls of the optimizer per update.

    Source: `create_learning_rate_schedule` in big_vision/utils.py.
    """

    def __init__(self, peak, updates, warmup=0, decay="cosine", accumulate=1):
        super().__init__()
        self.peak = peak
        self.updates = updates
        self.warmup = warmup
        self.decay = decay
        self.accumulate = accumulate

    def __call__(self, step):
        step = ops.floor(ops.cast(step, "float32") / self.accumulate)
        after = (step - self.warmup) / max(1, self.updates - self.warmup)
        after = ops.clip(after, 0.0, 1.0)
        if self.decay == "linear":
            factor = LINEAR_END + (1 - LINEAR_END) * (1 - after)
        elif self.decay == "cosine":
            factor = 0.5 * (1 + ops.cos(math.pi * after))
        else:
            factor = 1.0
        if self.warmup:
            factor *= ops.minimum(1.0, step / self.warmup)
        return self.peak * factor

    def get_config(self):
        names = ("peak", "updates", "warmup", "decay", "accumulate")
        return {name: getattr(self, name) for name in names}


def schedule(recipe, updates):
    """The learning-rate schedule of a recipe, for a number of updates.

    Raises:
        ValueError: The warm-up is not shorter than the training.
    """
    warmup = recipe.warmup if recipe.warmup >= 1 else recipe.warmup * updates
    if recipe.warmup >= max(1, updates):
        raise ValueError(
            f"Recipe {recipe.name!r} needs a warmup shorter than its {updates:,} updates; got "
            f"{warmup:g}."
        )
    return Schedule(
        recipe.learning_rate, updates, round(warmup), recipe.schedule, recipe.accumulate
    )


def optimizer(recipe, schedule, model):
    """The optimizer of a recipe.

    Args:
        recipe: A `Recipe`.
        schedule: From `schedule`.
        model: The model to be trained. Weight decay is for kernels only, as in
            big_vision/configs/mlp_mixer_i1k.py.
    """
    betas = {"beta_1": recipe.beta_1, "beta_2": recipe.beta_2, "epsilon": ADAM_EPSILON}
    kind, arguments = {
        "adamw": (keras.optimizers.Adam, betas),  # Keras's AdamW is its Adam with weight decay
        "lamb": (keras.optimizers.Lamb, betas),
        "sgd": (keras.optimizers.SGD, {"momentum": recipe.momentum}),
        "muon": (keras.optimizers.Muon, _muon(recipe, model)),
    }[recipe.optimizer]
    ours = (ClipsTheSum,) if keras.backend.backend() == "tensorflow" else ()
    ours += (AveragesUpdates,) if recipe.ema else ()
    kind = type(kind.__name__, (*ours, kind), {})
    made = kind(
        schedule,
        weight_decay=recipe.weight_decay or None,
        global_clipnorm=recipe.clip_norm or None,
        use_ema=recipe.ema > 0,
        ema_momentum=recipe.ema,
        gradient_accumulation_steps=recipe.accumulate if recipe.accumulate > 1 else None,
        **arguments,
    )
    made.exclude_from_weight_decay([v for v in model.trainable_variables if v.name != "kernel"])
    made.build(model.trainable_variables)
    return made


def _muon(recipe, model):
    """Arguments for Muon on kernels that are matrices, except the head's; AdamW for the rest."""
    return {
        "momentum": recipe.momentum,
        "adam_beta_1": recipe.beta_1,
        "adam_beta_2": recipe.beta_2,
        "adam_weight_decay": recipe.weight_decay or None,
        "epsilon": ADAM_EPSILON,
        "exclude_layers": [f"(^|/){re.escape(head(model).name)}/"],
    }


def loss(recipe):
    """The loss of a recipe: class probabilities [B, classes] and logits -> a number."""
    if recipe.loss == "softmax":
        return keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=recipe.label_smoothing
        )

    def sigmoid_cross_entropy(labels, logits):
        """Summed over the classes, as in `sigmoid_xent` of big_vision/utils.py."""
        classes = labels.shape[-1]
        labels = labels * (1 - recipe.label_smoothing) + recipe.label_smoothing / classes
        return ops.sum(ops.binary_crossentropy(labels, logits, from_logits=True), axis=-1)

    return sigmoid_cross_entropy


@keras.saving.register_keras_serializable("keras_mixer")
class Images(keras.metrics.Metric):
    """Counts the images whose weight is not zero."""

    def __init__(self, name="images", **kwargs):
        super().__init__(name=name, **kwargs)
        self.total = self.add_variable((), "zeros", dtype="int32", name="total")

    def update_state(self, labels, logits, sample_weight=None):
        if sample_weight is None:
            sample_weight = ops.ones(ops.shape(labels)[:1])
        self.total.assign_add(ops.cast(ops.count_nonzero(sample_weight), "int32"))

    def result(self):
        return ops.convert_to_tensor(self.total)


def metrics(classes):
    """The metrics: top-1, top-5 if there are more than 5 classes, and the number of images."""
    counted = [keras.metrics.CategoricalAccuracy(name="accuracy"), Images()]
    if classes > 5:
        counted.insert(1, keras.metrics.TopKCategoricalAccuracy(5, name="top_5"))
    return counted
