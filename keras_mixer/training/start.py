"""The model that a run starts from: by name, perhaps with weights for another image size."""

from collections.abc import Callable

import keras

from keras_mixer._runs import model_file
from keras_mixer._text import did_you_mean, option
from keras_mixer._types import StrPath
from keras_mixer.loading import fetch_release
from keras_mixer.models import builder
from keras_mixer.weights import Checkpoint, resize


def starting_from(
    model: str, weights: StrPath | None = None, *options: str
) -> Callable[..., keras.Model]:
    """A function that builds a model for `keras_mixer.training.train`.

    Args:
        model: Its name, such as `"MixerB16"`.
        weights: A release or a file, see `keras_mixer.load_weights`, or the folder of a run, of
            which the model is taken that `keras_mixer.load_model` takes. If the recipe has larger
            images than the weights, the model is resized as in the paper, see
            `keras_mixer.resize`.
        *options: More arguments of the model, as text: `"patch_size=4"`.

    Returns:
        A function, whose attribute `input_shape` is that of the model where the recipe does not say
        its image size.

    Raises:
        FileNotFoundError: `weights` is a folder without a model, or a `.keras` file that is not
            there.
        ValueError: There is no such model; or an option is not `key=value`, or not an argument of
            the model, or, when the model is built, has a value from which it cannot be built.
    """
    builds = builder(model)
    given = dict(map(option, options))
    unknown = [key for key in given if key not in builds.__signature__.parameters]
    if unknown:
        hint = did_you_mean(unknown[0], builds.__signature__.parameters)
        raise ValueError(f"{model} has no option {unknown[0]!r}. {hint}".rstrip())
    weights = fetch_release(model, weights)  # now, so that the progress of the download is seen
    own = given.get("input_shape", builds.input_shape)
    if weights is not None and weights not in builds.releases:
        weights = model_file(weights)
        if "input_shape" not in given and weights.suffix == ".keras":
            own = Checkpoint(weights, builds.architecture.layouts).image_size or own

    def build(*, input_shape, **arguments):
        shape = {"input_shape": (*own[:2], input_shape[-1]) if weights else input_shape}
        try:
            built = builds(weights=weights, **shape | arguments | given)
        except (ValueError, TypeError) as error:
            if not given:
                raise
            raise ValueError(
                f"{model} cannot be built with {' '.join(options)}: {error}"
            ) from error
        if weights is None or built.input_shape[1:] == tuple(input_shape):
            return built
        return resize(built, input_shape[0])

    build.input_shape = own
    return build
