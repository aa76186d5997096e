"""How far the page in `tflite/web` differs from `Classifier`, in Chromium.

    KERAS_MIXER_TOOLS=TOOLS python -m benchmarks.web

`.ci/tools/web TOOLS/web` fetches the tools. MixerTi4 with its weights for CIFAR-10 is exported
by every recipe, and 20 pictures of smooth noise are dropped on it as PNG and as JPEG. Columns:
the largest difference of a score, and of a pixel of the image, of 255 levels, for PNG and for
JPEG; and how many of the 40 pictures have the same best class.
"""

import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

import keras_mixer
from benchmarks.measure import machine, write_csv
from keras_mixer.tflite import RECIPES, Classifier, export
from keras_mixer.tflite.reading import picture
from keras_mixer.web.litert_js import PACKAGES
from tests.web.browser import CHROMIUM, LACKING, browse

COUNT = 20


def pictures(folder):
    """Paths of pictures, each as PNG and as JPEG, from coarse to fine."""
    for i in range(COUNT):
        random = np.random.default_rng(i)
        small = random.integers(0, 256, (4 + i // 2, 5 + i // 2, 3), np.uint8)
        image = Image.fromarray(small).resize((200 + i, 170), Image.Resampling.BICUBIC)
        image.save(folder / f"{i}.png")
        image.save(folder / f"{i}.jpg", quality=75 + i)
        yield from (folder / f"{i}.png", folder / f"{i}.jpg")


def exported(folder):
    """A folder with MixerTi4 by every recipe."""
    model = keras_mixer.MixerTi4(weights="cifar10")
    labels = keras_mixer.MixerTi4.releases["cifar10"].labels
    random = np.random.default_rng(0)
    small = random.integers(0, 256, (32, 4, 4, 3), np.uint8)
    images = [Image.fromarray(s).resize((32, 32), Image.Resampling.BICUBIC) for s in small]
    for name, recipe in RECIPES.items():
        calibration = np.stack([*map(np.asarray, images)]) if recipe.calibrated else None
        export(model, folder, name, labels=labels, calibration=calibration)
    return folder


def row(recipe, classifier, shown, folder):
    """The differences of one recipe."""
    scores, pixels, same = {"png": [], "jpg": []}, {"png": [], "jpg": []}, 0
    for name, answer in shown.items():
        predictions = classifier(folder / name, top=len(classifier.labels))
        ours = np.array([p.score for p in sorted(predictions)])
        [theirs] = np.array(answer["outputs"])
        kind = name[-3:]
        scores[kind].append(np.abs(theirs - ours).max())
        image = classifier.preprocessing.pixels(
            picture(folder / name, classifier.preprocessing, classifier.runner.shape[-1])
        )
        pixels[kind].append(np.abs(np.ravel(answer["image"]) - image.ravel()).max())
        same += int(theirs.argmax() == ours.argmax())
    return {
        "model": "MixerTi4",
        "recipe": recipe,
        "png_score": f"{max(scores['png']):.2g}",
        "png_level": f"{max(pixels['png']):.1f}",
        "jpeg_score": f"{max(scores['jpg']):.2g}",
        "jpeg_level": f"{max(pixels['jpg']):.1f}",
        "same_class": same,
        "pictures": len(shown),
    }


def main():
    if LACKING:
        raise SystemExit(f"benchmarks.web needs {' and '.join(LACKING)}.")
    chromium = subprocess.run([CHROMIUM, "--version"], capture_output=True, text=True, check=True)
    versions = (
        f"{' '.join(chromium.stdout.split()[:2])} litert.js {PACKAGES[0].version} "
        f"ai-edge-litert {version('ai-edge-litert')}"
    )
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        app = exported(work / "app")
        plan = {"pictures": [*map(str, pictures(work))], "answers": True}
        shown = browse(app, plan, work)["recipes"]
        rows = [
            row(recipe, Classifier(app / f"model_{recipe}.tflite"), shown[recipe], work)
            for recipe in RECIPES
        ]
    about = {"machine": machine(), "versions": versions}
    write_csv("web", [each | about for each in rows])


if __name__ == "__main__":
    main()
