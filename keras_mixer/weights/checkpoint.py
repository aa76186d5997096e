"""Named arrays -> a model's weights: all of them, or one complete error and none."""

import json
import os
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path

import keras
import numpy as np

from keras_mixer._files import whole_file
from keras_mixer._text import listed
from keras_mixer._types import StrPath
from keras_mixer.images import IMAGENET, Preprocessing, carrier
from keras_mixer.layers import Residual
from keras_mixer.weights import files, layouts
from keras_mixer.weights.names import all_layers, named_weights

# Name of an architecture -> its layouts, the official one first.
LAYOUTS: dict[str, Sequence[layouts.Layout]] = {}
HEAD = {"head/kernel": 0, "head/bias": 1}  # its weights, and their places in it


def register_layouts(architecture: str, known: Sequence[layouts.Layout]) -> None:
    """Makes an architecture's layouts known to `load_weights` and `save_weights`, by its name."""
    LAYOUTS[architecture] = known


class Checkpoint:
    """The arrays of one file, to be asked for by our names.

    Attributes:
        path: The file.
        layout: Whose names it uses; None for Keras's own files.
        settings: The builder's options that go with its layout.
    """

    def __init__(self, path: StrPath, known: Sequence[layouts.Layout]):
        self.path = Path(path)
        self.arrays = files.read(path)
        self.layout, self.settings = None, {}
        if self.path.name.endswith(files.KERAS):
            return
        self.layout = layouts.choose(known, self.arrays)
        if self.layout is None:
            some = ", ".join([*self.arrays][:5]) or "no array at all"
            raise ValueError(
                f"{path} is not a checkpoint of this architecture: it holds {some}"
                f"{', ...' if len(self.arrays) > 5 else ''}. Known are "
                f"{listed(layout.name for layout in known)} and Keras's own files."
            )
        self.settings = self.layout.settings
        self._ours = self.layout.read(self.arrays)

    def __str__(self):
        return self.path.name

    @cached_property
    def preprocessing(self):
        """The `Preprocessing` that it was trained for; None where nothing says it.

        It is found in the `config.json` of timm beside the file, or by the file's name.
        """
        if self.layout is None:
            return None
        words = _words_of_name(self.path)
        named = (takes for word, takes in self.layout.named.items() if word in words)
        return _beside(self.path) or next(named, None)

    def find(self, path: str, place: int) -> tuple[tuple[str, ...], np.ndarray | None]:
        """The file's own names of a weight's arrays, and the weight; `()` and None without it.

        Args:
            path: Our name of the weight.
            place: Which of its layer's weights it is, counted from 0.
        """
        if self.layout is not None:
            return self._ours.get(path, ((), None))
        name = f"{path.rpartition('/')[0]}/{place}"
        return ((name,), self.arrays[name]) if name in self.arrays else ((), None)

    @property
    def head(self):
        """The file's own names of its head's arrays."""
        return {own for name, place in HEAD.items() for own in self.find(name, place)[0]}

    @property
    def left_out(self):
        """The file's own names of arrays that no weight needs."""
        return self.layout.left_out(self.arrays) if self.layout else set()

    @property
    def classes(self):
        """How many classes its head tells apart; None without one."""
        _, bias = self.find("head/bias", HEAD["head/bias"])
        return None if bias is None else bias.size


def load_weights(model: keras.Model, path: str | os.PathLike) -> None:
    """Loads a checkpoint file into a model: every weight, or none and one complete error.

    Args:
        model: A built model of this package, or one that contains such a model's layers.
        path: A file of Google's (`.npz`, in the released layout or the one before it), of timm's
            (`.safetensors`, or `.pth`, `.pt`, `.bin`, read without running what is in them), or of
            Keras's own (`.weights.h5`, `.keras`).

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged, of another kind, or does not fit. The message lists all
            that is only in the file, all that is only in the model and every shape that differs.

    Warns:
        UserWarning: The file comes from code with another form of GELU than the model's, or was
            trained for other images.
    """
    _check_model(model, "load_weights")
    checkpoint = Checkpoint(path, layouts_of(model))
    assign(model, checkpoint, "load_weights")
    _check_images(model, checkpoint)
    for layer in all_layers(model):
        for option, value in checkpoint.settings.items():
            if getattr(layer, option, value) != value:
                warnings.warn(
                    f"load_weights: {checkpoint} comes from code with {option}={value!r}, and "
                    f"'{model.name}' has {option}={getattr(layer, option)!r}: its answers will "
                    f"differ a little. Build it with {option}={value!r} for the same ones.",
                    stacklevel=2,
                )
                return


