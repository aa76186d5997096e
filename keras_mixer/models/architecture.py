"""What a paper is to the rest of the house: an architecture, and builders of its variants."""

import csv
import inspect
import os
import re
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np

from keras_mixer._keras import in_stateless_scope
from keras_mixer._memory import machine_memory
from keras_mixer._runs import model_file
from keras_mixer._text import did_you_mean, listed
from keras_mixer.images import Preprocessing
from keras_mixer.layers import ImagePreprocessing
from keras_mixer.models._arguments import (
    activation,
    check_stages,
    checked,
    image_shape,
    model_name,
    or_none,
)
from keras_mixer.models._arguments import include_top as check_include_top
from keras_mixer.weights import (
    Checkpoint,
    Release,
    Shipped,
    assign,
    fetch,
    is_file,
    register_layouts,
)
from keras_mixer.weights.layouts import Layout
from keras_mixer.weights.names import named_weights

POOLINGS = {
    "avg": keras.layers.GlobalAveragePooling2D,
    "max": keras.layers.GlobalMaxPooling2D,
}
# What `python -m tests.counted` counts in each variant's graph.
COUNTED = Path(__file__).with_name("counted.csv")
with COUNTED.open(newline="", encoding="utf-8") as _file:
    _ROWS = {row["model"]: row for row in csv.DictReader(_file)}
# Name -> `Architecture`, in the order of their definition.
ARCHITECTURES: dict[str, "Architecture"] = {}


class Architecture:
    """A paper's architecture: what all of its variants share.

    Args:
        body: A function from a symbolic image `[B, H, W, C_in]` to a feature map `[B, h, w, C]`,
            made by a layer called `map`. Its keywords without a default are its sizes; the others
            are options of every builder. The second paragraph and the `Args:` of its docstring go
            into the builders'.
        paper: The docstring of the paper's module. Its first two paragraphs, the paper's title and
            its authors, venue and link, go into the builders' docstrings.
        layouts: How other code bases name and lay out the weights, the official one first.
        preprocessing: What images a model takes where no weights say it.
        head_initializer: Of the classifier head's kernel, a Keras initializer or its name.
        parameters: A function from the shape of an image, `(height, width, channels)`, and the
            sizes to the number of parameters of the kernels, which are nearly all. A model that
            this machine cannot hold is refused by it before it is built.
        imagenet: What `weights="imagenet"` means: names of releases for the 1,000 classes of
            ImageNet, of which a builder takes the first that it has.
        input_shape: Of an image, when nothing else is said.
        padded_stem: Whether the stem is a convolution that pads images.
        top1: Name of a variant -> its top-1 accuracy on ImageNet-1k in percent, as published, for
            images of its input shape. A pair names, after the accuracy, the other images that it
            was trained with.

    Attributes:
        name: The body's name. A model carries it, and a saved model remembers it.
        variants: Name -> builder, in the order of the paper's table.
    """

    def __init__(
        self,
        body: Callable,
        *,
        paper: str,
        layouts: Sequence[Layout],
        preprocessing: Preprocessing,
        parameters: Callable[..., int],
        head_initializer: str | keras.Initializer = "zeros",
        imagenet: Sequence[str] = ("imagenet1k",),
        input_shape: tuple[int, ...] = (224, 224, 3),
        padded_stem: bool = False,
        top1: Mapping[str, float | tuple[float, str]] | None = None,
    ):
        self.name = body.__name__
        self.body = body
        self.paper = paper
        self.layouts = layouts
        self.preprocessing = preprocessing
        self.head_initializer = head_initializer
        self.parameters = parameters
        self.imagenet = imagenet
        self.input_shape = input_shape
        self.padded_stem = padded_stem
        self.top1 = top1 or {}
        self.variants = {}
        _, *keywords = inspect.signature(body).parameters.values()
        self.sizes = [p for p in keywords if p.default is p.empty]
        self.options = [p for p in keywords if p.default is not p.empty]
        ARCHITECTURES[self.name] = self
        register_layouts(self.name, layouts)

    def variant(
        self,
        name: str,
        *sizes: Any,
        params: int | None = None,
        releases: Mapping[str, Release | Shipped] | None = None,
        input_shape: tuple[int, ...] | None = None,
    ) -> Callable[..., keras.Model]:
        """A model builder called `name`, made from one row of the paper's table.

        The builder's signature is `assemble`'s, plus every option of the body, plus, without
        `sizes`, the body's sizes. So each builder accepts only the arguments that its architecture
        uses; a call that does not fit is a `TypeError`.

        Args:
            name: The builder's public name, such as `"MixerB16"`.
            *sizes: The row: values for the sizes, in the order of the body. Without them the
                builder asks for the sizes.
            params: The exact number of parameters at the default input shape and number of classes.
            releases: The released weights: name -> `keras_mixer.weights.Release`, or `Shipped`.
            input_shape: Of an image, where it is not the architecture's.

        Returns:
            A function that returns a `keras.Model`. Its attribute `sizes` is the row as a dict;
            `params`, `releases` and `input_shape` are the arguments of this method, `top1` is the
            accuracy of that name, and `architecture` is this object. `macs` are the multiply-
            accumulate operations for an image of the input shape, and `image_sizes` says for which
            square images `keras_mixer.resize` makes a model with the same weights: those of one
            side (`"224"`), of its multiples (`"224 k"`) or of any side (`"any"`).
        """
        row = dict(zip([p.name for p in self.sizes], sizes, strict=True)) if sizes else {}
        asked = [] if row else self.sizes
        _, _, include_top, *shared = inspect.signature(assemble).parameters.values()
        shared = [p.replace(default=_snake_case(name)) if p.name == "name" else p for p in shared]
        signature = inspect.Signature(
            [include_top, *asked, *shared, *self.options], return_annotation=keras.Model
        )
        of_body = [p.name for p in [*asked, *self.options]]

        def builder(*args, **kwargs):
            try:
                call = signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{name}() {error}.{_advice(kwargs, signature)}") from None
            call.apply_defaults()
            arguments = row | call.arguments
            chosen = {key: arguments.pop(key) for key in [*row, *of_body]}
            return assemble(builder, chosen, **arguments)

        builder.__name__ = builder.__qualname__ = name
        builder.__module__ = self.body.__module__
        builder.__signature__ = signature
        builder.architecture = self
        builder.sizes = row
        builder.params = params
        builder.releases = releases or {}
        builder.input_shape = input_shape or self.input_shape
        builder.top1 = self.top1.get(name)
        builder.macs = int(_ROWS[name]["macs"]) if name in _ROWS else None
        builder.image_sizes = _ROWS[name]["image_sizes"] if name in _ROWS else None
        builder.__doc__ = _docstring(builder)
        self.variants[name] = builder
        return builder


