"""A Keras model as the list of its calls, some of which can be replaced.

Nothing is cloned: the model's own layers run, in inference, with their own state.
"""

import re
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import keras

from keras_mixer._keras import POLICY, Cast, autocast, calls_of, graph_of, in_inference
from keras_mixer._keras import inner_layers as layers_within


@dataclass(eq=False)
class Value:
    """A tensor of the graph: the image, or the output of a call."""

    shape: tuple
    dtype: str


@dataclass(eq=False)
class Call:
    """One call of an operation, at one place in the model's graph.

    Attributes:
        operation: A layer or another Keras operation.
        arguments: `(args, kwargs)`, with a `Value` in the place of each tensor.
        outputs: One `Value` each.
        scope: Names of the models that contain the call, the outermost first.
        instead: A function that is called instead of the operation.
        weights: Pairs of a variable and the array that replaces its value during this call.
        attributes: Attributes of the operation that have another value during this call.
    """

    operation: Callable
    arguments: tuple
    outputs: list[Value]
    scope: tuple[str, ...]
    instead: Callable | None = None
    weights: list = field(default_factory=list)
    attributes: dict = field(default_factory=dict)

    @property
    def inputs(self):
        return values_in(self.arguments)

    @property
    def path(self):
        """Names of the models within the model, then of the operation, joined by `/`."""
        return "/".join((*self.scope[1:], self.operation.name))


class Graph:
    """The calls of a model of one image and one output, in order.

    A model within it is replaced by its calls, unless Keras does more between the two than to pass
    tensors on, or the inner model has a `call` of its own: it is then a single call.

    Attributes:
        calls: The calls.
        image, scores: The `Value` of the model's input and of its output.
        image_dtype: The type to which images are cast.
    """

    def __init__(self, model):
        self.model = model
        self.calls = []
        graph = graph_of(model)
        [image] = model.inputs
        self.image = Value(tuple(image.shape), image.dtype)
        self.image_dtype = "float32" if "float" in image.dtype else image.dtype
        if graph is None:
            [scores] = model.outputs
            self.scores = Value(tuple(scores.shape), scores.dtype)
            image = keras.tree.map_structure(lambda _: self.image, model.input)
            self.calls.append(Call(model, ((image,), {}), [self.scores], ()))
        else:
            [self.scores] = self._read(graph, [self.image], (model.name,))

    def prepend(self, operation):
        """Adds an operation of one image and one output in front of all calls."""
        image = Value(self.image.shape, "float32")
        self.calls.insert(0, Call(operation, ((image,), {}), [self.image], ()))
        self.image = image

    def _read(self, graph, inputs, scope):
        values = dict(zip(map(id, graph.inputs), inputs, strict=True))

        def value(x):
            return values[id(x)] if keras.utils.is_keras_tensor(x) else x

        for operation, arguments, outputs in calls_of(graph):
            arguments = keras.tree.map_structure(value, arguments)
            inner = graph_of(operation)
            if inner is not None and _only_passes(inner, arguments):
                taken = values_in(arguments)
                made = self._read(inner, taken, (*scope, operation.name))
            else:
                made = [Value(tuple(x.shape), x.dtype) for x in outputs]
                self.calls.append(Call(operation, arguments, made, scope))
            values |= zip(map(id, outputs), made, strict=True)
        return [values[id(x)] for x in graph.outputs]

    def maker(self, value):
        """The call whose output a value is; None for the image."""
        return next((call for call in self.calls if value in call.outputs), None)

    def takers(self, value):
        """The calls that take a value."""
        return [call for call in self.calls if value in call.inputs]

    def run(self, image):
        """The tensors that the model computes of a batch of images in inference, by `Value`."""
        # As Keras does; pixels may be cast to integers.
        values = {self.image: keras.ops.cast(image, self.image_dtype)}

        def fill(x):
            return values[x] if isinstance(x, Value) else x

        for call in self.calls:
            args, kwargs = keras.tree.map_structure(fill, call.arguments)
            with _as_called(call):
                if call.instead:
                    made = call.instead(*args, **kwargs)
                else:
                    made = in_inference(call.operation)(*args, **kwargs)
            values |= zip(call.outputs, keras.tree.flatten(made), strict=True)
        return values

    def __call__(self, image):
        """The model's output for a batch of images in inference."""
        return self.run(image)[self.scores]

    @contextmanager
    def in_float32(self):
        """A context in which every layer of the model computes in float32, whatever its policy.

        Casts to another floating-point type in the graph give float32 too. If all layers are in
        float32 anyway they do not, because then a cast is meant to round.
        """
        layers = {self.model, *layers_within(self.model)}
        policy = {POLICY: keras.dtype_policies.get("float32")}
        with ExitStack() as stack:
            if any(layer.compute_dtype != "float32" for layer in layers):
                for cast in {c.operation for c in self.calls if isinstance(c.operation, Cast)}:
                    if "float" in cast.dtype:
                        stack.enter_context(having(cast, {"dtype": "float32"}))
            for layer in layers:
                stack.enter_context(having(layer, policy))
            stack.enter_context(autocast("float32"))
            yield


def values_in(arguments):
    """The values in a structure of arguments, in order."""
    return [x for x in keras.tree.flatten(arguments) if isinstance(x, Value)]


@contextmanager
def having(operation, attributes):
    """A context in which an operation has other attributes.

    They are written into its `__dict__`: Keras would track, build or quantise if it saw them set.
    """
    own = vars(operation)
    before = {name: own[name] for name in attributes if name in own}
    try:
        own.update(attributes)
        yield
    finally:
        own.update(before)
        for name in attributes:
            if name not in before:
                del own[name]


def _only_passes(inner, arguments):
    """Whether Keras passes arguments on to a model within a model unchanged and in order.

    Otherwise it casts them, changes their rank or looks them up by name.
    """
    args, kwargs = arguments
    if len(args) != 1 or values_in(kwargs):
        return False
    given, wanted = keras.tree.flatten(args[0]), inner.inputs
    if isinstance(args[0], dict):  # which Keras may sort by the names of the inputs
        return False
    return len(given) == len(wanted) and all(
        isinstance(value, Value)
        and len(value.shape) == len(x.shape)
        and (value.dtype == x.dtype or ("float" in value.dtype and "float" in x.dtype))
        for value, x in zip(given, wanted, strict=True)
    )


@contextmanager
def _as_called(call):
    """A context in which names, attributes and weights are those of a call."""
    import tensorflow as tf

    with ExitStack() as stack:
        # A scope that ends in a slash is entered again, not numbered as another of that name.
        names = call.scope if call.instead is None else (*call.scope, call.operation.name)
        stack.enter_context(tf.name_scope("".join(f"{_scope_name(name)}/" for name in names)))
        if call.attributes:
            stack.enter_context(having(call.operation, call.attributes))
        if call.weights:
            values = [(weight, tf.constant(array, "float32")) for weight, array in call.weights]
            stack.enter_context(keras.StatelessScope(values))
        yield


def _scope_name(name):
    return re.sub(r"^(?=[^A-Za-z0-9.])", ".", re.sub(r"[^A-Za-z0-9_.\\>-]", "_", name))
