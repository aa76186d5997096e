"""Names of the weights of a Keras model."""

import keras

# Weight of the head, and of the stem -> its index in the layer.
HEAD = {"head/kernel": 0, "head/bias": 1}
STEM = {"stem/kernel": 0, "stem/bias": 1}


def named_layers(model, prefix=""):
    """Pairs of a prefix and a layer, for every layer of a model and of the models within it.

    The prefix is the names of the models within, `"backbone/"`; `""` for the model's own layers.
    """
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from named_layers(layer, f"{prefix}{layer.name}/")
        else:
            yield prefix, layer


def named_weights(model):
    """Pairs of a name and a weight, for every weight of a model.

    The name is the weight's path, `block_3/token_mlp/expand/kernel`; for a nested model its
    name comes first.
    """
    for prefix, layer in named_layers(model):
        for weight in layer.weights:
            yield prefix + path_from(layer, weight), weight


def paths_within(layer):
    """The names of a layer's weights below its own: `token_mlp/expand/kernel`."""
    return [path_from(layer, weight).partition("/")[2] for weight in layer.weights]


def path_from(layer, weight):
    """A weight's path, beginning with the layer: names of outer models are removed."""
    parts = weight.path.split("/")
    return "/".join(parts[parts.index(layer.name) :])