def assemble(
    builder,
    options,
    include_top: bool = True,
    *,
    include_preprocessing: bool | tuple = False,
    preprocessing: Preprocessing | None = None,
    weights: str | os.PathLike | None = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Sequence[int] | None = None,
    pooling: Literal["avg", "max"] | None = None,
    classes: int | None = None,
    classifier_activation: str | Callable | None = "softmax",
    name: str | None = None,
) -> keras.Model:
    """A functional model: image -> body -> mean -> dense, or without the last two.

    Args:
        include_top: Whether to end in a classifier: the mean over the feature map, then one dense
            layer, `head`, which computes in float32 also under `mixed_bfloat16`.
        include_preprocessing: Whether the model takes pixels from 0 to 255 and normalises them
            itself: `True` as its weights want it, or a pair `(mean, std)` of the pixels over 255.
        preprocessing: What images the model takes, and how a picture is cut to its size, a
            `keras_mixer.Preprocessing`. By default what the `weights` were trained for, or, where
            nobody says, what the paper takes. The model carries it, see
            `keras_mixer.preprocessing`.
        weights: `None` for random initialisation; the name of released weights, which come with
            the package or are downloaded once; `"imagenet"` for those of them with the 1,000
            classes of ImageNet that are most usual, which a line on standard error names; a
            checkpoint file, see `keras_mixer.load_weights`; or the folder of a run of training,
            for its best model's. Their head is left out, with a warning, where it tells other
            `classes` apart. A `.weights.h5` stores neither options nor preprocessing: if the saved
            model had others than the defaults, give them again.
        input_tensor: Optional Keras tensor `[B, H, W, C_in]` to build on, instead of a new input.
        input_shape: `(height, width, channels)` of an image, channels last; `(224, 224, 3)` when
            neither this nor `input_tensor` is given. With one channel, `weights` for three are
            summed in the stem, with a warning, so that grey images get the same scores.
        pooling: What `include_top=False` returns: `None` for the feature map `[B, h, w, C]`,
            `"avg"` or `"max"` for its mean or maximum `[B, C]`.
        classes: Number of classes, with `include_top=True`. `None` for as many as the head in
            `weights` has; 1,000 without weights.
        classifier_activation: Activation of the head: `"softmax"` for probabilities, `None` for
            logits.
        name: Name of the model.
    """
    who = builder.__name__
    architecture = builder.architecture
    by_hint = [builder.__signature__.parameters[name] for name in ("pooling", "classes")]
    arguments = checked(
        who,
        options
        | {
            "include_top": include_top,
            "pooling": pooling,
            "classes": classes,
            "classifier_activation": classifier_activation,
            "name": name,
        },
        [*by_hint, *architecture.sizes, *architecture.options],
        include_top=("True or False", check_include_top),
        classifier_activation=("None, the name of a Keras activation or a function", activation),
        name=or_none("a string without '/', not empty", model_name),
    )
    include_top, classes = arguments["include_top"], arguments["classes"]
    options = {key: arguments[key] for key in options}
    check_stages(who, {p.name: arguments[p.name] for p in architecture.sizes})
    image = _image(input_tensor, input_shape, builder)
    _check_memory(builder, image.shape, {p.name: arguments[p.name] for p in architecture.sizes})
    weights = named_release(builder, weights)
    checkpoint = (
        None if weights is None else Checkpoint(_file(weights, builder), architecture.layouts)
    )
    if checkpoint:
        if weights in builder.releases:
            checkpoint.image_size = tuple(builder.input_shape[:2])
        classes = classes or checkpoint.classes
        trained = {key: value for key, value in checkpoint.settings.items() if key in options}
        options = trained | {k: v for k, v in options.items() if v is not None or k not in trained}

    given = preprocessing
    if preprocessing is None:
        preprocessing = _preprocessing_of(weights, checkpoint, builder) if checkpoint else None
    preprocessing = preprocessing or architecture.preprocessing
    preprocessing, rescale = _included(preprocessing, include_preprocessing, builder)
    if checkpoint:
        preprocessing = _for_channels(image.shape[-1], preprocessing, checkpoint, builder)
    elif given is None and image.shape[-1] == 1:
        preprocessing = preprocessing.grey()
    x = _first_layer(preprocessing, rescale, image.shape[-1], builder)(image)
    x = architecture.body(x, **options)
    if include_top:
        x = POOLINGS["avg"](data_format="channels_last", name="pool")(x)
        x = keras.layers.Dense(
            classes or 1000,
            activation=classifier_activation,
            kernel_initializer=architecture.head_initializer,
            dtype=keras.config.dtype_policy().variable_dtype,
            name="head",
        )(x)
    elif pooling:
        x = POOLINGS[pooling](data_format="channels_last", name="pool")(x)

    inputs = keras.utils.get_source_inputs(image)
    model = keras.Model(inputs[0] if len(inputs) == 1 else inputs, x, name=name)
    if checkpoint:
        fits = include_top and checkpoint.classes == model.output_shape[-1]
        without = _layers_before(image, checkpoint) | (set() if fits else {"head"})
        assign(model, checkpoint, who, without=without)
        if include_top and not fits:
            theirs = checkpoint.classes
            has = f"a head for {theirs:,} classes" if theirs else "no head"
            warnings.warn(
                f"{who}: {checkpoint} has {has}, so the head for {model.output_shape[-1]:,} is "
                "new and untrained; all else is loaded.",
                stacklevel=3,
            )
    return model


