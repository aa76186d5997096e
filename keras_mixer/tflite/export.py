"""Exports a Keras model to a folder with everything that an app needs."""

import io
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import keras
import numpy as np

from keras_mixer._extras import needs
from keras_mixer._files import check_new, whole_file
from keras_mixer._keras import activation_of, last_operation
from keras_mixer._types import Images, InputRange, Labels, StrPath
from keras_mixer.images import PIXELS, preprocessing
from keras_mixer.tasks import TASKS, task_of
from keras_mixer.tflite.android import assets_of, check_others
from keras_mixer.tflite.card import CARD, INPUT, MARK, PICTURE, card
from keras_mixer.tflite.convert.convert import convert
from keras_mixer.tflite.convert.model import image_shape
from keras_mixer.tflite.convert.recipes import find
from keras_mixer.tflite.examples import are_pictures
from keras_mixer.tflite.file.content import content_of
from keras_mixer.tflite.file.labels import check_labels, read_labels, to_lines
from keras_mixer.tflite.file.metadata import LABELS, Metadata, with_metadata
from keras_mixer.tflite.file.runtimes import runtimes_of
from keras_mixer.tflite.run.runner import Runner
from keras_mixer.tflite.run.verify import verify

with needs(__name__):
    from PIL import Image


def export(
    model: keras.Model,
    folder: StrPath | None = None,
    recipe: str = "float32",
    *,
    labels: Labels | None = None,
    calibration: Images | None = None,
    keep_float: str | Iterable[str] = (),
    input_range: InputRange | None = None,
    data: Images | None = None,
    name: str | None = None,
    description: str = "",
    version: str = "",
    author: str = "",
    license: str = "",
    overwrite: bool = False,
    task: str | None = None,
    float16_arithmetic: bool | None = None,
    android: StrPath | None = None,
) -> Path:
    """Converts a model and writes the `.tflite` file, test data for an app and a model card.

    - `model_<recipe>.tflite`: the file, with metadata in it; see `with_metadata`.
    - `labels.txt`: the class names, one per line, if `labels` are given.
    - `golden.png`, `golden_input.bin`, `golden_output_<recipe>.bin`: a picture, the picture scaled
      for the model, and the scores that the file gives for it here, to test an app with. The `.bin`
      files are float32 numbers, little-endian, in the tensors' order and without a header, which
      Kotlin reads with a `ByteBuffer`. There is no picture if the model takes neither 1 nor 3
      channels.
    - `README.md`: a model card that says how to use the files.

    A folder may hold files of several recipes: the card lists all of them, and what they share may
    exist already.

    Args:
        model: A Keras model, `[B, H, W, C] -> [B, scores]`, as `convert` takes it.
        folder: The folder to write to. It is created if it does not exist.
        recipe: As in `convert`. Input and output tensors are float32, as MediaPipe needs them.
        labels: Class names in the order of the scores: a sequence, or the path of a text
            file with one name per line. For one score, yes or no, the name of class 1, or those of
            both classes, class 1 second; `labels.txt` then has that of class 1.
        calibration, keep_float, float16_arithmetic: As in `convert`.
        input_range: The values of a black and of a white pixel, if the model does not state them;
            see `keras_mixer.preprocessing`. The file takes the same scale. If the scale differs by
            channel, which MediaPipe does not support, the file takes pixels from 0 to 255 instead
            and, where possible, the normalisation is folded into the stem.
        data: Test images, to state the file's accuracy in the card: the path of a folder with one
            folder of pictures for each class, or of a `.npz` with `images` and `labels`, or
            anything else that `verify` takes. For a folder the card has the accuracy with the crop
            of the model's evaluation and with MediaPipe's.
        name: The model's name in the metadata; by default its own name.
        description: What the model does, in a sentence or two.
        version: The model's version.
        author: The model's author.
        license: The licence, such as `"Apache-2.0"`.
        overwrite: Whether to replace files that exist and differ.
        task: What the scores are, as in `verify`; the card says so. One score that is not from a
            sigmoid is a quantity, or with `labels` the logit of class 1.
        android: A project of Android Studio, such as `tflite/android` in this repository: its
            folder, or that of its app module. The file is written to the app's assets, the golden
            files to those of its tests on a device (`src/androidTest/assets`).

    Returns:
        The path of the `.tflite` file, in the folder if there is one.

    Raises:
        FileExistsError: A file exists already and `overwrite` is not set; or the folder has a
            `README.md` that `export` did not write, or files of another model, which are never
            replaced.
        FileNotFoundError: There is no file of labels, or no Android project, at that path.
        ValueError: There is neither a folder nor an Android project, or the folder is that of its
            assets; labels do not match the classes or the task; `input_range` is missing or wrong;
            or as in `convert` and `verify`.
        RuntimeError: Keras runs on another backend than TensorFlow.

        After an error nothing has been written.
    """
    who = "export"
    if folder is None and android is None:
        raise ValueError(
            f"{who} needs a folder to write to, an Android project (android=), or both."
        )
    folder, recipe = None if folder is None else Path(folder), find(recipe).name
    assets, tests = (None, None) if android is None else assets_of(android)
    if folder and assets and folder.resolve() in (assets.resolve(), tests.resolve()):
        raise ValueError(
            f"{who} puts files for an app into {folder} by android= (--android) already; leave the "
            "folder (--output) out, or choose another."
        )
    shape = image_shape(model, who)
    classes = _classes(model, who)
    labels = () if labels is None else read_labels(labels)
    chosen = task or ("binary" if labels and classes == 1 else None)
    found = task_of(activation_of(last_operation(model)), classes, who, task=chosen)
    of_scores = found.named(labels, who)
    check_labels(of_scores, classes, who)
    of_model = preprocessing(model, input_range=input_range)
    by_channel = not all(isinstance(value, float) for value in of_model.input_range)
    of_file = of_model.ranging(PIXELS) if by_channel else of_model
    pixels = golden_picture(shape)
    image = of_file.scaled(pixels)
    contents = {INPUT: _raw(image)} | ({LABELS: to_lines(of_scores).encode()} if labels else {})
    file, output = f"model_{recipe}.tflite", f"golden_output_{recipe}.bin"
    others, replaced = [], {CARD, INPUT, LABELS}  # what may be replaced is checked here
    files = {}  # those that the card lists
    if folder:
        others = _check_own(folder, folder, file, output, overwrite)
        _check_shared(folder, contents, others, overwrite)
        replaced |= {PICTURE} if others else set()
        files = {path.name: content_of(path)[1] for path in others}
    if assets:
        check_others(assets, tests, file, INPUT, contents[INPUT], labels)
        _check_own(assets, tests, file, output, overwrite)

    metadata = Metadata(
        name=name or model.name,
        description=description,
        version=version,
        author=author,
        license=license,
        input_range=of_file.input_range,
        labels=labels,
    )
    content = convert(
        model,
        recipe,
        calibration=calibration,
        keep_float=keep_float,
        input_range=of_model.input_range,
        pixels=by_channel,
        float16_arithmetic=float16_arithmetic,
    )
    content = with_metadata(content, metadata)
    scores = Runner(content)(image)
    files[file] = content
    sizes = {name: len(content) for name, content in files.items()}
    runtimes = {name: runtimes_of(content) for name, content in files.items()}
    reports = [
        (
            crop,
            verify(
                *(model, content, data),
                cut_as=cut_as,
                input_range=of_model.input_range,
                labels=labels or None,
                task=chosen,
            ),
        )
        for crop, cut_as in _crops(data)
    ]
    if reports:  # labels tell more than the model alone
        found = TASKS[reports[0][1].task](found.units, found.activation)
    text = card(metadata, shape, found, sizes, runtimes, scores, of_file, reports)
    contents |= {
        CARD: text.encode(),
        file: content,
        output: _raw(scores),
    }
    if shape[-1] in (1, 3):
        contents[PICTURE] = _png(pixels)
    written = {folder / key: key for key in contents} if folder else {}
    if assets:
        written |= {assets / file: file}
        written |= {tests / key: key for key in (PICTURE, INPUT, output) if key in contents}
    with ExitStack() as stack:  # files get their names when all of them are written
        for path, key in written.items():
            may_replace = overwrite or key in replaced or path == (tests and tests / PICTURE)
            stack.enter_context(whole_file(path, may_replace)).write_bytes(contents[key])
    return (folder or assets) / file


