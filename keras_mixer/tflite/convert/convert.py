"""Keras model -> the bytes of a `.tflite` file."""

import warnings
from collections.abc import Iterable

import keras

from keras_mixer._extras import needs
from keras_mixer._text import listed
from keras_mixer._types import Images, InputRange
from keras_mixer.images import PIXELS, find_preprocessing, preprocessing
from keras_mixer.tflite.convert.calibration import calibration_images, checked_ranges
from keras_mixer.tflite.convert.checks import check_float16, check_float16_arithmetic
from keras_mixer.tflite.convert.compare import examples
from keras_mixer.tflite.convert.float_file import checked_float_file
from keras_mixer.tflite.convert.layer_names import (
    layer_paths,
    layers_by_tensor,
    layers_in,
    matching,
)
from keras_mixer.tflite.convert.model import check_backend, image_shape
from keras_mixer.tflite.convert.quantise import odd_widths, quantise
from keras_mixer.tflite.convert.recipes import RECIPES, find
from keras_mixer.tflite.convert.rewrite import REWRITES
from keras_mixer.tflite.convert.versions import with_versions
from keras_mixer.tflite.file import precision
from keras_mixer.tflite.file.content import with_entries
from keras_mixer.tflite.file.interpreter import open_interpreter
from keras_mixer.tflite.file.metadata import preprocessing_entry