def _file(weights, builder):
    """The checkpoint file that `weights` means, downloaded if need be."""
    if not isinstance(weights, str | os.PathLike):
        raise ValueError(
            f"{builder.__name__} needs weights to be None, a name or a path; got {weights!r}."
        )
    if is_file(weights):
        return model_file(weights)  # of a run's folder its best model
    if weights in builder.releases:
        return fetch(builder.releases[weights])
    if Path(weights).is_dir():
        return model_file(weights)
    who, releases = builder.__name__, builder.releases
    known = f"was released as {listed(releases)}" if releases else "was never released"
    variants = builder.architecture.variants.values()
    others = [
        other.__name__ for other in variants if release_name(other, weights) in other.releases
    ]
    there = f" {weights!r} exists for {listed(others)}." if others else ""
    meant = did_you_mean(weights, releases) if not others else ""
    raise ValueError(
        f"{who} {known}; got weights={weights!r}.{there}{f' {meant}' if meant else ''} A "
        "checkpoint file is given by its path."
    )


def release_name(builder: Callable, weights: Any) -> Any:
    """The name of the release that `"imagenet"` means for a builder; other weights as they are."""
    if not isinstance(weights, str) or weights != "imagenet":
        return weights
    return next(
        (name for name in builder.architecture.imagenet if name in builder.releases), weights
    )


