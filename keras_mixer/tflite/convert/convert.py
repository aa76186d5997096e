"""Keras model -> the bytes of a `.tflite` file."""

import re

import keras

from keras_mixer._keras import inner_layers, is_quantised
from keras_mixer._text import listed
from keras_mixer.images import PIXELS, preprocessing, said
from keras_mixer.tflite.convert import recipes
from keras_mixer.tflite.convert.checks import check_float16, check_ranges, check_weights
from keras_mixer.tflite.convert.compare import check_same
from keras_mixer.tflite.convert.rewrite import REWRITES, to_float
from keras_mixer.tflite.examples import batches


def convert(
    model,
    recipe="float32",
    *,
    calibration=None,
    keep_float=(),
    integer_ends=False,
    input_range=None,
    pixels=False,
    without=(),
):
    """Converts an image model for LiteRT, on CPUs and phones.

    The file takes one image at a time, float32 `[1, H, W, C]`, and gives what the model gives, in
    float32 whatever the recipe, unless `integer_ends` says otherwise. It uses LiteRT's built-in ops
    only. A model built under `mixed_bfloat16` is converted in float32. Before it is quantised the
    model is rewritten for LiteRT without a change of its function: an input's rescaling and the
    norms' scales go into the weights of the layers that follow where that can be. In `"int8"` and
    `"int16x8"` a GELU is in its tanh form, up to 5e-4 from the erf form: microcontrollers have the
    ops of the one and not the other.

    Any functional or Sequential model converts whose operations LiteRT has: the model's own layers
    run, with their state, and it is unchanged afterwards. The float32 file, from which the other
    recipes start, is compared with the model on two made-up images and, where there are any, two
    calibration images.

    Args:
        model: A built functional or Sequential Keras model with one image input of fixed size,
            `[B, H, W, C]`, and one output.
        recipe: How numbers are stored and computed: `"float32"`, `"float16"`, `"dynamic_int8"`,
            `"static_int8"`, `"int8"`, `"int16x8"` or `"dynamic_int4"`; `RECIPES` says what each is
            for.
        calibration: For `"static_int8"`, `"int8"` and `"int16x8"`, images as the model takes them,
            from which the ranges of its activations are read: an array `[N, H, W, C]`, a
            `tf.data.Dataset`, an iterable of batches or a path, as `verify` takes them; labels in
            it are passed over. A hundred or so that look like what the file will see are enough.
        keep_float: Layers that stay in float32: a path such as `"block_0/token_mlp/expand"`, or
            `"block_*/token_mlp"` for all that it names and what is within; or several of them.
            `sensitivity` tells which are worth it.
        integer_ends: With `"int8"` and `"int16x8"`: whether the input and the output are integers
            too, as some NPUs and microcontrollers want. MediaPipe wants float32.
        input_range: What the model takes for black and for white, where nothing in it says so; see
            `keras_mixer.preprocessing`. Calibration images of another scale are refused.
        pixels: Whether the file takes pixels from 0 to 255 whatever the model takes; its scaling is
            in the stem's weights then, where that can be. Calibration images are still as the model
            takes them.
        without: Names of rewrites to leave out, to measure what each is worth: `"float_pixels"`,
            `"fold_rescaling"`, `"fold_last_norm"`, `"gelu_in_steps"`, `"dense_stem"`,
            `"norm_form"` or `"batch_first"`.

    Returns:
        The file's content, as `bytes`. Nothing is written.

    Raises:
        ValueError: An unknown recipe or layer; a model that is not built, has no fixed size or more
            than one input or output; a recipe that reads ranges without calibration, or with images
            that are none, of the wrong shape or not finite; calibration for a recipe that has no
            use for it; `"dynamic_int4"` with a layer of odd width; a model with an op that LiteRT
            does not have, or one that Keras has quantised; weights, scores or ranges that are not
            finite; a file that gives other scores than the model, with the layer at which the
            difference starts.
        RuntimeError: Keras runs on another backend than TensorFlow.
    """
    recipe = recipes.find(recipe)
    shape = image_shape(model, "convert")
    who = f"convert with recipe '{recipe.name}'"
    takes = said(model, input_range)
    images = calibration_images(recipe, calibration, shape, who, takes)
    if integer_ends and not recipe.every_op:
        every = ", ".join(f"'{r.name}'" for r in recipes.RECIPES.values() if r.every_op)
        raise ValueError(f"{who} has float32 ends; integer_ends goes with {every}.")
    if keep_float and recipe.name == "float32":
        raise ValueError(f"{who} keeps every layer in float32; leave keep_float out.")
    without = [without] if isinstance(without, str) else [*without]
    if unknown := {*without} - {*REWRITES}:
        raise ValueError(
            f"{who}: there is no rewrite {', '.join(map(repr, sorted(unknown)))}. Rewrites: "
            f"{', '.join(REWRITES)}."
        )
    check_backend("convert")

    # Here, so that the package does without LiteRT until it is wanted.
    from keras_mixer.tflite.convert.layer_names import layer_paths, layers_by_tensor, matching
    from keras_mixer.tflite.convert.quantise import odd_products, quantise
    from keras_mixer.tflite.file.interpreter import open_interpreter
    from keras_mixer.tflite.file.metadata import with_preprocessing

    keep_float = [keep_float] if isinstance(keep_float, str) else keep_float
    kept = matching(keep_float, [*layer_paths(model)], who)
    if pixels and takes is None:
        preprocessing(model)  # which asks
    scale = takes if pixels else None
    content = checked_float_file(model, shape, recipe, who, images, without, scale)
    in_file = takes and (takes.ranging(PIXELS) if pixels else takes)

    def finished(content):
        return with_preprocessing(content, in_file, who) if in_file else content

    if recipe.name == "float32":
        return finished(content)
    if scale and images:
        images = [scale.pixels(image) for image in images]

    layers = layers_by_tensor(open_interpreter(content), model)
    in_float = [name for name, layer in layers.items() if layer in kept]
    if recipe.weights == "int4":
        odd = odd_products(content, in_float)
        _check_widths({layers.get(name, name): width for name, width in odd.items()}, who)
    if recipe.weights == "float16":
        check_float16(content, layers, in_float, who)
    found = checked_ranges(content, images, recipe, layers, who)
    return finished(
        quantise(content, recipe, found, keep_float=in_float, integer_ends=integer_ends)
    )


