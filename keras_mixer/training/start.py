"""What a run starts from: a model by name, perhaps with weights of another size."""

import ast

from keras_mixer.models import BUILDERS, create_model
from keras_mixer.weights import fetch, resize


def starting_from(model, weights=None, *options):
    """A function that builds a model for `keras_mixer.training.train`.

    Args:
        model: Its name, such as `"MixerB16"`.
        weights: A release or a file, see `keras_mixer.load_weights`. Where the recipe wants larger
            images than they do, the model grows as the paper says, see `keras_mixer.resize`.
        *options: More of its arguments, as text: `"patch_size=4"`.

    Raises:
        ValueError: No such model, or an option that is no `key=value`.
    """
    releases = getattr(BUILDERS.get(model), "weights", {})
    if weights in releases:
        fetch(releases[weights])  # now, where it can be seen
    given = dict(map(_option, options))

    def build(*, input_shape, **arguments):
        arguments |= given
        if weights is None:
            return create_model(model, input_shape=input_shape, **arguments)
        built = create_model(model, weights=weights, **arguments)
        if built.input_shape[1:] == tuple(input_shape):
            return built
        return resize(built, input_shape[0])

    return build


def _option(text):
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"An option of the model is written key=value; got {text!r}.")
    try:
        return key, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return key, value  # a word