def named_release(builder: Callable, weights: Any) -> Any:
    """As `release_name`, and says on standard error which release was chosen."""
    name = release_name(builder, weights)
    if name is not weights:
        print(f"{builder.__name__}: weights 'imagenet' are {name!r}.", file=sys.stderr)
    return name


def _layers_before(image, checkpoint):
    """Layers before the model, by their paths, that have weights and are not in a checkpoint."""
    inputs = keras.utils.get_source_inputs(image)
    if any(image is each for each in inputs):
        return set()
    front = keras.Model(inputs, image)
    paths = {name.rpartition("/")[0] for name, _ in named_weights(front)}
    return {path for path in paths if checkpoint.find(f"{path}/weight", 0)[1] is None}


def _preprocessing_of(weights, checkpoint, builder):
    """The `Preprocessing` that goes with weights, or None where nobody says it."""
    if weights in builder.releases:
        return builder.releases[weights].preprocessing
    return checkpoint.preprocessing


def _included(preprocessing, include_preprocessing, builder):
    """The `Preprocessing`, and whether the model normalises pixels itself."""
    who = builder.__name__
    if not isinstance(preprocessing, Preprocessing):
        raise ValueError(
            f"{who} needs preprocessing to be None or a keras_mixer.Preprocessing; got "
            f"{preprocessing!r}."
        )
    if isinstance(include_preprocessing, bool | np.bool_):
        return preprocessing, bool(include_preprocessing)
    try:
        mean, std = include_preprocessing
        return replace(preprocessing, mean=mean, std=std), True
    except (TypeError, ValueError):
        raise ValueError(
            f"{who} needs include_preprocessing to be False, True or a pair (mean, std); got "
            f"{include_preprocessing!r}."
        ) from None


def _for_channels(channels, preprocessing, checkpoint, builder):
    """The `Preprocessing` for a model of some channels, to which a checkpoint is adapted."""
    who, theirs = builder.__name__, checkpoint.channels
    if theirs in (channels, None):
        return preprocessing
    if (channels, theirs) != (1, 3):
        raise ValueError(
            f"{who}: {checkpoint} is for images of {theirs} channels, and the model takes "
            f"{channels}. Weights for 3 channels also go into a model of 1. For another number, "
            f"build on a layer that makes {theirs} channels: input_tensor="
            f"keras.layers.Conv2D({theirs}, 1)(keras.Input((height, width, {channels})))."
        )
    counts = {np.size(value) for value in (preprocessing.mean, preprocessing.std)}
    if counts - {1, theirs}:
        return preprocessing  # an error of the first layer's
    grey = preprocessing.grey()
    checkpoint.sum_channels(preprocessing, grey)
    scores = "the scores that it had with three equal channels"
    if builder.architecture.padded_stem and np.size(preprocessing.mean) > 1:
        scores = f"nearly {scores}: around an image the stem adds the mean, here of all channels"
    warnings.warn(
        f"{who}: {checkpoint} is for images in colour. The stem's three channels are summed, so a "
        f"grey image gets {scores}. Images are normalised by mean {grey.mean:.4g} and deviation "
        f"{grey.std:.4g}.",
        stacklevel=4,
    )
    return grey


def _first_layer(preprocessing, rescale, channels, builder):
    """The layer that says what images a model takes, and normalises them if it is to."""
    who = builder.__name__
    for values in (preprocessing.mean, preprocessing.std):
        if isinstance(values, tuple) and len(values) != channels:
            raise ValueError(
                f"{who} needs preprocessing for images whose number of channels is {channels}; "
                f"got mean {preprocessing.mean} and std {preprocessing.std}. Pass "
                "preprocessing=keras_mixer.Preprocessing(mean, std) with numbers, or with one for "
                "each channel."
            )
    return ImagePreprocessing(
        **preprocessing.as_dict(),
        rescale=rescale,
        architecture=builder.architecture.name,
        name="preprocessing",
    )


