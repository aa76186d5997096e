"""Names of the weights of a Keras model."""

import keras


def named_weights(model, prefix=""):
    """Pairs of a name and a weight, for every weight of a model.

    The name is the weight's path, `block_3/token_mlp/expand/kernel`; for a nested model its
    name comes first.
    """
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from named_weights(layer, f"{prefix}{layer.name}/")
            continue
        for weight in layer.weights:
            yield prefix + path_from(layer, weight), weight


def paths_within(layer):
    """The names of a layer's weights below its own: `token_mlp/expand/kernel`."""
    return [path_from(layer, weight).partition("/")[2] for weight in layer.weights]


def path_from(layer, weight):
    """A weight's path, beginning with the layer: names of outer models are removed."""
    parts = weight.path.split("/")
    return "/".join(parts[parts.index(layer.name) :])


def all_layers(model):
    """A model's layers, with those of nested models."""
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from all_layers(layer)
