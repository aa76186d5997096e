"""Compares a float32 file with its Keras model, and names the layer where a difference starts."""

from contextlib import ExitStack, contextmanager
from functools import partial

import keras
import numpy as np
from keras import ops

from keras_mixer._keras import Gelu, inner_layers
from keras_mixer.layers import Mlp
from keras_mixer.tflite.convert.graph import Graph, having
from keras_mixer.tflite.convert.rewrite import is_gelu, rewritten
from keras_mixer.tflite.file.interpreter import every_tensor, open_interpreter

# Largest difference of a score, over the largest score. float32 rounds to 6e-8 of a number; sums in
# another order and dozens of layers in sequence lose two digits of that.
TOLERANCE = 1e-5
# A model may magnify rounding. How much is measured: the pixels are changed by NOISE of their
# value, about eight roundings, and NOISE_FACTOR times the change of the scores is tolerated too,
# because every layer rounds and not only the first.
NOISE = 1e-6
NOISE_FACTOR = 10
CALIBRATION_IMAGES = 2


def check_same(model, content, shape, images=(), arithmetic="float32", without=(), pixels=None):
    """Raises ValueError unless a float32 file and its model give the same scores, all finite.

    The model computes in float32 for this, whatever its policy, and its GELUs in their tanh form
    where the file has that. Otherwise it is Keras's own call of the model.

    Args:
        model: The Keras model.
        content: The file's content.
        shape: `(H, W, C)` of an image.
        images: Images as the model takes them, if there are any; the first two are used, and two
            synthetic ones.
        arithmetic, without, pixels: With which the file was made, see `to_float`.
    """
    graph = Graph(model)
    tanh_gelus = arithmetic == "integer" and "gelu_in_steps" not in without
    whole = "float" not in graph.image.dtype
    tried = np.stack([*images[:CALIBRATION_IMAGES], *examples(shape, whole)]).astype(np.float32)
    noise = np.random.default_rng(1).choice([-NOISE, NOISE], tried.shape)
    noisy = tried if whole else (tried * (1 + noise)).astype(np.float32)
    with graph.in_float32(), _tanh_gelus(graph, tanh_gelus):
        both = _scores(model, np.concatenate([tried, noisy]))
    expected, disturbed = np.split(both, 2)
    # On a synthetic image, which may be of another scale than the model's, numbers may overflow.
    finite = [i for i, scores in enumerate(expected) if np.isfinite(scores).all()]
    if not finite:
        raise ValueError(
            f"convert: the scores of '{model.name}' are not finite on any of {len(tried)} "
            f"images. {_first_not_finite(graph, tried[:1])}"
        )

    interpreter = open_interpreter(content)
    [image_tensor], [score_tensor] = (
        interpreter.get_input_details(),
        interpreter.get_output_details(),
    )
    for i in finite:
        in_file = pixels.pixels(tried[i]) if pixels else tried[i]
        interpreter.set_tensor(image_tensor["index"], in_file[None])
        interpreter.invoke()
        got = interpreter.get_tensor(score_tensor["index"])[0].astype(np.float64)
        size = np.abs(expected[i]).max(initial=0)
        rounding = np.abs(disturbed[i] - expected[i]).max(initial=0)
        allowed = TOLERANCE * size + NOISE_FACTOR * np.nan_to_num(rounding)
        difference = np.abs(got - expected[i]).max(initial=0)
        if not difference <= allowed:  # a NaN is a difference
            with graph.in_float32(), _tanh_gelus(graph, tanh_gelus):
                values = graph.run(ops.convert_to_tensor(tried[i][None]))
            values = {value: _array(tensor) for value, tensor in values.items()}
            where = _wrong_rewrite(graph, values, tried[i], arithmetic, without)
            where = where or _wrong_in_file(graph, values, content, in_file)
            raise ValueError(
                f"convert: the .tflite file of '{model.name}' does not compute what the model "
                f"computes: a score differs by {difference:.3g} where rounding explains "
                f"{allowed:.1g} (largest score {size:.3g}). "
                f"{where} If that is a layer of your own, its call may depend on more than its "
                "input; otherwise please report it."
            )


