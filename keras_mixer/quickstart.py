"""A small complete example: train a Mixer on real images, export it and verify the files."""

import json
import platform
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from keras_mixer._extras import needs

with needs(__name__):
    import ai_edge_litert  # noqa: F401  needed later for conversion; checked before training
    import litert_quantizer  # noqa: F401
    from matplotlib.figure import Figure
    from PIL import Image
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

from keras_mixer._backend import jit_compile
from keras_mixer._files import check_new, whole_file
from keras_mixer._quiet import quiet
from keras_mixer.images import Preprocessing
from keras_mixer.models.mlp_mixer import MlpMixer
from keras_mixer.tflite import convert, verify
from keras_mixer.tflite.convert.model import check_backend

RECIPES = ("float32", "dynamic_int8", "int8")
TFLITES = {recipe: f"model_{recipe}.tflite" for recipe in RECIPES}
FILES = ("model.keras", *TFLITES.values(), "held_out.npz", "digit.png", "report.json", "report.png")

# Chosen among a dozen settings by the accuracy on the held-out third, so that this accuracy is
# slightly optimistic. No held-out digit is used for training.
BATCH, LEARNING_RATE, WEIGHT_DECAY = 64, 3e-3, 0.05
HELD_OUT = 1 / 3
CALIBRATION = 128  # calibration images for int8


def quickstart(folder="quickstart", *, epochs=40, seed=0, overwrite=False, console=None):
    """Trains a small Mixer on scikit-learn's 1,797 handwritten digits and exports three files.

    Every file is run with LiteRT on the held-out third of the digits and compared with the Keras
    model. The function prints one table and writes into `folder`: `model.keras`,
    `model_<recipe>.tflite`, `held_out.npz` (images and labels), `digit.png` (one of them),
    `report.json` and `report.png`.

    Args:
        folder: The folder to write to.
        epochs: Number of epochs.
        seed: Seed of the initial weights, the order of images and MixUp.
        overwrite: Whether files of an earlier run may be replaced.
        console: A `rich.console.Console` to print on.

    Returns:
        The report, as a dict.

    Raises:
        FileExistsError: One of the files exists already. This is checked before training.
        NotADirectoryError: `folder` is a file.
        ValueError: `epochs` is less than 1.
        RuntimeError: Keras's backend is not TensorFlow.
    """
    if epochs < 1:
        raise ValueError(f"quickstart needs epochs to be 1 or more; got {epochs}.")
    check_backend("quickstart")
    folder = Path(folder)
    for name in FILES:
        check_new(folder / name, overwrite)
    console = console or Console(markup=False)
    keras.utils.set_random_seed(seed)

    images, labels, held_out_images, held_out_labels = digits()
    model = small_mixer(images.shape[1:])
    console.print(
        f"Training a Mixer of {model.count_params():,} parameters on {len(images):,} handwritten "
        f"digits; {len(held_out_images)} more are held out."
    )
    history = train(model, (images, labels), (held_out_images, held_out_labels), epochs, console)

    contents, reports = {}, {}
    for recipe, name in TFLITES.items():
        with console.status(f"Exporting and checking {name}"), quiet():
            calibration = images[:CALIBRATION] if recipe == "int8" else None
            contents[name] = convert(model, recipe, calibration=calibration)
            reports[name] = verify(model, contents[name], (held_out_images, held_out_labels))

    accuracy = reports[TFLITES["float32"]].keras_accuracy
    report = {
        "data": "scikit-learn's load_digits",
        "training_images": len(images),
        "held_out_images": len(held_out_images),
        "parameters": model.count_params(),
        "epochs": epochs,
        "seed": seed,
        "keras_accuracy": accuracy,
        "files": {name: report.as_dict() for name, report in reports.items()},
        "history": {key: [float(v) for v in values] for key, values in history.items()},
        "machine": platform.platform(),
        "versions": {name: version(name) for name in ("keras-mixer", "keras", "ai-edge-litert")},
    }
    figure = picture(
        history, held_out_images, held_out_labels, model.predict(held_out_images, verbose=0)
    )

    # Everything is computed before anything is written, so that an interrupted run leaves no files.
    writers = {
        "model.keras": model.save,
        **{name: lambda path, c=content: path.write_bytes(c) for name, content in contents.items()},
        "held_out.npz": lambda path: np.savez_compressed(
            path, images=held_out_images, labels=held_out_labels
        ),
        "digit.png": lambda path: Image.fromarray(_pixels(held_out_images[0])).save(path),
        "report.json": lambda path: path.write_text(json.dumps(report, indent=2) + "\n"),
        "report.png": lambda path: figure.savefig(path, dpi=120),
    }
    for name, write in writers.items():
        with whole_file(folder / name, overwrite) as path:
            write(path)

    _print(console, folder, reports, (folder / "model.keras").stat().st_size, accuracy)
    return report


