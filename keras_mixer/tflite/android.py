"""Where `export` puts a file in a project of Android Studio."""

from pathlib import Path

from keras_mixer._text import listed
from keras_mixer.tflite.file.metadata import read_metadata


def module_of(project):
    """The folder of a project's app module: `project/app`, or `project` itself.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: Neither is a module of an Android project.
    """
    project = Path(project)
    if not project.is_dir():
        raise FileNotFoundError(f"There is no folder at {str(project)!r}.")
    for folder in (project / "app", project):
        builds = any((folder / name).is_file() for name in ("build.gradle.kts", "build.gradle"))
        if builds and (folder / "src/main/AndroidManifest.xml").is_file():
            return folder
    raise ValueError(
        f"{project} is not a project of Android Studio: neither it nor its folder app has both "
        "build.gradle.kts, or build.gradle, and src/main/AndroidManifest.xml. Pass the folder of "
        "the project or of its app module."
    )


def assets_of(project):
    """The folders of the app's assets and of those of its tests on a device."""
    sources = module_of(project) / "src"
    return sources / "main/assets", sources / "androidTest/assets"


def check_others(assets, tests, file, name, content, labels):
    """Raises FileExistsError if an app has files of another model.

    Args:
        assets, tests: From `assets_of`.
        file: The name of the file to write, model_<recipe>.tflite.
        name, content: The golden input that all files of the app share.
        labels: The names of their classes.
    """
    there = sorted(assets.glob("model_*.tflite"))
    others = [path for path in there if path.name != file]
    golden = tests / name
    if others and golden.is_file() and golden.read_bytes() != content:
        differs = f"{golden} is of a model with other images"
    elif wrong := [path for path in others if getattr(read_metadata(path), "labels", ()) != labels]:
        differs = f"{listed(path.name for path in wrong)} in {assets} has other classes"
    else:
        return
    names = [path.name for path in there]
    names += sorted(path.name for path in tests.glob("golden_*"))
    raise FileExistsError(
        f"{differs}. An app has files of one model; remove {listed(names)} first."
    )