def _image(input_tensor, input_shape, builder):
    who = builder.__name__
    if input_tensor is None:
        shape = builder.input_shape if input_shape is None else input_shape
        # In float32 whatever `floatx` is, as the first layer computes: pixels are not rounded.
        return keras.Input(image_shape(shape, who), dtype="float32", name="image")
    if not keras.utils.is_keras_tensor(input_tensor):
        raise ValueError(
            f"{who} needs input_tensor to be a Keras tensor, the output of keras.Input or of a "
            f"layer; got {type(input_tensor).__name__}. To run the model on data, build it first "
            "and call it."
        )
    shape = tuple(input_tensor.shape[1:])
    if len(shape) != 3 or None in shape:
        raise ValueError(
            f"{who} mixes a fixed number of tokens, so it needs input_tensor to be images [batch, "
            f"height, width, channels] of a fixed size; got shape {tuple(input_tensor.shape)}."
        )
    if input_shape is not None and image_shape(input_shape, who) != shape:
        raise ValueError(
            f"{who} was given an input_tensor of shape {shape} and input_shape="
            f"{tuple(input_shape)}; leave input_shape out."
        )
    return input_tensor


def _check_memory(builder, image, sizes):
    """Raises ValueError for a model whose parameters alone are more than this machine's memory."""
    height, width, _ = image = tuple(image[1:])
    count = builder.architecture.parameters(image, **sizes)
    there = None if in_stateless_scope() else machine_memory()  # `preflight` takes no memory
    if there and 4 * count > there:
        raise ValueError(
            f"{builder.__name__} would have about {count:.2g} parameters for {height} x {width} "
            f"pixels: {4 * count / 2**30:,.0f} GiB in float32, and this machine has "
            f"{there / 2**30:,.0f} GiB. Take smaller images or fewer, narrower blocks."
        )


def _snake_case(name):
    """`MixerB16` -> `mixer_b16`, the style of `keras.applications`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _advice(kwargs, signature):
    known = list(signature.parameters)
    unknown = [key for key in kwargs if key not in known]
    if not unknown:
        return ""
    return f" {did_you_mean(unknown[0], known) or f'It takes {listed(known)}.'}"


DOCSTRING = """\
{name}, from "{title}".

{row}{description}

Args:
{arguments}

Returns:
    A functional `keras.Model`: images `[B, H, W, C_in]` -> scores `[B, classes]`. With
    `include_top=False`: -> the feature map `[B, h, w, C]`, or its pooling `[B, C]`.

Raises:
    TypeError: An argument that it does not take.
    ValueError, FileNotFoundError: A value that it cannot build from, such as an image size that
        the patches do not divide, or weights that do not fit; the message says what would do.
    OSError: Released weights that cannot be fetched or kept.

Warns:
    UserWarning: The head of the weights was left out for another number of classes, or their three
        channels were summed for grey images.

Source: {source}
"""


def _docstring(builder):
    """A builder's docstring, composed as its signature is; None under `python -OO`."""
    architecture = builder.architecture
    if architecture.paper is None:
        return None
    title, source, *_ = architecture.paper.split("\n\n")
    _, description, *_ = inspect.getdoc(architecture.body).split("\n\n")
    docs = _argument_docs(assemble) | _argument_docs(architecture.body)
    docs["input_shape"] = docs["input_shape"].replace("(224, 224, 3)", str(builder.input_shape))
    row = ""
    if builder.sizes:
        sizes = ", ".join(f"{key} {value}" for key, value in builder.sizes.items())
        at = " x ".join(map(str, builder.input_shape))
        row = f"Sizes: {sizes}.\nParameters: {builder.params:,} at {at} and 1,000 classes.\n"
        row += f"Released weights: {', '.join(builder.releases) or 'none'}.\n\n"
    return DOCSTRING.format(
        name=builder.__name__,
        title=title.removesuffix("."),
        row=row,
        description=description,
        arguments="\n".join(docs[key] for key in builder.__signature__.parameters),
        source=source,
    )


def _argument_docs(function):
    """The entries of a docstring's `Args:` section, by argument."""
    section = re.search(r"^Args:\n((?:    .*\n?|\n)*)", inspect.getdoc(function), re.M)[1]
    entries = re.split(r"^(?=    \w+:)", section, flags=re.M)
    return {entry.split(":")[0].strip(): entry.rstrip() for entry in entries if entry.strip()}
