"""A trained model as the start of another: what it computes on the way, and what stays fixed."""

import re

import keras


def features(model):
    """A model of the same layers and weights that gives what lies on the way to the answer.

    Args:
        model: A model of this package, with or without its top.

    Returns:
        A `keras.Model` whose output is a dict: `stem` and every `block_i` as a map `[B, h, w, C]`,
        and `pre_logits` `[B, C]`, what the head sees.

    Raises:
        ValueError: The model has no layers of those names.

    Source: the names of `out` in big_vision/models/mlp_mixer.py.
    """
    layers = {layer.name: layer for layer in getattr(model, "layers", ())}
    if not {"stem", "map"} <= layers.keys():
        raise ValueError(
            f"features needs a model of this package, with layers 'stem' and 'map'; "
            f"{getattr(model, 'name', model)!r} has {', '.join(layers) or 'no layers'}."
        )
    feature_map = layers["map"].output
    outputs = {}
    for name, layer in layers.items():
        if re.fullmatch(r"stem|block_\d+", name):
            # [B, S, C] -> [B, h, w, C]
            outputs[name] = keras.layers.Reshape(
                (*feature_map.shape[1:3], layer.output.shape[-1]), name=f"{name}_map"
            )(layer.output)
    pool = layers.get("pool") or keras.layers.GlobalAveragePooling2D(
        data_format="channels_last", name="pool"
    )
    outputs["pre_logits"] = pool(feature_map)
    return keras.Model(model.input, outputs, name=f"{model.name}_features")


def freeze(model, until=None):
    """Keeps layers from being trained: `layer.trainable = False`, from the image on.

    As always in Keras, a model that is compiled already must be compiled again.

    Args:
        model: A Keras model.
        until: Name of the last layer to freeze, such as `"block_5"`. `None` for all but `head`.

    Raises:
        ValueError: There is no layer of that name; nothing has changed then.
    """
    names = [layer.name for layer in model.layers]
    if until is not None and until not in names:
        raise ValueError(
            f"freeze needs the name of a layer of '{model.name}'; got {until!r}. There are "
            f"{', '.join(names)}."
        )
    for layer in model.layers:
        if until is not None or layer.name != "head":
            layer.trainable = False
        if layer.name == until:
            break


def unfreeze(model):
    """Lets every layer be trained again; a compiled model must be compiled again."""
    for layer in model.layers:
        layer.trainable = True