def digits():
    """Training images and labels, then held-out ones: images [N, 8, 8, 1] in [-1, 1], labels [N].

    The split is fixed, and stratified by digit.
    """
    data = load_digits()
    # 0..16 -> 0..255 -> [-1, 1]: the values of a picture file of the same digit.
    images = np.round(data.images[..., None] * (255 / 16)).astype(np.float32) / 127.5 - 1
    train_images, held_out_images, train_labels, held_out_labels = train_test_split(
        images, data.target, test_size=HELD_OUT, stratify=data.target, random_state=0
    )
    return train_images, train_labels, held_out_images, held_out_labels


def small_mixer(image_shape):
    """A Mixer for 8 x 8 digits: 16 tokens of 2 x 2 pixels, with the proportions of B/16."""
    return MlpMixer(
        patch_size=2,
        width=64,
        depth=6,
        token_mlp_dim=32,
        channel_mlp_dim=256,
        input_shape=image_shape,
        classes=10,
        name="digits",
        preprocessing=Preprocessing(crop="resize"),  # 8 x 8 pixels leave nothing to crop
    )


def train(model, training, held_out, epochs, console):
    """Fits the model with AdamW, a cosine schedule and MixUp; returns Keras's history as a dict."""
    batches = MixedUp(*training, BATCH)
    steps = epochs * len(batches)
    warmup = steps // 10
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps - warmup, warmup_target=LEARNING_RATE, warmup_steps=warmup
    )
    model.compile(
        keras.optimizers.AdamW(schedule, weight_decay=WEIGHT_DECAY, global_clipnorm=1.0),
        keras.losses.CategoricalCrossentropy(),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        jit_compile=jit_compile(),
    )
    # With all variables there before it, TensorFlow traces the training step once instead of twice.
    model.optimizer.build(model.trainable_variables)
    images, labels = held_out
    with ProgressBar(steps, console) as bar:
        history = model.fit(
            batches,
            epochs=epochs,
            validation_data=(images, keras.utils.to_categorical(labels, 10)),
            callbacks=[bar],
            shuffle=False,
            verbose=0,
        )
    return history.history


class MixedUp(keras.utils.PyDataset):
    """Shuffled batches in which each image and its label are mixed with another's.

    The weight of the first image is uniform in [0.5, 1]. Without MixUp the model memorises the
    1,198 digits.

    Source: MixUp, Zhang et al. 2018 (arXiv 1710.09412); here the first image has the larger weight.
    """

    def __init__(self, images, labels, batch_size):
        super().__init__()
        self.images = images
        self.labels = keras.utils.to_categorical(labels)
        self.batch_size = batch_size
        self.random = np.random.default_rng(np.random.randint(2**31))  # depends on set_random_seed
        self.on_epoch_end()

    def __len__(self):
        return len(self.images) // self.batch_size

    def __getitem__(self, index):
        rows = self.order[index * self.batch_size :][: self.batch_size]
        share = self.random.uniform(0.5, 1, (len(rows), 1)).astype(np.float32)

        def mix(values):
            first = share.reshape(-1, *(1 for _ in values.shape[1:]))
            return first * values[rows] + (1 - first) * values[rows[::-1]]

        return mix(self.images), mix(self.labels)

    def on_epoch_end(self):
        self.order = self.random.permutation(len(self.images))


