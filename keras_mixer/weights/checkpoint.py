"""Named arrays -> a model's weights: all of them, or one complete error and none."""

import contextlib
import os
import re
import warnings
from collections import Counter
from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path

import keras
import numpy as np

from keras_mixer._files import whole_file
from keras_mixer._keras import inner_layers
from keras_mixer._runs import model_file
from keras_mixer._text import listed
from keras_mixer._types import StrPath
from keras_mixer.images import Preprocessing, carrier
from keras_mixer.layers import ImagePreprocessing, PatchEmbed, Residual
from keras_mixer.weights import files, layouts
from keras_mixer.weights.difference import difference, inside
from keras_mixer.weights.names import HEAD, STEM, named_layers, named_weights
from keras_mixer.weights.timm import preprocessing_beside

LORA = "lora_kernel_a", "lora_kernel_b"  # weights of Keras's layers beside their kernel
# Name of an architecture -> its layouts, the official one first.
LAYOUTS: dict[str, Sequence[layouts.Layout]] = {}


def register_layouts(architecture: str, known: Sequence[layouts.Layout]) -> None:
    """Registers an architecture's layouts under its name for `load_weights` and `save_weights`."""
    LAYOUTS[architecture] = known


class Checkpoint:
    """The arrays of one file, found by the names of our weights.

    Attributes:
        path: The file.
        layout: The layout of its names and arrays; None for Keras's own files.
        image_size: Height and width of the images for which it was trained, as the stem gets them;
            None where nothing says it.
        settings: What layers are set to where its weights come from: those of its layout, or of the
            model in a `.keras` file; empty for a `.weights.h5`, which does not say.
    """

    def __init__(self, path: StrPath, known: Sequence[layouts.Layout]):
        self.path = Path(path)
        self.arrays = files.read(path)
        self.image_size = None
        self.layout, self.settings, self._saved, self._changed = None, {}, None, {}
        if self.path.name.endswith(files.KERAS):
            if self.path.suffix == ".keras":
                self._read_configs(files.configs(path), known)
            return
        self.layout = layouts.choose(known, self.arrays) if known else None
        if not known:
            raise ValueError(
                f"{path} is a file of other code, and no other code has weights of this "
                "architecture. Take one of Keras's own files, .keras or .weights.h5."
            )
        if self.layout is None:
            some = ", ".join([*self.arrays][:5]) or "no array at all"
            raise ValueError(
                f"{path} is not a checkpoint of this architecture: it holds {some}"
                f"{', ...' if len(self.arrays) > 5 else ''}. It knows "
                f"the layouts {listed(layout.name for layout in known)}, and Keras's own files."
            )
        self.settings = self.layout.settings
        self._ours = self.layout.read(self.arrays)

    def __str__(self):
        return self.path.name

    def _read_configs(self, configs, known):
        """Reads settings and `Preprocessing` from the layers of a `.keras` file."""
        for name, example in {k: v for each in known for k, v in each.settings.items()}.items():
            values = [config[name] for _, config in configs if name in config]
            same = all(value == values[0] for value in values)  # as in every model of a builder
            if values and same and isinstance(values[0], type(example)):
                self.settings[name] = values[0]
        stems = [config["input_shape"] for kind, config in configs if kind == PatchEmbed.__name__]
        if len(stems) == 1 and stems[0]:
            self.image_size = tuple(stems[0][1:3])
        images = [config for kind, config in configs if kind == ImagePreprocessing.__name__]
        if not images or "mean" not in images[0]:
            return  # a file from before models had one
        fields = images[0].keys() & Preprocessing().as_dict().keys()
        # Fields of a later date, such as `library`, have the values of before by default.
        with contextlib.suppress(TypeError, ValueError):
            self._saved = Preprocessing(**{field: images[0][field] for field in fields})

    @cached_property
    def preprocessing(self):
        """The `Preprocessing` that it was trained for; None where nothing says it.

        That of the model in a `.keras` file; for other files it is found in the `config.json` of
        timm beside the file, or by the file's name.
        """
        if self.layout is None:
            return self._saved
        words = _words_of_name(self.path)
        named = (found for word, found in self.layout.named.items() if word in words)
        return preprocessing_beside(self.path) or next(named, None)

    def find(
        self, path: str, index: int
    ) -> tuple[tuple[str, ...], np.ndarray | layouts.Misfit | None]:
        """The file's own names of a weight's arrays, and the weight; `()` and None without it.

        The weight is a `layouts.Misfit` if its arrays cannot be converted.

        Args:
            path: Our name of the weight.
            index: The weight's index in its layer.
        """
        own, weight = self._find(path, index)
        return own, self._changed.get(path, weight)

    def _find(self, path, index):
        if self.layout is not None:
            return self._ours.get(path, ((), None))
        name = f"{path.rpartition('/')[0]}/{index}"
        return ((name,), self.arrays[name]) if name in self.arrays else ((), None)

    @property
    def head(self):
        """The file's own names of its head's arrays."""
        return {own for name, index in HEAD.items() for own in self.find(name, index)[0]}

    @property
    def ignored(self):
        """The file's own names of arrays that no weight needs."""
        return self.layout.ignored(self.arrays) if self.layout else set()

    @property
    def channels(self):
        """The number of channels of the images that its stem takes; None without a stem."""
        _, kernel = self.find("stem/kernel", STEM["stem/kernel"])
        fits = isinstance(kernel, np.ndarray) and kernel.ndim == 4  # [P, P, C_in, C]
        return kernel.shape[2] if fits else None

    def sum_channels(self, colour: Preprocessing, grey: Preprocessing) -> None:
        """Makes its stem that of one channel: a grey image gets what it got in equal channels.

        The stem is a product of each patch, so that the difference between the mean and deviation
        of each channel and those of grey is part of its weights exactly.

        Args:
            colour: The images that the weights were trained for.
            grey: The images of one channel.
        """
        kernel, bias = (self.find(*item)[1].astype(np.float64) for item in STEM.items())
        mean, std = (np.reshape(v, (-1, 1)) for v in (colour.mean, colour.std))
        shifted = bias + (kernel * (grey.mean - mean) / std).sum((0, 1, 2))
        summed = (kernel * grey.std / std).sum(2, keepdims=True)
        self._changed = dict(zip(STEM, map(np.float32, (summed, shifted)), strict=True))

    @property
    def classes(self):
        """The number of classes of its head; None without a head."""
        _, bias = self.find("head/bias", HEAD["head/bias"])
        return bias.size if isinstance(bias, np.ndarray) else None


