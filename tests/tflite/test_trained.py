"""Files in integers of models that have learnt something, of every architecture."""

import keras
import numpy as np
import pytest

from keras_mixer import quickstart
from keras_mixer.tflite import convert
from keras_mixer.tflite.run.runner import Runner

EPOCHS = 20  # up to a minute
SMOOTHING = 0.1  # as in recipes for training; without it more images lie near a boundary
# Of the ten scores of an image, how far none may move, and for how many images that must be so.
NEAR, SHARE = 0.02, {"dynamic_int8": 0.95, "static_int8": 0.75}
MEAN = 0.005


@pytest.fixture(scope="module")
def digits():
    """Digits of 32 x 32 pixels for training, and others."""
    images, labels, held_out, held_out_labels = quickstart.digits()
    large = [each.repeat(4, axis=1).repeat(4, axis=2) for each in (images, held_out)]
    return large[0], labels, large[1][:200], held_out_labels[:200]


@pytest.mark.slow
def test_integers_keep_the_scores_of_a_trained_model(case, digits):
    images, labels, held_out, held_out_labels = digits
    keras.utils.set_random_seed(0)
    model = case.tiny(input_shape=(32, 32, 1), classes=10)
    steps = EPOCHS * len(images) // 50
    schedule = keras.optimizers.schedules.CosineDecay(5e-3, steps)
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=0.05)
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=SMOOTHING)
    model.compile(optimizer, loss, jit_compile=True)
    targets = keras.utils.to_categorical(labels, 10)
    model.fit(images, targets, batch_size=50, epochs=EPOCHS, verbose=0)
    expected = model.predict(held_out, verbose=0)
    assert (expected.argmax(-1) == held_out_labels).mean() > 0.75
    for recipe, share in SHARE.items():
        calibration = images[:200] if recipe == "static_int8" else None
        runner = Runner(convert(model, recipe, calibration=calibration))
        scores = np.stack([runner(image) for image in held_out])
        off = np.abs(scores - expected)
        near = (off.max(axis=1) < NEAR).mean()
        print(
            f"{case.architecture} {recipe}: mean {off.mean():.2g}, largest {off.max():.2g}, "
            f"{near:.1%} of images within {NEAR}"
        )
        assert near > share
        assert off.mean() < MEAN
        assert (scores.argmax(-1) == expected.argmax(-1)).mean() > 0.97