def convert(
    model: keras.Model,
    recipe: str = "float32",
    *,
    calibration: Images | None = None,
    keep_float: str | Iterable[str] = (),
    integer_io: bool = False,
    input_range: InputRange | None = None,
    pixels: bool = False,
    without: Iterable[str] = (),
    float16_arithmetic: bool | None = None,
    integer_ends: bool | None = None,
) -> bytes:
    """Converts an image model for LiteRT, on CPUs and phones.

    The file takes one image at a time, float32 `[1, H, W, C]`, and gives the model's output, also
    in float32 unless `integer_io` is set. It uses LiteRT's built-in ops only. A model built under
    `mixed_bfloat16` is converted in float32. Before quantisation the model is rewritten for LiteRT
    without a change of its function: where possible, the input's rescaling and the norms' scales
    are folded into the weights of the layers that follow. In `"int8"` and `"int16x8"` GELUs are in
    their tanh form, up to 5e-4 from the erf form, because microcontrollers have no op for the
    latter. ARM CPUs that have float16 arithmetic (ARMv8.2 and later) compute a `"float16"` file in
    it, with half the instructions; norms are in a form that stays within its range.

    Any functional or Sequential model converts if LiteRT has its operations. The model's own layers
    run, with their state, and the model is unchanged afterwards. The float32 file, from which the
    other recipes start, is compared with the model on two synthetic images and, if there are
    calibration images, on two of those.

    Args:
        model: A built functional or Sequential Keras model with one image input of fixed size,
            `[B, H, W, C]`, and one output.
        recipe: How numbers are stored and computed: `"float32"`, `"float16"`, `"dynamic_int8"`,
            `"static_int8"`, `"int8"`, `"int16x8"` or `"dynamic_int4"`; `RECIPES` says what each is
            for.
        calibration: For `"static_int8"`, `"int8"` and `"int16x8"`, images from which the ranges of
            the model's activations are read: an array `[N, H, W, C]`, a `tf.data.Dataset`, an
            iterable of batches, a path or anything else that `verify` takes; labels are ignored.
            About a hundred images are enough, if they look like those that the file will see. Of a
            data set or another stream of batches, which may be without end, the first 500 are read,
            of a folder 500 at equal distances. With `float16_arithmetic` they are optional: numbers
            beyond float16 are looked for on them, and otherwise on two synthetic images, from -1 to
            1 if nothing says what black and white are.
        keep_float: Layers that stay in float32: a path such as `"block_0/token_mlp/expand"`, or a
            pattern such as `"block_*/token_mlp"`, which also selects the layers within; or several
            of them. `sensitivity` finds the layers for which this is worthwhile. In a file that is
            computed in float16, only their weights stay in float32.
        integer_io: With `"int8"` and `"int16x8"`: whether the input and output tensors are
            integers too, as some NPUs and microcontrollers need. MediaPipe needs float32.
        input_range: The values of a black and of a white pixel for the model, if nothing in the
            model says so; see `keras_mixer.preprocessing`. Calibration images of another scale are
            refused.
        pixels: Whether the file takes pixels from 0 to 255, whatever the model takes. Where
            possible, the rescaling is then folded into the stem. Calibration images are still as
            the model takes them.
        without: Names of rewrites to leave out, to measure what each is worth: `"float_pixels"`,
            `"fold_rescaling"`, `"fold_last_norm"`, `"fold_block_norms"`, `"gelu_in_steps"`,
            `"dense_stem"`, `"dense_circulant"`, `"norm_form"` or `"batch_first"`.
        float16_arithmetic: Whether ARM CPUs that have float16 arithmetic may compute float ops in
            it; by default in `"float16"` only. Not in `"int8"` and `"int16x8"`, which have none.
        integer_ends: Deprecated name of `integer_io`.

    Returns:
        The file's content, as `bytes`. Nothing is written.

    Raises:
        ValueError: An unknown recipe or layer; a model that is not built, has no fixed size or has
            more than one input or output; missing calibration images, or images of the wrong shape
            or not finite; calibration images for a recipe that does not use them; `"dynamic_int4"`
            with a layer of odd width; a model with an op that LiteRT does not have, or one that
            Keras has quantised; weights, scores or ranges that are not finite, or beyond float16 in
            a file that is computed in it; a file that gives other scores than the model, with the
            layer at which the difference starts.
        RuntimeError: Keras runs on another backend than TensorFlow.
        ImportError: The extra `tflite` is not installed.
    """
    if integer_ends is not None:
        if integer_io:
            raise ValueError("convert takes integer_io or its old name integer_ends, not both.")
        warnings.warn(
            "convert's integer_ends is deprecated; use integer_io.",
            DeprecationWarning,
            stacklevel=2,
        )
        integer_io = integer_ends
    recipe = find(recipe)
    shape = image_shape(model, "convert")
    who = f"convert with recipe '{recipe.name}'"
    takes = find_preprocessing(model, input_range)
    arithmetic = _arithmetic(recipe, float16_arithmetic, who)
    in_float16 = arithmetic == "float16"
    images = calibration_images(recipe, calibration, shape, who, takes, optional=in_float16)
    if integer_io and not recipe.every_op:
        every = ", ".join(f"'{r.name}'" for r in RECIPES.values() if r.every_op)
        raise ValueError(f"{who} has a float32 input and output; integer_io needs {every}.")
    if keep_float and recipe.name == "float32":
        raise ValueError(f"{who} keeps every layer in float32; leave keep_float out.")
    without = [without] if isinstance(without, str) else [*without]
    if unknown := {*without} - {*REWRITES}:
        raise ValueError(
            f"{who}: there is no rewrite {', '.join(map(repr, sorted(unknown)))}. Rewrites: "
            f"{', '.join(REWRITES)}."
        )
    check_backend("convert")
    with needs(__name__):  # before TensorFlow's converter, which may take minutes
        import ai_edge_litert  # noqa: F401
        import litert_quantizer  # noqa: F401

    keep_float = [keep_float] if isinstance(keep_float, str) else keep_float
    paths = [*layer_paths(model)]
    kept = matching(keep_float, paths, who)
    if pixels and takes is None:
        preprocessing(model)  # raises an error that asks for input_range
    scale = takes if pixels else None
    content = checked_float_file(model, shape, recipe, who, images, without, scale, arithmetic)
    in_file = takes and (takes.ranging(PIXELS) if pixels else takes)
    entries = preprocessing_entry(in_file) if in_file else {}
    if scale and images:
        images = [scale.pixels(image) for image in images]

    layers = layers_by_tensor(open_interpreter(content), model)
    if in_float16:
        check_float16_arithmetic(content, images or _synthetic(shape, in_file), layers, who)
        entries |= {precision.ENTRY: precision.FLOAT16}
    if recipe.name == "float32":
        return with_entries(content, entries, who)
    in_float = [name for name, layer in layers.items() if kept & {layer, *layers_in(name, paths)}]
    if recipe.weights == "int4":
        odd = odd_widths(content, in_float)
        _check_widths({layers.get(name, name): width for name, width in odd.items()}, who)
    if recipe.weights == "float16":
        check_float16(content, layers, in_float, who)
    found = checked_ranges(content, images, recipe, layers, who)
    quantised = quantise(content, recipe, found, keep_float=in_float, integer_io=integer_io)
    return with_versions(quantised, entries, who)


def _arithmetic(recipe, float16_arithmetic, who):
    """What the file computes in, see `rewritten`; a ValueError if the recipe cannot."""
    if float16_arithmetic is None:
        return recipe.arithmetic
    if recipe.every_op:
        if float16_arithmetic:
            others = listed(repr(r.name) for r in RECIPES.values() if not r.every_op)
            raise ValueError(
                f"{who} computes in integers alone; float16_arithmetic (--float16-arithmetic) "
                f"is for {others}."
            )
        return "integer"
    return "float16" if float16_arithmetic else "float32"


def _synthetic(shape, preprocessing):
    """Two images as a file takes them: a picture, and noise."""
    noise, picture = examples(shape, whole=True)
    if preprocessing is None:
        return [picture / 127.5 - 1, noise / 127.5 - 1]
    return [preprocessing.scaled(pixels) for pixels in (picture, noise)]


def _check_widths(odd, who):
    if odd:
        found = ", ".join(f"{layer} has {width}" for layer, width in odd.items())
        raise ValueError(
            f"{who} needs dense layers with an even number of inputs; {found}. Leave them in "
            "float32 with keep_float= (--keep-float), or take recipe 'dynamic_int8'."
        )
