"""What the weights of a Keras model are called."""

import keras


def named_weights(model, prefix=""):
    """Pairs of a name and a weight, for every weight of a model.

    The name is the weight's path, `block_3/token_mlp/expand/kernel`; a model within a model puts
    its own name before it.
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
    """A weight's path from a layer on: an outer model may stand before it."""
    parts = weight.path.split("/")
    return "/".join(parts[parts.index(layer.name) :])


def all_layers(model):
    """A model's layers, with those of the models within it."""
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from all_layers(layer)
