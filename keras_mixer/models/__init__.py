"""Model builders, one file a paper. The folder is the index; variants stand at a file's foot."""

from difflib import get_close_matches
from fnmatch import fnmatch
from importlib import import_module
from pkgutil import iter_modules

_papers = [
    import_module(f"{__name__}.{m.name}") for m in iter_modules(__path__) if m.name[0] != "_"
]
BUILDERS = {
    name: value
    for paper in _papers
    for name, value in vars(paper).items()
    if hasattr(value, "sizes")
}


def list_models(pattern="*"):
    """Names of the models of fixed size, in the order of their papers' tables.

    Args:
        pattern: Which names to list, in shell style and whatever their case: `"Mixer*16"`.
    """
    rows = (name for name, builder in BUILDERS.items() if builder.sizes)
    return [name for name in rows if fnmatch(name.lower(), pattern.lower())]


def builder(name):
    """The builder of that name.

    Raises:
        ValueError: There is none.
    """
    if name not in BUILDERS:
        lower = {known.lower(): known for known in BUILDERS}
        close = get_close_matches(str(name).lower().replace("_", ""), lower, n=1)
        hint = (
            f"Did you mean {lower[close[0]]!r}?" if close else f"There are {', '.join(BUILDERS)}."
        )
        raise ValueError(f"There is no model called {name!r}. {hint}")
    return BUILDERS[name]


def create_model(name, /, **arguments):
    """Builds a model from its name: `create_model("MixerB16", classes=10)`.

    Args:
        name: A name from `list_models()`, or that of a builder that asks for its sizes
            (`"MlpMixer"`).
        **arguments: What that builder takes; see `help(keras_mixer.MixerB16)`.

    Returns:
        A `keras.Model`.

    Raises:
        ValueError: There is no model of that name.
        TypeError: The builder does not take one of the arguments.
    """
    return builder(name)(**arguments)
