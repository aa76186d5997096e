"""A run's record: what the run is. Its folder keeps it, and a resumed run must have the same."""

import json
import re
from pathlib import Path

from keras_mixer._runs import recorded
from keras_mixer._text import listed
from keras_mixer.training.recipes import Recipe

FINGERPRINT = "fingerprint "  # how `_flat` begins the names of the fields of `fingerprint`
# Fields that may change on resume. The text of `images` and `held_out` already says what `origin`
# says, and records of older versions have no `origin`; they have `layers` instead of
# `layer_arguments`, a fingerprint of layers that had other arguments.
MAY_CHANGE = ("recipe name", "recipe source", "origin", "layers")
# The text of `images` where some of a folder is held out, in records without `origin`.
BUT_EVERY = re.compile(r"(?P<folder>.*), but every (?P<every>\d+)th: .*", re.S)


def record_of(run):
    """A run's record: its recipe, images, classes and more.

    Args:
        run: The run's folder, or a model file in it.

    Returns:
        A dict, whose `recipe` is a `Recipe`; None where there is no run.
    """
    folder = Path(run).parent if Path(run).suffix == ".keras" else Path(run)
    record = recorded(folder)
    if record is None:
        return None
    try:
        record |= {"recipe": Recipe(**record["recipe"])}
        return record if "origin" in record else record | {"origin": _old_origin(record)}
    except (KeyError, TypeError, ValueError):
        return None


def held_out_as(record, folder):
    """The arguments of `data.hold_out` with which a run divided a folder.

    Returns:
        `{"share": ...}` or, in older runs, `{"every": ...}`; None where the run did not divide this
        folder.
    """
    images = record["origin"]["images"]
    paths = {Path(images[key]).resolve() for key in ("folder", "absolute") if key in images}
    if Path(folder).expanduser().resolve() not in paths:
        return None
    if "but_every" in images:
        return {"every": images["but_every"]}
    return {"share": images["share"]} if "share" in images else None


def differences(kept, now):
    """What another run would be resumed with: sentences, one a field. Empty for the same run."""
    kept, now = dict(_flat(kept)), dict(_flat(json.loads(json.dumps(now))))
    changed = [key for key in kept if now.get(key) != kept[key]]  # an older one has fewer fields
    images = [key for key in changed if key.startswith(FINGERPRINT)]
    said = [
        f"{key} was {kept[key]!r} and is now {now.get(key)!r}"
        for key in changed
        if key not in images
    ]
    others = [key.removeprefix(FINGERPRINT) for key in images if kept[key] and now.get(key)]
    if others:
        said.append(
            f"other pictures than before are in {listed(others)}: some were added, removed, "
            "renamed, relabelled or replaced"
        )
    return said


def _flat(record):
    """The fields that must be the same; those of a dict are called `"recipe epochs"`."""
    for key, value in record.items():
        inner = isinstance(value, dict) and key not in MAY_CHANGE
        fields = {f"{key} {k}": v for k, v in value.items()} if inner else {key: value}
        yield from ((name, field) for name, field in fields.items() if name not in MAY_CHANGE)


def _old_origin(record):
    """`origin` of a record that was written before there was one."""
    found = BUT_EVERY.fullmatch(record["images"])
    if not found:
        return {"images": {}, "held_out": None}
    folder, every = found["folder"], int(found["every"])
    return {
        "images": {"folder": folder, "but_every": every},
        "held_out": {"folder": folder, "every": every},
    }