def float_file(model, shape, every_op=False, without=(), pixels=None):
    """The float32 file that recipes start from: those for every op, or the others."""
    from tensorflow.lite.python.convert import ConverterError

    try:
        return to_float(model, shape, every_op=every_op, without=without, pixels=pixels)
    except ConverterError as error:
        # Its message holds the whole program; at the end it lists the ops.
        said = str(error).strip()
        if missing := re.findall(r"^TF (?:Select|Custom) ops: (.*)$", said, re.MULTILINE):
            said = f"it has no {', '.join(dict.fromkeys(missing))}."
        raise ValueError(
            f"convert: LiteRT cannot run '{model.name}' on its built-in ops. The converter says: "
            f"{said}"
        ) from None


def checked_float_file(model, shape, recipe, who, images=None, without=(), pixels=None):
    """As `float_file`, for a recipe: from finite weights, and compared with the model."""
    quantised = [layer.name for layer in inner_layers(model) if is_quantised(layer)]
    if quantised:
        raise ValueError(
            f"{who} needs a float model; in '{model.name}' Keras's quantize() has replaced the "
            f"weights of {listed(quantised[:5])} by integers. Convert the model from before that: "
            "recipes quantise, 'dynamic_int8' for example."
        )
    check_weights(model, recipe, who)
    content = float_file(model, shape, recipe.every_op, without, pixels)
    check_same(model, content, shape, images or (), recipe.every_op, without, pixels)
    return content


def checked_ranges(content, images, recipe, layers, who):
    """The ranges of a float32 file's activations on calibration images; None if none are needed.

    Args:
        layers: Name of a tensor -> path of the layer that makes it.
    """
    from keras_mixer.tflite.convert.calibration import ranges
    from keras_mixer.tflite.convert.quantise import ops_of

    if not recipe.calibrated:
        return None
    if "WHILE" in {kind for kind, _, _ in ops_of(content)}:
        raise ValueError(
            f"{who} cannot quantise a loop, in which a recurrent layer (LSTM, GRU, RNN) computes. "
            "Build that layer with unroll=True, or take recipe 'dynamic_int8' or 'float16'."
        )
    found = ranges(content, images)
    check_ranges(found, layers, who)
    return found


def check_backend(who):
    """Raises RuntimeError unless Keras runs on TensorFlow, whose converter makes the file."""
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f"{who} needs Keras on the TensorFlow backend; this process runs on "
            f"{keras.backend.backend()}. Set KERAS_BACKEND=tensorflow in a new process; a model "
            "saved as .keras can be loaded there."
        )


def image_shape(model, who):
    """The shape (H, W, C) of the one image that `model` takes, or a ValueError that says why."""
    if not isinstance(model, keras.Model):
        raise ValueError(f"{who} needs a Keras model; got {type(model).__name__}.")
    if not model.built or not getattr(model, "inputs", None):
        raise ValueError(
            f"{who} needs a model whose weights and input are known; '{model.name}' was never "
            "built. Make it a functional model, or give a Sequential one a keras.Input first; a "
            "model of a class of your own becomes functional as keras.Model(image, model(image)) "
            "with image = keras.Input((height, width, channels))."
        )
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            f"{who} needs a model with one input and one output; '{model.name}' has "
            f"{len(model.inputs)} and {len(model.outputs)}."
        )
    shape = tuple(model.inputs[0].shape)
    if len(shape) != 4 or None in shape[1:]:
        raise ValueError(
            f"{who} needs images of a fixed size, [B, H, W, C]; '{model.name}' takes {shape}. "
            "Build it for one size."
        )
    return shape[1:]


def calibration_images(recipe, calibration, shape, who, takes):
    """The images to read ranges from, as a list; None where a recipe wants none."""
    if not recipe.calibrated:
        if calibration is not None:
            raise ValueError(f"{who} takes no calibration; only quantised activations need ranges.")
        return None
    if calibration is None:
        raise ValueError(
            f"{who} needs calibration= (--calibration), about a hundred images as the model takes "
            "them, to read the ranges of its activations from; got none."
        )
    return [image for images, _ in batches(calibration, shape, who, takes) for image in images]


def _check_widths(odd, who):
    if odd:
        found = ", ".join(f"{layer} has {width}" for layer, width in odd.items())
        raise ValueError(
            f"{who} needs dense layers with an even number of inputs; {found}. Leave them in "
            "float32 with keep_float= (--keep-float), or take recipe 'dynamic_int8'."
        )