def _crops(data):
    """Crops of test images: pairs of a name for the card and `cut_as` for `verify`."""
    if data is None:
        return ()
    if not are_pictures(data):
        return [("as they are given", None)]
    return [("as trained", None), ("as MediaPipe does", "mediapipe")]


def golden_picture(shape):
    """A test picture that is asymmetric and differs between channels, uint8 [H, W, C].

    Brightness increases in a different direction in each channel and is inverted inside a disc.
    Integer arithmetic makes it the same on every machine.
    """
    height, width, channels = shape
    y, x = np.mgrid[:height, :width]
    across, down = 255 * x // max(width - 1, 1), 255 * y // max(height - 1, 1)
    directions = across, down, 255 - (across + down) // 2
    inside = (2 * x + 1 - width) ** 2 + (2 * y + 1 - height) ** 2 < min(height, width) ** 2 // 4
    planes = [np.where(inside, 255 - d, d) for d in directions]
    return np.stack([planes[c % 3] for c in range(channels)], -1).astype(np.uint8)


def _classes(model, who):
    shape = tuple(model.outputs[0].shape)
    if len(shape) != 2 or shape[1] is None:
        raise ValueError(
            f"{who} needs a classifier, [B, H, W, C] -> [B, classes]; the output of "
            f"'{model.name}' is {shape}. keras_mixer.tflite.convert converts other models of one "
            "image."
        )
    return shape[1]


def _check_own(folder, golden, file, output, overwrite):
    """Raises an OSError if a file may not be written; returns a folder's other models."""
    for path in (folder / file, golden / output):
        check_new(path, overwrite)
    return [path for path in sorted(folder.glob("model_*.tflite")) if path.name != file]


def _check_shared(folder, contents, others, overwrite):
    """Raises FileExistsError if the folder has files of another model."""
    for name in (INPUT, LABELS):
        path = folder / name
        existing = path.read_bytes() if path.is_file() else None
        if existing == contents.get(name) or (existing is None and not others):
            continue
        if others or name not in contents:
            raise FileExistsError(
                f"{folder} has files of a model with other images or classes: {name} differs. "
                "Export into another folder."
            )
        check_new(path, overwrite)
    path = folder / CARD
    if path.exists() and not path.read_bytes().startswith(MARK.encode()):
        raise FileExistsError(
            f"{path} exists already, and export did not write it. Export into another folder."
        )


def _raw(values):
    return values.astype("<f4").tobytes()


def _png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(file, "PNG")
    return file.getvalue()