def load_weights(model: keras.Model, path: str | os.PathLike) -> None:
    """Loads a checkpoint file into a model: every weight, or none and one complete error.

    Args:
        model: A built model of this package, one that contains such a model and no other weights,
            or, for Keras's own files, any Keras model.
        path: A file of Google's (`.npz`, in the released layout or the one before it), of timm's
            (`.safetensors`, or `.pth`, `.pt`, `.bin`, read without running what is in them), or of
            Keras's own (`.weights.h5`, `.keras`); or the folder of a run, for its best model's.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged, of another kind, or does not fit. The message lists all
            that is only in the file, all that is only in the model and every shape that differs.

    Warns:
        UserWarning: The file comes from code, or from a saved model, with another form of GELU than
            the model's or another epsilon, or was trained for other images. A `.weights.h5` says
            neither, so nothing is compared.
    """
    _check_model(model, "load_weights")
    path, known = model_file(path), layouts_of(model)
    if not known and not str(path).endswith(files.KERAS):
        raise _foreign(model, path, "load_weights")
    checkpoint = Checkpoint(path, known)
    assign(model, checkpoint, "load_weights")
    _check_images(model, checkpoint)
    wanted, has = _differing(model, checkpoint.settings, every_layer=checkpoint.layout is not None)
    if wanted:
        comes = "comes from code with" if checkpoint.layout else "was saved from a model with"
        warnings.warn(
            f"load_weights: {checkpoint} {comes} {wanted}, and '{model.name}' has {has}: its "
            f"outputs will differ slightly. For the same outputs it needs {wanted}.",
            stacklevel=2,
        )


