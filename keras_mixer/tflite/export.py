"""A Keras model -> a folder with all that an app's developer needs."""

import io
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from PIL import Image

from keras_mixer._files import check_new, whole_file
from keras_mixer.images import PIXELS, preprocessing
from keras_mixer.tflite.card import CARD, INPUT, MARK, PICTURE, card
from keras_mixer.tflite.convert import recipes
from keras_mixer.tflite.convert.convert import convert, image_shape
from keras_mixer.tflite.file.metadata import (
    LABELS,
    Metadata,
    check_labels,
    gives_probabilities,
    lines,
    read_labels,
    unpacked,
    with_metadata,
)
from keras_mixer.tflite.run.runner import Runner
from keras_mixer.tflite.run.verify import verify


def export(
    model,
    folder,
    recipe="float32",
    *,
    labels=None,
    calibration=None,
    keep_float=(),
    input_range=None,
    data=None,
    name=None,
    description="",
    version="",
    author="",
    license="",
    overwrite=False,
):
    """Converts a model and writes, into `folder`, what an app needs and what explains it.

    - `model_<recipe>.tflite`: the file, with metadata in it; see `with_metadata`.
    - `labels.txt`: the classes, one a line, when `labels` are given.
    - `golden.png`, `golden_input.bin`, `golden_output_<recipe>.bin`: a picture, the same as the
      model takes it, and the scores that the file gives for it here, to check an app with. The
      `.bin` files hold nothing but float32 numbers, little-endian, in the tensors' order, which
      Kotlin reads with a `ByteBuffer` and no library. The picture is not there when the model takes
      neither 1 nor 3 channels.
    - `README.md`: a model card that says how to use all this.

    Several recipes go into one folder: the card lists all, and what they share may be there
    already.

    Args:
        model: A Keras classifier, `[B, H, W, C] -> [B, classes]`, as `convert` takes it.
        folder: Where to write; made if need be.
        recipe: As in `convert`. The ends are float32, as MediaPipe wants them.
        labels: Names of the classes in the order of the scores: a sequence, or the path of a text
            file with one a line.
        calibration, keep_float: As in `convert`.
        input_range: What the model takes for black and for white, where nothing in it says so; see
            `keras_mixer.preprocessing`. The file takes the same; or pixels from 0 to 255, if it
            would differ by channel, which MediaPipe does not know: the normalisation is in the
            stem's weights then, where that can be.
        data: Path of test images, to state the file's accuracy in the card: a folder of one folder
            of pictures a class, or a `.npz` with `images` and `labels`. Pictures are cut in both
            ways, as the model was evaluated and as MediaPipe does.
        name: What to call the model; by default its own name.
        description: What it does, in a sentence or two.
        version: The model's.
        author: Who made it.
        license: Under which terms it may be used, such as `"Apache-2.0"`.
        overwrite: Whether files may be replaced that are there and differ.

    Returns:
        The path of the `.tflite` file.

    Raises:
        FileExistsError: Such a file is there already, and `overwrite` is not set; or a `README.md`
            that `export` has not written, or a `.tflite` file of another model, which it never
            replaces.
        FileNotFoundError: No labels at that path.
        ValueError: Labels that do not match the classes, an `input_range` that is none, a model
            that does not say it, or anything that `convert` refuses.
        RuntimeError: Keras runs on another backend than TensorFlow.

        Nothing has been written then.
    """
    who = "export"
    folder, recipe = Path(folder), recipes.find(recipe).name
    shape = image_shape(model, who)
    classes = _classes(model, who)
    labels = () if labels is None else read_labels(labels)
    check_labels(labels, classes, who)
    takes = preprocessing(model, input_range=input_range)
    by_channel = not all(isinstance(end, float) for end in takes.input_range)
    in_file = takes.ranging(PIXELS) if by_channel else takes
    pixels = golden_picture(shape)
    image = in_file.scaled(pixels)
    contents = {INPUT: _raw(image)} | ({LABELS: lines(labels).encode()} if labels else {})
    file, output = f"model_{recipe}.tflite", f"golden_output_{recipe}.bin"
    for path in (folder / file, folder / output):
        check_new(path, overwrite)
    others = [path for path in sorted(folder.glob("model_*.tflite")) if path.name != file]
    _check_shared(folder, contents, others, overwrite)

    metadata = Metadata(
        name=name or model.name,
        description=description,
        version=version,
        author=author,
        license=license,
        input_range=in_file.input_range,
        labels=labels,
    )
    content = convert(
        model,
        recipe,
        calibration=calibration,
        keep_float=keep_float,
        input_range=takes.input_range,
        pixels=by_channel,
    )
    content = with_metadata(content, metadata)
    scores = Runner(content)(image)
    sizes = {path.name: path.stat().st_size for path in others} | {file: len(content)}
    probabilities = gives_probabilities(unpacked(content, who))
    reports = [
        (words, verify(model, content, data, cut_as=cut_as, input_range=takes.input_range))
        for words, cut_as in _ways_to_cut(data)
    ]
    text = card(metadata, shape, classes, probabilities, sizes, scores, in_file, reports)
    contents |= {
        CARD: text.encode(),
        file: content,
        output: _raw(scores),
    }
    if shape[-1] in (1, 3):
        contents[PICTURE] = _png(pixels)
    again = {CARD, INPUT, LABELS} | ({PICTURE} if others else set())  # looked at above
    with ExitStack() as files:  # none gets its name before all are written
        for key, content in contents.items():
            path = files.enter_context(whole_file(folder / key, overwrite or key in again))
            path.write_bytes(content)
    return folder / file


def _ways_to_cut(data):
    """In which ways test images are cut to size: pairs of words for the card, and `cut_as`."""
    if data is None:
        return ()
    if not Path(data).is_dir():
        return [("as they are given", None)]
    return [("as trained", None), ("as MediaPipe does", "mediapipe")]


def golden_picture(shape):
    """A picture in which every side and channel differs: uint8 [H, W, C].

    Brightness grows along another direction in each channel, inside a disc it is inverted. Whole
    numbers only, so that it is the same on every machine.
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
            f"{who} needs a classifier, [B, H, W, C] -> [B, classes]; '{model.name}' gives "
            f"{shape}. keras_mixer.tflite.convert makes a .tflite file of any model of one image."
        )
    return shape[1]


def _check_shared(folder, contents, others, overwrite):
    """Raises FileExistsError unless what is in a folder is of this model, or may be replaced."""
    for name in (INPUT, LABELS):
        path = folder / name
        there = path.read_bytes() if path.is_file() else None
        if there == contents.get(name) or (there is None and not others):
            continue
        if others or name not in contents:
            raise FileExistsError(
                f"{folder} holds what was exported from a model of other images or classes: {name} "
                "is another there. Export into another folder."
            )
        check_new(path, overwrite)
    path = folder / CARD
    if path.exists() and not path.read_bytes().startswith(MARK.encode()):
        raise FileExistsError(
            f"{path} exists already, and export has not written it. Export into another folder."
        )


def _raw(values):
    return values.astype("<f4").tobytes()


def _png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(file, "PNG")
    return file.getvalue()
