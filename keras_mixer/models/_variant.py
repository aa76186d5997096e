"""The callable row of a paper's table: a builder with the habits of `keras.applications`."""

import inspect
import os
import re
import sys
import warnings
from dataclasses import replace
from difflib import get_close_matches
from numbers import Integral  # NumPy's whole numbers too: classes=labels.max() + 1

import keras

from keras_mixer._text import listed
from keras_mixer.images import Preprocessing
from keras_mixer.layers import ImagePreprocessing
from keras_mixer.weights import Checkpoint, assign, fetch, is_file

POOLINGS = {
    "avg": keras.layers.GlobalAveragePooling2D,
    "max": keras.layers.GlobalMaxPooling2D,
}


def variant(name, body, *sizes, params=None, weights=None, input_shape=(224, 224, 3)):
    """A model builder called `name`, made from a paper's architecture and one row of its table.

    The builder's signature is `assemble`'s, plus every keyword of `body` that the row leaves open.
    It is composed from those two, so that no paper repeats the shared arguments and no builder
    takes an argument that nobody reads; a call that does not fit it is a `TypeError`.

    Args:
        name: The builder's public name, such as `"MixerB16"`.
        body: The architecture: a function from a symbolic image `[B, H, W, C_in]` to a feature map
            `[B, h, w, C]`. Its keywords without a default are its sizes. The second paragraph and
            the `Args:` of its docstring go into the builder's; so do the title and the source of
            the paper, the first two paragraphs of its module's docstring. That module's `LAYOUTS`
            says how other people's checkpoints name its weights, and its `PREPROCESSING` what
            images a model takes where no release says it.
        *sizes: The row: values for the sizes, in the order of `body`. None makes a builder that
            asks for them.
        params: The exact number of parameters at the default input shape and number of classes.
        weights: The released weights: name -> `keras_mixer.weights.Release`, or `Shipped`.
        input_shape: Of an image, when nothing else is said.

    Returns:
        A function that returns a `keras.Model`. Its attribute `sizes` is the row as a dict;
        `params`, `weights` and `input_shape` are what is given here.
    """
    _, *keywords = inspect.signature(body).parameters.values()
    asked = [p for p in keywords if p.default is p.empty]
    options = [p for p in keywords if p.default is not p.empty]
    row = dict(zip([p.name for p in asked], sizes, strict=True)) if sizes else {}
    if row:
        asked = []

    _, _, _, include_top, *shared = inspect.signature(assemble).parameters.values()
    shared = [p.replace(default=_snake_case(name)) if p.name == "name" else p for p in shared]
    signature = inspect.Signature([include_top, *asked, *shared, *options])
    of_body = [p.name for p in asked + options]

    def builder(*args, **kwargs):
        try:
            call = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{name}() {error}.{_advice(kwargs, signature)}") from None
        call.apply_defaults()
        arguments = row | call.arguments
        chosen = {key: arguments.pop(key) for key in [*row, *of_body]}
        return assemble(builder, body, chosen, **arguments)

    builder.__name__ = builder.__qualname__ = name
    builder.__module__ = body.__module__
    builder.__signature__ = signature
    builder.sizes = row
    builder.params = params
    builder.weights = weights or {}
    builder.input_shape = input_shape
    builder.__doc__ = _docstring(builder, body)
    return builder