def save_weights(
    model: keras.Model,
    path: str | os.PathLike,
    layout: str | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Writes a model's weights in the layout of another code base, which can then load them.

    Args:
        model: A built model of this package, or one that contains such a model and no other
            weights.
        path: Where to write: a `.npz` of Flax's names and arrays, or a `.safetensors` of PyTorch's.
            It appears there whole or not at all. It holds the weights alone, without the model's
            `Preprocessing` and its options such as `gelu`.
        layout: The layout's name, such as `"timm"`; by default the first layout of the model's
            architecture with such files, the official code's if there is one.
        overwrite: Whether an existing file may be replaced.

    Raises:
        FileExistsError: The path exists, and `overwrite` is False.
        ValueError: An unknown suffix or layout, or a model with weights that the layout has no name
            for; nothing is written then.

    Warns:
        UserWarning: The code base of the layout computes with another form of GELU than the model
            or another epsilon, so the same weights give other outputs there.
    """
    _check_model(model, "save_weights")
    path, known = Path(path), layouts_of(model)
    if not known:
        raise _foreign(model, path, "save_weights")
    fitting = [each for each in known if each.suffix == path.suffix and layout in (None, each.name)]
    if not fitting:
        there = listed(f"{each.suffix} ({each.name})" for each in known)
        raise ValueError(
            f"save_weights writes '{model.name}' as {there}; got {str(path)!r}"
            f"{f' and layout={layout!r}' if layout else ''}. For Keras's own files there are "
            "model.save and model.save_weights."
        )
    prefix = _prefix(model)
    weights = dict(named_weights(model))
    unknown = [name for name in weights if not name.startswith(prefix)]
    arrays = {
        name.removeprefix(prefix): keras.ops.convert_to_numpy(w).astype(np.float32, copy=False)
        for name, w in weights.items()
    }
    try:
        if not unknown:
            arrays = fitting[0].write(arrays)
    except KeyError as error:
        unknown = [prefix + name for name in error.args]
    except layouts.MisfitError as error:
        raise ValueError(
            f"save_weights: for the {fitting[0].name} layout {error}; nothing was written."
        ) from None
    if unknown:
        advice = f" To save the model inside it, pass {inside(prefix)}." if prefix else ""
        updates = [name for name in unknown if name.rpartition("/")[2] in LORA]
        if updates:
            unknown = [*updates[:2], *(name for name in unknown if name not in updates)]
            advice += (
                f" Of LoRA there are {len(updates)} such weights. model.save_weights('model.weights"
                ".h5') merges them into the kernels: load that file into such a model without LoRA."
            )
        raise ValueError(
            f"save_weights: the {fitting[0].name} layout has no name for {listed(unknown)} of "
            f"'{model.name}'; nothing was written.{advice}"
        )
    with whole_file(path, overwrite) as temporary:
        files.write(temporary, arrays)
    wanted, has = _differing(model, fitting[0].settings)
    if wanted:
        same = [each for each in known if not any(_differing(model, each.settings))]
        cure = f", or save it as {same[0].suffix} in the {same[0].name} layout" if same else ""
        warnings.warn(
            f"save_weights: {path.name} has the {fitting[0].name} layout, whose code computes with "
            f"{wanted}, and '{model.name}' has {has}: its outputs there will differ slightly. For "
            f"the same outputs train a model with {wanted}{cure}. A model that is built from the "
            f"file needs {has} to compute what '{model.name}' does.",
            stacklevel=2,
        )


def assign(
    model: keras.Model, checkpoint: Checkpoint, who: str, *, without: Collection[str] = ()
) -> None:
    """Assigns a checkpoint's arrays to a model's weights, after all names and shapes are compared.

    Args:
        without: Layers to skip, in the model and in the file.

    Raises:
        ValueError: Something does not fit; nothing has been assigned then.
    """
    prefix = _prefix(model)
    if checkpoint.layout is None and any(name.startswith(prefix) for name in checkpoint.arrays):
        prefix = ""  # Keras's files name the models within, too
    indices, pairs, used = Counter(), [], checkpoint.ignored
    missing, misshapen = {}, {}
    for name, weight in named_weights(model):
        layer = name.rpartition("/")[0]
        known = name.startswith(prefix)
        own, array = (
            checkpoint.find(name.removeprefix(prefix), indices[layer]) if known else ((), None)
        )
        indices[layer] += 1
        used |= {*own}
        if layer in without:
            continue
        if array is None:
            missing[name] = tuple(weight.shape)
        elif isinstance(array, layouts.Misfit):
            misshapen[name] = (tuple(weight.shape), array, own)
        elif array.shape != tuple(weight.shape):
            misshapen[name] = (tuple(weight.shape), array.shape, own)
        else:
            pairs.append((weight, array))
    if "head" in without:  # the file may have one where the model has none
        used |= checkpoint.head
    extra = {name: a.shape for name, a in checkpoint.arrays.items() if name not in used}
    if missing or misshapen or extra:
        raise ValueError(difference(who, model, checkpoint, prefix, missing, misshapen, extra))
    wrong = {weight.path: _no_weights(array, weight.dtype) for weight, array in pairs}
    wrong = [f"{path}: {problem}" for path, problem in wrong.items() if problem]
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise ValueError(
            f"{who}: {checkpoint} holds what cannot be weights; nothing was loaded. "
            f"{'; '.join(wrong[:5])}{more}. Go back to a checkpoint from before training diverged, "
            "or save it again."
        )
    for weight, array in pairs:
        weight.assign(array)
    _check_image_size(model, checkpoint, who)


def _no_weights(array, dtype):
    """Why an array cannot be a weight of a type, or None."""
    if "float" not in dtype:
        return None
    if array.dtype.kind in "bu":
        return f"of type {array.dtype}"
    with np.errstate(over="ignore"):  # float64 beyond float32
        count = array.size - int(np.isfinite(array.astype(np.float32, copy=False)).sum())
    return f"{count} of {array.size} are NaN or infinite" if count else None


def layouts_of(model):
    """The layouts of the architecture that a model was built by, the official one first.

    A model of our layers that does not store its architecture, such as one that an early version
    saved, has the architecture whose names fit most of its weights. Any other model has no layouts.
    """
    layer = carrier(model)
    if layer is not None and layer.architecture in LAYOUTS:
        return LAYOUTS[layer.architecture]
    prefix = _prefix(model)
    paths = {name.removeprefix(prefix): None for name, _ in named_weights(model)}
    candidates = [own for own in LAYOUTS.values() if own]
    known = [
        sum(len(o) for r in own[0].rules for o, _ in r.of_ours(paths) if {*o} <= paths.keys())
        for own in candidates
    ]
    return candidates[known.index(max(known))] if any(known) else ()


def _foreign(model, path, who):
    """The error for a model of whose weights there is no layout."""
    layer = carrier(model)
    if layer is not None and layer.architecture in LAYOUTS:
        return ValueError(
            f"{who} takes files of other code such as {str(path)!r}, and no other code has weights "
            f"of the architecture of '{model.name}', {layer.architecture}. Use Keras's own files: "
            "model.save and model.save_weights, or keras_mixer.load_weights with these."
        )
    some = [name for name, _ in named_weights(model)][:3]
    return ValueError(
        f"{who} needs a model of this package for {str(path)!r}, because it knows the names of no "
        f"other model's weights in files of other code. '{model.name}' is another model: its first "
        f"weights are {listed(some)}. For any model use Keras's own files: "
        "model.save_weights('model.weights.h5') and model.load_weights."
    )


def _prefix(model):
    """The names of the models in which our layers are, `"backbone/"`; `""` for the model itself."""
    prefixes = {
        prefix
        for prefix, layer in named_layers(model)
        if isinstance(layer, Residual) or getattr(layer, "architecture", None) in LAYOUTS
    }
    return prefixes.pop() if len(prefixes) == 1 else ""


def _differing(model, settings, every_layer=True):
    """Settings that layers of a model do not have, as text: what is wanted, and what they have.

    Args:
        settings: Attribute of a layer -> value.
        every_layer: Whether to look at every layer with weights, or only at those of this package.
    """
    wanted, has = {}, {}
    for layer in inner_layers(model):
        ours = keras.saving.get_registered_name(type(layer)).startswith(f"{files.PACKAGE}>")
        for name, value in settings.items() if layer.weights and (every_layer or ours) else ():
            if getattr(layer, name, value) != value:
                wanted[name], has[name] = value, getattr(layer, name)
    return [listed(f"{k}={v!r}" for k, v in each.items()) if each else "" for each in (wanted, has)]


def _check_image_size(model, checkpoint, who):
    """Warns where a file's tokens are as many as the model's, in a grid of another shape."""
    inner = inner_layers(model)
    if not any(isinstance(layer, Residual) and layer.of_one_size for layer in inner):
        return
    stems = [layer for layer in inner if isinstance(layer, PatchEmbed)]
    ours = [tuple(stem.get_build_config()["input_shape"][1:3]) for stem in stems]
    theirs = checkpoint.image_size
    if theirs and len(ours) == 1 and ours[0] != theirs:
        sizes = [" x ".join(map(str, size)) for size in (theirs, ours[0])]
        warnings.warn(
            f"{who}: {checkpoint} was trained for images of {sizes[0]} pixels, and '{model.name}' "
            f"takes {sizes[1]}. They have as many tokens, in another order, so the scores will be "
            "wrong. Build the model for the size of the file, then see "
            "keras_mixer.resize_by_interpolation.",
            stacklevel=4,
        )


def _check_images(model, checkpoint):
    """Warns where a file was trained for other images than the model takes."""
    layer, theirs = carrier(model), checkpoint.preprocessing
    if layer is None or theirs is None:
        return
    ours = layer.preprocessing
    if (ours.mean, ours.std) != (theirs.mean, theirs.std):
        warnings.warn(
            f"load_weights: {checkpoint} was trained for images of mean {theirs.mean} and "
            f"deviation {theirs.std}, and '{model.name}' takes {ours.mean} and {ours.std}: its "
            "answers will be wrong. Build it with weights=, which takes over the file's own.",
            stacklevel=3,
        )


def _words_of_name(path):
    """The words in a file's name, and in that of its folder in the cache of huggingface_hub.

    That folder is called `models--timm--mixer_b16_224.miil_in21k`, and snapshots of it are inside.
    """
    names = [path.name, *(name for name in path.absolute().parts if name.startswith("models--"))]
    return {word for name in names for word in re.split(r"[\W_]+", name.lower())}


def _check_model(model, who):
    if not isinstance(model, keras.Model) or not model.built:
        raise ValueError(f"{who} needs a built Keras model; got {model!r}.")
