"""Transfer learning: feature maps, and freezing of layers."""

import keras

from keras_mixer._checks import check_model
from keras_mixer.layers import Level, Residual


def features(model: keras.Model) -> keras.Model:
    """A model with the same layers and weights, whose outputs are intermediate feature maps.

    Args:
        model: A model of this package, with or without its top.

    Returns:
        A `keras.Model` whose output is a dict:

        - `"levels"`: stride -> the last map of that stride, `[B, H / stride, W / stride, C]`: one
          for a model of one resolution, `{16: ...}`, and one per stage for a pyramid.
        - `"blocks"`: name -> the map after the stem and after each block, `[B, h, w, C]`.
        - `"pre_logits"`: the head's input, `[B, C]`.

    Raises:
        ValueError: The model has no layers `stem` and `map`.

    Source: the names of `out` in big_vision/models/mlp_mixer.py; `feature_info` in timm.
    """
    layers = {layer.name: layer for layer in getattr(model, "layers", ())}
    if not {"stem", "map"} <= layers.keys():
        raise ValueError(
            f"features needs a model of this package, with layers 'stem' and 'map'; "
            f"{getattr(model, 'name', model)!r} has {', '.join(layers) or 'no layers'}."
            f"{_inside(layers.values())}"
        )
    last = layers["map"].output
    # A pyramid has a `Level` at the end of each stage. Patches divide a Mixer's image.
    levels = {
        layer.stride: layer.output for layer in layers.values() if isinstance(layer, Level)
    } or {model.input.shape[1] // last.shape[1]: last}
    blocks = {
        name: _as_map(layer.output, last.shape[1:3], f"{name}_map")
        for name, layer in layers.items()
        if name == "stem" or isinstance(layer, Residual)
    }
    pool = layers.get("pool") or keras.layers.GlobalAveragePooling2D(
        data_format="channels_last", name="pool"
    )
    outputs = {"levels": levels, "blocks": blocks, "pre_logits": pool(last)}
    return keras.Model(model.input, outputs, name=f"{model.name}_features")


def _as_map(x, grid, name):
    """[B, S, C] -> [B, h, w, C] for the grid of tokens; a map is unchanged."""
    if len(x.shape) == 4:
        return x
    return keras.layers.Reshape((*grid, x.shape[-1]), name=name)(x)


def _inside(layers):
    """The advice to pass the model that is a layer of another; empty without one."""
    inner = [layer.name for layer in layers if isinstance(layer, keras.Model)]
    return f" Pass the model inside it: model.get_layer({inner[0]!r})." if inner else ""


def freeze(model: keras.Model, until: str | None = None) -> None:
    """Freezes layers, the first ones or all but the head: `layer.trainable = False`.

    As always in Keras, a compiled model must be compiled again.

    Args:
        model: A Keras model. Without `until` it may contain the model with the head.
        until: Name of the last layer to freeze, such as `"block_5"`; by default all but `head`.

    Raises:
        ValueError: It is not a Keras model; there is no layer of that name; or a model that
            contains another has no `head`. No layer is changed.
    """
    check_model(model, "freeze")
    names = [layer.name for layer in model.layers]
    if until is not None and until not in names:
        raise ValueError(
            f"freeze needs the name of a layer of '{model.name}'; got {until!r}. There are "
            f"{', '.join(names)}.{_inside(model.layers)}"
        )
    if until is None and _inside(model.layers) and not _has_head(model):
        raise ValueError(
            f"freeze leaves the layer 'head' to train, and '{model.name}' has none; it has "
            f"{', '.join(names)}. Pass the last layer to freeze as until=, or the model inside it."
        )
    for layer in model.layers:
        if until is None and isinstance(layer, keras.Model) and _has_head(layer):
            freeze(layer)
        elif until is not None or layer.name != "head":
            layer.trainable = False
        if layer.name == until:
            break


def _has_head(model):
    return any(
        _has_head(layer) if isinstance(layer, keras.Model) else layer.name == "head"
        for layer in model.layers
    )


def unfreeze(model: keras.Model) -> None:
    """Makes every layer trainable; a compiled model must be compiled again.

    Raises:
        ValueError: It is not a Keras model.
    """
    check_model(model, "unfreeze")
    for layer in model.layers:
        layer.trainable = True