def examples(shape, whole):
    """Two synthetic images: noise in [-1, 1], and a picture of whole numbers from 0 to 255.

    Most models take one of these ranges. With `whole` the noise is of whole numbers too.
    """
    height, width, channels = shape
    y, x, c = np.mgrid[:height, :width, :channels]
    # Brightness that changes in another direction in each channel.
    gradient = (7 * x + (c + 2) * 5 * y + 60 * c + 11 * ((x // 5 + y // 3) % 4)) % 256
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, shape) if whole else random.uniform(-1, 1, shape)
    return noise, gradient


def _scores(model, images):
    """The model's output for images in inference, [N, ...] in float64, computed by Keras.

    It takes one image at a time, as the file does, repeated if the model has a fixed batch.
    """
    batch = model.inputs[0].shape[0] or 1
    found = []
    for image in images:
        inputs = ops.convert_to_tensor(np.stack([image] * batch))
        if not isinstance(model, keras.Sequential):
            inputs = keras.tree.map_structure(lambda _, x=inputs: x, model.input)
        [scores] = keras.tree.flatten(model(inputs, training=False))
        found.append(_array(scores)[0])
    return np.stack(found)


@contextmanager
def _tanh_gelus(graph, tanh_gelus):
    """A context in which, if `tanh_gelus`, GELUs of layers and of the graph are in tanh form."""
    tanh = {"activation": partial(ops.gelu, approximate=True)}
    with ExitStack() as stack:
        if tanh_gelus:
            for layer in inner_layers(graph.model):
                if isinstance(layer, Mlp) or is_gelu(getattr(layer, "activation", None)):
                    stack.enter_context(having(layer, tanh))
            for call in graph.calls:
                if isinstance(call.operation, Gelu):
                    stack.enter_context(having(call.operation, {"approximate": True}))
        yield


def _wrong_rewrite(graph, values, image, arithmetic, without):
    """Names the first call whose output differs after the rewrites, traced as for the converter.

    None if the scores do not differ.

    Args:
        graph: The graph as it is.
        values: The right value of each `Value` of it.
    """
    import tensorflow as tf

    with rewritten(graph.model, arithmetic, without) as other:
        outputs = [call.outputs for call in other.calls]

        @partial(tf.function, autograph=False)
        def traced(image):
            values = other.run(image)
            return [[values[value] for value in call] for call in outputs]

        found = traced(tf.constant(image[None]))
    off = {}
    for call, tensors in zip(graph.calls, found, strict=True):
        for value, tensor in zip(call.outputs, tensors, strict=True):
            off[value] = np.abs(_array(tensor) - values[value]).max(initial=0)
    return None if _is_near(off[graph.scores], values[graph.scores]) else _first(graph, values, off)


def _wrong_in_file(graph, values, content, image):
    """Names the first call whose output is not among the tensors of the file."""
    [tensors] = every_tensor(content, [image])
    by_size = {}
    for tensor in tensors.values():
        by_size.setdefault(tensor.size, []).append(np.ravel(tensor).astype(np.float64))

    def off(value):
        """How far the nearest tensor of the file is."""
        expected = np.ravel(values[value])
        found = [np.abs(t - expected).max(initial=0) for t in by_size.get(expected.size, ())]
        return min(found, default=np.inf)

    made = [value for call in graph.calls for value in call.outputs]
    return _first(graph, values, {value: off(value) for value in made})


def _is_near(off, value):
    return off <= 10 * TOLERANCE * np.abs(value).max(initial=0)


def _first(graph, values, off):
    """A sentence that names the first call whose output is wrong.

    A pass may move a factor from one call to another, and the converter fuses operations. So a call
    counts as right if its own output is right, or the output of a call behind it.

    Args:
        off: The error of each value.
    """
    right = {graph.image}
    for call in reversed(graph.calls):
        if any(value in right or _is_near(off[value], values[value]) for value in call.outputs):
            right |= {*call.outputs, *call.inputs}
    wrong = [call for call in graph.calls if not right & {*call.outputs}]
    call = wrong[0] if wrong else graph.calls[-1]
    [value, *_] = call.outputs
    largest = np.abs(values[value]).max(initial=0)
    how_far = (
        f"differs by {off[value]:.3g} (largest value {largest:.3g})"
        if np.isfinite(off[value])
        else "is not in the file"
    )
    kind = type(call.operation).__name__
    return f"The difference starts at '{call.path}' ({kind}), whose output {how_far}."


def _first_not_finite(graph, image):
    with graph.in_float32():
        values = graph.run(ops.convert_to_tensor(image))
    for call in graph.calls:
        if not all(np.isfinite(_array(values[value])).all() for value in call.outputs):
            return (
                f"They stop being finite at '{call.path}' ({type(call.operation).__name__}); look "
                "at its weights."
            )
    return ""


def _array(tensor):
    """In float64."""
    return np.asarray(ops.convert_to_numpy(tensor)).astype(np.float64)