def save_weights(
    model: keras.Model,
    path: str | os.PathLike,
    layout: str | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Writes a model's weights in the layout of another code base, which can then load them.

    Args:
        model: A built model of this package.
        path: Where to write: a `.npz` of Flax's names and arrays, or a `.safetensors` of PyTorch's.
            It appears there whole or not at all.
        layout: The layout's name, such as `"timm"`; by default the first one of the model's
            architecture that is written in such a file, the official code's if there is one.
        overwrite: Whether a file there may be replaced.

    Raises:
        FileExistsError: Something is there already.
        ValueError: Another suffix or layout, or a model with weights that the layout has no name
            for; nothing is written then.
    """
    _check_model(model, "save_weights")
    path, known = Path(path), layouts_of(model)
    fitting = [each for each in known if each.suffix == path.suffix and layout in (None, each.name)]
    if not fitting:
        there = listed(f"{each.suffix} ({each.name})" for each in known)
        raise ValueError(
            f"save_weights writes '{model.name}' as {there}; got {str(path)!r}"
            f"{f' and layout={layout!r}' if layout else ''}. For Keras's own files there are "
            "model.save and model.save_weights."
        )
    arrays = {
        name: keras.ops.convert_to_numpy(weight).astype(np.float32, copy=False)
        for name, weight in named_weights(model)
    }
    try:
        arrays = fitting[0].write(arrays)
    except KeyError as error:
        raise ValueError(
            f"save_weights: the {fitting[0].name} layout has no name for {listed(error.args)} of "
            f"'{model.name}'; nothing was written."
        ) from None
    with whole_file(path, overwrite) as temporary:
        files.write(temporary, arrays)


def assign(
    model: keras.Model, checkpoint: Checkpoint, who: str, *, without: Collection[str] = ()
) -> None:
    """Assigns a checkpoint's arrays to a model's weights, after everything has been compared.

    Args:
        without: Layers to leave alone, in the model and in the file.

    Raises:
        ValueError: Something does not fit; nothing has been assigned then.
    """
    places, pairs, used = Counter(), [], checkpoint.left_out
    missing, misshapen = {}, {}
    for name, weight in named_weights(model):
        layer = name.rpartition("/")[0]
        own, array = checkpoint.find(name, places[layer])
        places[layer] += 1
        used |= {*own}
        if layer in without:
            continue
        if array is None:
            missing[name] = tuple(weight.shape)
        elif array.shape != tuple(weight.shape):
            misshapen[name] = (tuple(weight.shape), array.shape)
        else:
            pairs.append((weight, array))
    if "head" in without:  # the file may have one where the model has none
        used |= checkpoint.head
    extra = {name: a.shape for name, a in checkpoint.arrays.items() if name not in used}
    if missing or misshapen or extra:
        raise ValueError(_difference(who, model, checkpoint, missing, misshapen, extra))
    for weight, array in pairs:
        weight.assign(array)


def layouts_of(model):
    """The layouts of the architecture that a model was built by, the official one first.

    A model of our layers that does not say it, such as one from before that was saved, has the
    architecture whose names fit most of its weights; any other model has no layouts.
    """
    layer = carrier(model)
    if layer is not None and layer.architecture in LAYOUTS:
        return LAYOUTS[layer.architecture]
    paths = {name: None for name, _ in named_weights(model)}
    known = [
        sum(len(o) for r in own[0].rules for o, _ in r.of_ours(paths)) for own in LAYOUTS.values()
    ]
    return [*LAYOUTS.values()][known.index(max(known))] if any(known) else ()


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


# What timm takes for a field that is missing or empty; `resolve_data_config` in its data/config.py.
TIMM = {
    "mean": IMAGENET[0],
    "std": IMAGENET[1],
    "crop_pct": 0.875,
    "crop_mode": "center",
    "interpolation": "bicubic",
    "crop_border_pixels": 0,
}
# timm's names -> ours. "border" pads a picture, "box" and "hamming" weigh pixels otherwise.
TIMM_CROPS = {"center": "resmall_crop", "squash": "resize_crop"}
TIMM_INTERPOLATIONS = {
    **{name: name for name in ("bicubic", "bilinear", "nearest")},
    "lanczos": "lanczos3",
}


def _beside(path):
    """The `Preprocessing` in timm's `config.json` beside a file of weights, or None.

    A field that is missing has the value that timm takes for it. What cannot be followed is named
    in a warning, with what is used instead; the other fields are followed all the same.

    Source: `save_for_hf` in timm/models/_hub.py, `transforms_imagenet_eval` in
    timm/data/transforms_factory.py.
    """
    config = path.with_name("config.json")
    try:
        fields = json.loads(config.read_text("utf-8"))
        fields = fields.get("pretrained_cfg", fields)
        if not fields.keys() & TIMM.keys():
            return None  # the config.json of somebody else
    except (OSError, ValueError, AttributeError):
        return None  # the same, or there is none
    fields = {key: fields.get(key) or value for key, value in TIMM.items()}
    used = {
        "crop_mode": (TIMM_CROPS, "center"),
        "interpolation": (TIMM_INTERPOLATIONS, "bicubic"),
        "crop_border_pixels": ((0,), 0),
    }
    wrong = [key for key, (known, _) in used.items() if fields[key] not in [*known]]
    for key in ("mean", "std", "crop_pct"):
        try:
            Preprocessing(**{"crop_share" if key == "crop_pct" else key: fields[key]})
        except ValueError:
            wrong.append(key)
            used[key] = (), TIMM[key]
    if wrong:
        instead = [f"{key} {fields[key]!r}, so {used[key][1]!r} is used" for key in wrong]
        warnings.warn(
            f"{config} has {'; '.join(instead)}. Accuracy may be lower than timm's. Pass "
            "preprocessing=keras_mixer.Preprocessing(...) to crop images in another way.",
            stacklevel=2,
        )
        fields |= {key: used[key][1] for key in wrong}
    try:
        return Preprocessing(
            mean=fields["mean"],
            std=fields["std"],
            crop=TIMM_CROPS[fields["crop_mode"]],
            crop_share=fields["crop_pct"],
            interpolation=TIMM_INTERPOLATIONS[fields["interpolation"]],
            library="pillow",
        )
    except ValueError as error:  # mean and std of different numbers of channels
        raise ValueError(f"{config}: {error} Correct it, or move it away.") from None


def _words_of_name(path):
    """The words in a file's name, and in that of its folder in the cache of huggingface_hub.

    That folder is called `models--timm--mixer_b16_224.miil_in21k`, and snapshots of it are inside.
    """
    names = [path.name, *(name for name in path.absolute().parts if name.startswith("models--"))]
    return {word for name in names for word in re.split(r"[\W_]+", name.lower())}


def _check_model(model, who):
    if not isinstance(model, keras.Model) or not model.built:
        raise ValueError(f"{who} needs a built Keras model; got {model!r}.")


def _difference(who, model, checkpoint, missing, misshapen, extra):
    of = f" ({checkpoint.layout.name} layout)" if checkpoint.layout else ""
    lines = [f"{who}: {checkpoint}{of} does not fit '{model.name}'; nothing was loaded."]
    for heading, rows in (
        ("Only in the file", {name: f"{shape}" for name, shape in extra.items()}),
        ("Only in the model", {name: f"{shape}" for name, shape in missing.items()}),
        (
            "Of another shape",
            {
                name: f"{shape} in the model, {in_file} in the file"
                for name, (shape, in_file) in misshapen.items()
            },
        ),
    ):
        if rows:
            lines.append(f"{heading}, {len(rows)}:")
            lines += [f"  {name}: {text}" for name, text in _grouped(rows)]
    tiled = {x.name for x in all_layers(model) if isinstance(x, Residual) and x.token_axes}
    if {*misshapen, *missing} <= HEAD.keys() and extra.keys() <= checkpoint.head:
        lines.append("Given to a builder, as weights=, the file would be loaded but for its head.")
    elif not missing and not extra and {name.split("/")[0] for name in misshapen} <= tiled:
        lines.append(
            "For another image size build the model for the size of the file, load it, then "
            "keras_mixer.resize(model, size)."
        )
    return "\n".join(lines)


def _grouped(rows):
    """Rows that differ in one number only, and say the same, as one: `block_{0..11}/norm`."""
    groups = defaultdict(list)
    for name, text in rows.items():
        number = re.search(r"\d+", name)
        split = number.span() if number else (len(name), len(name))
        groups[name[: split[0]], name[split[1] :], text].append(name[slice(*split)])
    for (before, after, text), numbers in groups.items():
        yield f"{before}{_ranges(numbers)}{after}", text


def _ranges(numbers):
    """["0", "1", "2", "5"] -> "{0..2, 5}", and one number as it is."""
    if len(numbers) == 1:
        return numbers[0]
    runs = []
    for n in sorted(map(int, numbers)):
        if runs and n == runs[-1][1] + 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    return "{" + ", ".join(f"{a}" if a == b else f"{a}..{b}" for a, b in runs) + "}"