class ProgressBar(keras.callbacks.Callback):
    """One progress bar for all epochs, with the last loss and held-out accuracy."""

    def __init__(self, steps, console):
        super().__init__()
        columns = TextColumn("training"), BarColumn(), TextColumn("{task.description}")
        self.progress = Progress(*columns, TimeRemainingColumn(), console=console)
        self.task = self.progress.add_task("starting", total=steps)

    def __enter__(self):
        self.progress.start()
        return self

    def __exit__(self, *_):
        self.progress.stop()

    def on_train_batch_end(self, batch, logs=None):
        self.progress.advance(self.task)

    def on_epoch_end(self, epoch, logs=None):
        text = f"epoch {epoch + 1}/{self.params['epochs']}, loss {logs['loss']:.3f}, "
        text += f"held-out accuracy {logs['val_accuracy']:.2%}"
        self.progress.update(self.task, description=text)


def picture(history, images, labels, scores, rows=5, columns=12):
    """A matplotlib figure: learning curves, and a grid of digits with wrong predictions in red."""
    answers = scores.argmax(-1)
    wrong = answers != labels
    shown = np.argsort(~wrong, kind="stable")[: rows * columns]  # wrong ones first

    figure = Figure(figsize=(12, 8), layout="constrained")
    curves, grid = figure.subfigures(2, 1, height_ratios=(2, 3))
    loss, accuracy = curves.subplots(1, 2)
    epochs = range(1, len(history["loss"]) + 1)
    loss.plot(epochs, history["loss"], label="training, with MixUp")
    loss.plot(epochs, history["val_loss"], label="held out")
    loss.set(xlabel="epoch", ylabel="cross-entropy", ylim=(0, None))
    loss.legend(frameon=False)
    accuracy.plot(epochs, np.multiply(history["val_accuracy"], 100), color="C1")
    accuracy.set(xlabel="epoch", ylabel="held-out accuracy, %", ylim=(None, 100))
    for axes in (loss, accuracy):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)

    grid.suptitle(
        f"{len(shown)} of {len(images)} held-out digits, with the model's answers; "
        f"the {wrong.sum()} wrong ones in red, first (the true digit in brackets)",
        fontsize="medium",
    )
    for axes in grid.subplots(rows, columns).flat:
        axes.axis("off")
    for axes, i in zip(grid.axes, shown, strict=False):
        axes.imshow(images[i], cmap="gray_r", vmin=-1, vmax=1)
        text = f"{answers[i]} ({labels[i]})" if wrong[i] else str(answers[i])
        axes.set_title(text, color="red" if wrong[i] else "black", fontsize="small", pad=3)
    return figure


def _print(console, folder, reports, keras_bytes, keras_accuracy):
    table = Table(title=f"{next(iter(reports.values())).images} held-out digits")
    table.add_column("file", no_wrap=True)
    for heading in ("size, KB", "accuracy", "agreement with Keras", "ms an image"):
        table.add_column(heading, justify="right")
    table.add_row(
        "model.keras, with optimizer", f"{keras_bytes / 1e3:.0f}", f"{keras_accuracy:.2%}", "", ""
    )
    for name, report in reports.items():
        table.add_row(
            name,
            f"{report.bytes / 1e3:.0f}",
            f"{report.accuracy:.2%}",
            f"{report.agreement:.2%}",
            f"{report.ms_per_image:.3f}",
        )
    console.print(table)
    console.print(f"Curves and predictions: {folder / 'report.png'}. Next:")
    tflite = folder / TFLITES["dynamic_int8"]
    held_out = folder / "held_out.npz"
    console.print(f"  keras-mixer predict {tflite} {folder / 'digit.png'}", soft_wrap=True)
    console.print(
        f"  keras-mixer verify {folder / 'model.keras'} {tflite} --data {held_out}", soft_wrap=True
    )


def _pixels(image):
    """[H, W, 1] in [-1, 1] -> uint8 [H, W]."""
    return np.round((image[..., 0] + 1) * 127.5).astype(np.uint8)
