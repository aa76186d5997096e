"""Calls of public functions as users write them, for a type checker: `mypy`. It is not run.

A line that ends in `type: ignore` must be an error to the checker.
"""

from functools import partial

import numpy as np

import keras_mixer
from keras_mixer import data, tflite, tpu, training

model = keras_mixer.MixerB16(weights="imagenet21k", classes=10, input_shape=(224, 224, 3))
mlp = keras_mixer.MlpMixer(
    patch_size=4,
    width=128,
    depth=6,
    token_mlp_dim=64,
    channel_mlp_dim=512,
    gelu="erf",
    preprocessing=keras_mixer.Preprocessing((0.5, 0.5, 0.4), 0.5),
)
keras_mixer.ResMlpS12(clases=10)  # type: ignore[call-arg]
keras_mixer.ResMlpS12(gelu="erf")  # type: ignore[call-arg]
keras_mixer.MixerB16(classes="ten")  # type: ignore[arg-type]
keras_mixer.MixerB16(pooling="sum")  # type: ignore[arg-type]
keras_mixer.MlpMixer(patch_size=4)  # type: ignore[call-arg]

names: list[str] = keras_mixer.list_models("Mixer*")
larger = keras_mixer.resize(model, 448)
keras_mixer.resize(model, (448, 672))
keras_mixer.resize_by_interpolation(model, 384)
keras_mixer.resize(model, "large")  # type: ignore[arg-type]
keras_mixer.freeze(keras_mixer.load_model("runs/mine"), until="block_5")
keras_mixer.save_weights(larger, "model.safetensors", "timm", overwrite=True)
pixels = np.zeros((4, 224, 224, 3), np.uint8)
scores = model.predict(keras_mixer.preprocess_input(pixels, model))
top: list[list[tuple[str, str, float]]] = keras_mixer.decode_predictions(scores, top=3)

images, held_out = data.load("pictures")
trained, rows = training.train(
    partial(keras_mixer.MixerS16, weights="gsam"),
    data.arrays(pixels, [0, 1, 2, 3]),
    held_out,
    recipe=training.recipe("fine_tuning").but(epochs=1),
    folder="runs/mine",
)
training.train("MixerB16", images, recipe="small_images", folder="x")  # type: ignore[arg-type]
training.train(
    keras_mixer.MixerTi4, images, recipe="fine_tuning", folder="x", test=held_out, seed=1
)
worst: list[str] = training.confusion(trained, images, batch_size=32).worst()
accuracy: float = training.evaluate(trained, images, batch_size=32)["accuracy"]

content: bytes = tflite.convert(model, "int8", calibration=pixels, keep_float="head")
report = tflite.verify(model, content, (pixels, [0, 1, 2, 3]), input_range=(0, 255))
tflite.verify(model, "model.tflite", "held_out.npz")
tflite.verify(model, content, [pixels, [0, 1, 0, 1]], task="binary")
folder = tflite.export(model, "app", labels=["cat", "dog"]).parent
label: str = tflite.Classifier(content, threads=2)("photo.jpg", top=1)[0].label
fits: bool = tpu.preflight("MixerB16", "v5e-1", 128).fits