def assemble(
    builder,
    body,
    options,
    include_top=True,
    *,
    include_preprocessing=False,
    preprocessing=None,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=None,
    classifier_activation="softmax",
    name=None,
):
    """A functional model: image -> `body` -> mean -> dense, or without the last two.

    Args:
        include_top: Whether to end in a classifier: the mean over the feature map, then one dense
            layer, `head`, which starts at zero so that every class starts equally likely. Its
            arithmetic is float32 also under `mixed_bfloat16`.
        include_preprocessing: Whether the model takes pixels from 0 to 255 and normalises them
            itself: `True` as its weights want it, or a pair `(mean, std)` of the pixels over 255.
        preprocessing: What images the model takes, and how a picture is cut to its size, a
            `keras_mixer.Preprocessing`. By default what the `weights` were trained for, or, where
            nobody says, what the paper takes. The model carries it, see
            `keras_mixer.preprocessing`.
        weights: `None` for random initialisation; the name of released weights, which come with
            the package or are downloaded once; or a checkpoint file, see
            `keras_mixer.load_weights`. Their head is left out, with a warning, where it tells other
            `classes` apart.
        input_tensor: Optional Keras tensor `[B, H, W, C_in]` to build on, instead of a new input.
        input_shape: `(height, width, channels)` of an image, channels last; `(224, 224, 3)` when
            neither this nor `input_tensor` is given.
        pooling: What `include_top=False` returns: `None` for the feature map `[B, h, w, C]`,
            `"avg"` or `"max"` for its mean or maximum `[B, C]`.
        classes: Number of classes, with `include_top=True`. `None` for as many as the head in
            `weights` has; 1,000 without weights.
        classifier_activation: Activation of the head: `"softmax"` for probabilities, `None` for
            logits.
        name: Name of the model.
    """
    who = builder.__name__
    if pooling is not None and pooling not in POOLINGS:
        raise ValueError(f"{who} needs pooling to be None, 'avg' or 'max'; got {pooling!r}.")
    if classes is not None and (not isinstance(classes, Integral) or classes < 1):
        raise ValueError(f"{who} needs classes to be a whole number from 1 up; got {classes!r}.")
    paper = sys.modules[body.__module__]
    image = _image(input_tensor, input_shape, builder)
    checkpoint = None if weights is None else Checkpoint(_file(weights, builder), paper.LAYOUTS)
    if checkpoint:
        classes = classes or checkpoint.classes
        trained = {key: value for key, value in checkpoint.settings.items() if key in options}
        options = trained | {k: v for k, v in options.items() if v is not None or k not in trained}

    if preprocessing is None:
        preprocessing = checkpoint and _said_of(weights, checkpoint, builder)
    x = _first_layer(preprocessing or paper.PREPROCESSING, include_preprocessing, who)(image)
    x = body(x, **options)
    if include_top:
        x = POOLINGS["avg"](data_format="channels_last", name="pool")(x)
        x = keras.layers.Dense(
            int(classes or 1000),
            activation=classifier_activation,
            kernel_initializer="zeros",
            dtype=keras.config.dtype_policy().variable_dtype,
            name="head",
        )(x)
    elif pooling:
        x = POOLINGS[pooling](data_format="channels_last", name="pool")(x)

    inputs = keras.utils.get_source_inputs(image)
    model = keras.Model(inputs[0] if len(inputs) == 1 else inputs, x, name=name)
    if checkpoint:
        fits = include_top and checkpoint.classes == model.output_shape[-1]
        assign(model, checkpoint, who, without=() if fits else ("head",))
        if include_top and not fits:
            theirs = checkpoint.classes
            has = f"a head for {theirs:,} classes" if theirs else "no head"
            warnings.warn(
                f"{who}: {checkpoint} has {has}, so the head for {model.output_shape[-1]:,} starts "
                "at zero; all else is loaded.",
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
        return weights
    if weights in builder.weights:
        return fetch(builder.weights[weights])
    who, releases = builder.__name__, builder.weights
    known = f"was released as {listed(releases)}" if releases else "was never released"
    others = [
        other.__name__
        for other in vars(sys.modules[builder.__module__]).values()
        if hasattr(other, "sizes") and weights in other.weights
    ]
    there = f" {weights!r} exists for {listed(others)}." if others else ""
    raise ValueError(
        f"{who} {known}; got weights={weights!r}.{there} A checkpoint file is given by its path."
    )


def _said_of(weights, checkpoint, builder):
    """The `Preprocessing` that goes with weights, or None where nobody says it."""
    if weights in builder.weights:
        return builder.weights[weights].preprocessing
    return checkpoint.preprocessing


def _first_layer(preprocessing, include_preprocessing, who):
    """The layer that says what images a model takes, and normalises them if it is to."""
    if not isinstance(preprocessing, Preprocessing):
        raise ValueError(
            f"{who} needs preprocessing to be None or a keras_mixer.Preprocessing; got "
            f"{preprocessing!r}."
        )
    rescale = include_preprocessing is not False
    if not isinstance(include_preprocessing, bool):
        try:
            mean, std = include_preprocessing
            preprocessing = replace(preprocessing, mean=mean, std=std)
        except (TypeError, ValueError):
            raise ValueError(
                f"{who} needs include_preprocessing to be False, True or a pair (mean, std); got "
                f"{include_preprocessing!r}."
            ) from None
    said = preprocessing.as_dict()
    return ImagePreprocessing(**said, rescale=rescale, name="preprocessing")


def _image(input_tensor, input_shape, builder):
    who = builder.__name__
    if input_tensor is None:
        shape = builder.input_shape if input_shape is None else tuple(input_shape)
        if len(shape) != 3 or not all(isinstance(n, Integral) and n > 0 for n in shape):
            raise ValueError(
                f"{who} mixes a fixed number of tokens, so it needs input_shape to be three "
                f"positive whole numbers, (height, width, channels); got {shape}."
            )
        return keras.Input([int(n) for n in shape], name="image")
    if not keras.utils.is_keras_tensor(input_tensor):
        raise ValueError(
            f"{who} needs input_tensor to be a Keras tensor, the output of keras.Input or of a "
            f"layer; got {type(input_tensor).__name__}. To run the model on data, build it first "
            "and call it."
        )
    if input_shape is not None and tuple(input_shape) != tuple(input_tensor.shape[1:]):
        raise ValueError(
            f"{who} was given an input_tensor of shape {tuple(input_tensor.shape[1:])} and "
            f"input_shape={tuple(input_shape)}; leave input_shape out."
        )
    return input_tensor


def _snake_case(name):
    """`MixerB16` -> `mixer_b16`, the style of `keras.applications`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _advice(kwargs, signature):
    known = list(signature.parameters)
    unknown = [key for key in kwargs if key not in known]
    if not unknown:
        return ""
    close = get_close_matches(unknown[0], known, n=1)
    return f" Did you mean {close[0]!r}?" if close else f" It takes {', '.join(known)}."


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
    UserWarning: The head of the weights was left out for another number of classes.

Source: {source}
"""


def _docstring(builder, body):
    """A builder's docstring, composed as its signature is: nothing in it is written twice."""
    title, source, *_ = inspect.getdoc(inspect.getmodule(body)).split("\n\n")
    _, description, *_ = inspect.getdoc(body).split("\n\n")
    docs = _argument_docs(assemble) | _argument_docs(body)
    docs["input_shape"] = docs["input_shape"].replace("(224, 224, 3)", str(builder.input_shape))
    row = ""
    if builder.sizes:
        sizes = ", ".join(f"{key} {value}" for key, value in builder.sizes.items())
        at = " x ".join(map(str, builder.input_shape))
        row = f"Sizes: {sizes}.\nParameters: {builder.params:,} at {at} and 1,000 classes.\n"
        row += f"Released weights: {', '.join(builder.weights) or 'none'}.\n\n"
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
