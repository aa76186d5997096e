"""Run by a test in a process of its own: a tiny model on the JAX backend, with no TensorFlow there.

python -m tests.models.on_jax ARCHITECTURE FOLDER
"""

import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"
sys.modules["tensorflow"] = None  # an import of it is an error

import numpy as np  # noqa: E402
import pytest  # noqa: E402

import keras_mixer  # noqa: E402
from tests.cases import CASES  # noqa: E402

name, folder = sys.argv[1], Path(sys.argv[2])
case = next(case for case in CASES if case.architecture == name)
model = case.tiny(
    classifier_activation=None, drop_path_rate=0.1, weights=folder / "model.weights.h5"
)
np.save(folder / "logits.npy", model.predict(np.load(folder / "images.npy"), verbose=0))
model.compile("adam", "mse")
loss = model.train_on_batch(np.load(folder / "images.npy"), np.ones((4, 7)))
assert np.isfinite(loss), loss

with pytest.raises(RuntimeError, match=r"TensorFlow backend.* jax"):
    keras_mixer.tflite.convert(model)
