"""The files and folders in a folder of pictures, without those that operating systems add."""

import os
from contextlib import suppress
from pathlib import Path
from unicodedata import normalize

from keras_mixer.data.pictures import PICTURES

# Names, in lower case, that macOS, Windows, disk stations (Synology, QNAP) and file systems add.
IGNORED = (
    *("__macosx", "icon\r", "desktop.ini", "thumbs.db", "ehthumbs.db", "$recycle.bin"),
    *("system volume information", "@eadir", "#recycle", "@recycle", "lost+found"),
)


def nfc(name):
    """A name in Unicode's form NFC. macOS and archives from it write `é` as two characters."""
    return normalize("NFC", str(name))


def existing(path):
    """A folder's path.

    Raises:
        FileNotFoundError: There is no such folder.
        PermissionError: It cannot be opened.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder of images at {str(root)!r}.")
    os.scandir(root).close()
    return root


def folders_in(path):
    """The folders in a folder, in the order of their names: `{name in NFC: path}`.

    A folder that cannot be opened has none; `files_in` names it.

    Raises:
        ValueError: Two folders have the same name in NFC.
    """
    found, folders = {}, []
    with suppress(OSError):
        folders = [entry for entry in _visible(path) if entry.is_dir() and not _holds_itself(entry)]
    for folder in sorted(folders, key=lambda entry: nfc(entry.name)):
        if nfc(folder.name) in found:
            raise ValueError(
                f"{path} has two folders called {folder.name!r}, written with different characters "
                "of Unicode (NFC and NFD). Put their pictures into one of them."
            )
        found[nfc(folder.name)] = Path(folder)
    return found


def files_in(path, deep=True):
    """Yields the files in a folder and, with `deep`, in its folders, in any order.

    Links are followed. Pairs of a path and None, or the reason why it is no file to read: a link to
    nothing or to a folder that holds the link, a folder that cannot be opened, a device or a pipe.
    """
    pending = [(Path(path), ())]
    while pending:
        folder, links = pending.pop()
        try:
            inside = [*_visible(folder)]
        except OSError as error:
            yield folder, f"it cannot be opened ({error.strerror})"
            continue
        for entry in inside:
            if entry.is_file():
                yield Path(entry), None
            elif not entry.is_dir():
                link = entry.is_symlink()
                yield Path(entry), "it is a link to nothing" if link else "it is no ordinary file"
            elif _holds_itself(entry, links):
                yield Path(entry), "it is a link to a folder that holds it"
            elif deep:
                place = (os.path.realpath(folder),) if entry.is_symlink() else ()
                pending.append((Path(entry), links + place))


def _holds_itself(folder, links=()):
    """Whether a folder is a link to a folder that holds it, or one of the links on the way to it.

    Args:
        folder: A `DirEntry`.
        links: The folders of those links.
    """
    if not folder.is_symlink():
        return False
    target = Path(os.path.realpath(folder))
    places = map(Path, (*links, os.path.realpath(Path(folder).parent)))
    return any(target in (place, *place.parents) for place in places)


def in_order(files):
    """Paths in the order of their parts in NFC, the same on every operating system."""
    return sorted(files, key=lambda path: [nfc(part) for part in path.parts])


def is_picture(path):
    """Whether a file has the name of a picture."""
    return path.suffix.lower() in PICTURES


def has_picture(path, deep=True):
    """Whether a folder holds a file with the name of a picture."""
    return any(is_picture(file) for file, problem in files_in(path, deep) if not problem)


def _visible(path):
    with os.scandir(path) as entries:
        for entry in entries:
            if not entry.name.startswith(".") and entry.name.casefold() not in IGNORED:
                yield entry
