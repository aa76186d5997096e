"""timm's `config.json` beside a file of weights -> what images they were trained for."""

import json
import warnings

from keras_mixer.images import IMAGENET, Preprocessing

# What timm takes for a field that is missing or empty; `resolve_data_config` in its data/config.py.
DEFAULTS = {
    "mean": IMAGENET[0],
    "std": IMAGENET[1],
    "crop_pct": 0.875,
    "crop_mode": "center",
    "interpolation": "bicubic",
    "crop_border_pixels": 0,
}
# timm's names -> ours. "border" pads a picture, "box" and "hamming" weigh pixels otherwise.
CROPS = {"center": "resmall_crop", "squash": "resize_crop"}
INTERPOLATIONS = {
    **{name: name for name in ("bicubic", "bilinear", "nearest")},
    "lanczos": "lanczos3",
}


def preprocessing_beside(path):
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
        if not fields.keys() & DEFAULTS.keys():
            return None  # the config.json of somebody else
    except (OSError, ValueError, AttributeError):
        return None  # the same, or there is none
    fields = {key: fields.get(key) or value for key, value in DEFAULTS.items()}
    used = {
        "crop_mode": (CROPS, "center"),
        "interpolation": (INTERPOLATIONS, "bicubic"),
        "crop_border_pixels": ((0,), 0),
    }
    wrong = [key for key, (known, _) in used.items() if fields[key] not in [*known]]
    for key in ("mean", "std", "crop_pct"):
        try:
            Preprocessing(**{"crop_share" if key == "crop_pct" else key: fields[key]})
        except ValueError:
            wrong.append(key)
            used[key] = (), DEFAULTS[key]
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
            crop=CROPS[fields["crop_mode"]],
            crop_share=fields["crop_pct"],
            interpolation=INTERPOLATIONS[fields["interpolation"]],
            library="pillow",
        )
    except ValueError as error:  # mean and std of different numbers of channels
        raise ValueError(f"{config}: {error} Correct it, or move it away.") from None
