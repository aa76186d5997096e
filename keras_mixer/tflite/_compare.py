"""Does a float32 file compute what its Keras model computes, and if not, where does it start?"""

from contextlib import ExitStack, contextmanager
from functools import partial

import keras
import numpy as np
from keras import ops

from keras_mixer._keras import Gelu, inner_layers
from keras_mixer.layers import Mlp
from keras_mixer.tflite._float import is_gelu
from keras_mixer.tflite._graph import Graph, having

# Largest difference of a score, over the largest score. float32 rounds to 6e-8 of a number; sums in
# another order and dozens of layers in sequence lose two digits of that.
TOLERANCE = 1e-5
# A model may magnify rounding. How much is measured: the pixels are changed by NOISE of their
# value, about eight roundings, and NOISE_FACTOR times the change of the scores is tolerated too,
# because every layer rounds and not only the first.
NOISE = 1e-6
NOISE_FACTOR = 10
CALIBRATION_IMAGES = 2


def check_same(model, content, shape, every_op=False, images=()):
    """Raises ValueError unless a float32 file and its model give the same scores, all finite.

    The model computes in float32 for this, whatever its policy. With `every_op` its GELUs are in
    their tanh form, as they are in the file; nothing else about the model is changed.

    Args:
        model: The Keras model.
        content: The file's content.
        shape: `(H, W, C)` of an image.
        every_op: What the file was made for, see `to_float`.
        images: Images as the model takes them, if there are any; the first two are used beside
            two that are made up.
    """
    from keras_mixer.tflite._interpreter import open_interpreter

    graph = Graph(model)
    whole = "float" not in graph.image.dtype
    examples = np.stack([*images[:CALIBRATION_IMAGES], *_examples(shape, whole)])
    examples = examples.astype(np.float32)
    noise = np.random.default_rng(1).choice([-NOISE, NOISE], examples.shape)
    noisy = examples if whole else (examples * (1 + noise)).astype(np.float32)
    with graph.in_float32(), _tanh_gelus(graph, every_op):
        both = _scores(model, np.concatenate([examples, noisy]))
    expected, disturbed = np.split(both, 2)
    # A made-up image may be far from what the model was made for; numbers overflow there.
    finite = [i for i, scores in enumerate(expected) if np.isfinite(scores).all()]
    if not finite:
        raise ValueError(
            f"convert: the scores of '{model.name}' are not finite, on none of {len(examples)} "
            f"images. {_first_not_finite(graph, examples[:1])}"
        )

    interpreter = open_interpreter(content)
    [image_tensor], [score_tensor] = (
        interpreter.get_input_details(),
        interpreter.get_output_details(),
    )
    for i in finite:
        interpreter.set_tensor(image_tensor["index"], examples[i][None])
        interpreter.invoke()
        got = interpreter.get_tensor(score_tensor["index"])[0].astype(np.float64)
        size = np.abs(expected[i]).max(initial=0)
        rounding = np.abs(disturbed[i] - expected[i]).max(initial=0)
        allowed = TOLERANCE * size + NOISE_FACTOR * np.nan_to_num(rounding)
        difference = np.abs(got - expected[i]).max(initial=0)
        if not difference <= allowed:  # a NaN is a difference
            raise ValueError(
                f"convert: the .tflite file of '{model.name}' does not compute what the model "
                f"computes: a score differs by {difference:.3g} where rounding explains "
                f"{allowed:.1g} (largest score {size:.3g}). "
                f"{_where(graph, content, examples[i], every_op)} Nothing is returned. If it is a "
                "layer of your own, its call may depend on more than its input; otherwise please "
                "report it."
            )


def _examples(shape, whole):
    """Two images: noise in [-1, 1] and a picture of whole numbers from 0 to 255.

    Most models are made for one of these ranges. With `whole` the noise is in whole numbers too.
    """
    height, width, channels = shape
    y, x, c = np.mgrid[:height, :width, :channels]
    # Brightness that changes in another direction in each channel.
    gradient = (7 * x + (c + 2) * 5 * y + 60 * c + 11 * ((x // 5 + y // 3) % 4)) % 256
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, shape) if whole else random.uniform(-1, 1, shape)
    return noise, gradient


def _scores(model, images):
    """What the model gives for images in inference, [N, ...] in float64, by Keras alone."""
    images = ops.convert_to_tensor(images)
    single = isinstance(model, keras.Sequential)
    inputs = images if single else keras.tree.map_structure(lambda _: images, model.input)
    [scores] = keras.tree.flatten(model(inputs, training=False))
    return np.asarray(ops.convert_to_numpy(ops.cast(scores, "float32")), np.float64)


@contextmanager
def _tanh_gelus(graph, every_op):
    """Within it, with `every_op`, GELUs of layers and of the graph are in their tanh form."""
    tanh = {"activation": partial(ops.gelu, approximate=True)}
    with ExitStack() as stack:
        if every_op:
            for layer in inner_layers(graph.model):
                if isinstance(layer, Mlp) or is_gelu(getattr(layer, "activation", None)):
                    stack.enter_context(having(layer, tanh))
            for call in graph.calls:
                if isinstance(call.operation, Gelu):
                    stack.enter_context(having(call.operation, {"approximate": True}))
        yield


def _where(graph, content, image, every_op):
    """A sentence that names the first call whose output the file does not compute, and how far off.

    The converter joins operations and drops outputs in between, so that a call counts as computed
    if its own output or that of a call behind it is among the file's tensors.
    """
    from keras_mixer.tflite._interpreter import every_tensor

    with graph.in_float32(), _tanh_gelus(graph, every_op):
        values = graph.run(ops.convert_to_tensor(image[None]))
    [tensors] = every_tensor(content, [image])
    by_size = {}
    for tensor in tensors.values():
        by_size.setdefault(tensor.size, []).append(np.ravel(tensor).astype(np.float64))

    def distance(value):
        """Between a value and the tensor of the file that is nearest to it, and its own size."""
        expected = np.ravel(_array(values[value]))
        found = [np.abs(t - expected).max(initial=0) for t in by_size.get(expected.size, ())]
        return min(found, default=np.inf), np.abs(expected).max(initial=0)

    def is_computed(value):
        nearest, size = distance(value)
        return nearest <= 10 * TOLERANCE * size

    computed = {graph.image}
    for call in reversed(graph.calls):
        if any(value in computed or is_computed(value) for value in call.outputs):
            computed |= {*call.outputs, *call.inputs}
    wrong = [call for call in graph.calls if not computed & {*call.outputs}]
    call = wrong[0] if wrong else graph.calls[-1]
    nearest, size = distance(call.outputs[0])
    how_far = (
        f"differs by {nearest:.3g} (largest value {size:.3g})"
        if np.isfinite(nearest)
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
    return np.asarray(ops.convert_to_numpy(tensor)).astype(np.float64)
