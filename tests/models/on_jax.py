"""Run by a test in a process of its own: tiny models on the JAX backend, with no TensorFlow there.

python -m tests.models.on_jax FOLDER
"""

import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"
os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0"  # it would compile for twice as long
sys.modules["tensorflow"] = None  # an import of it is an error

import numpy as np  # noqa: E402
import pytest  # noqa: E402

import keras_mixer  # noqa: E402
from tests.cases import CASES, PILOTS  # noqa: E402
from tests.models.frozen import frozen_weights_that_change  # noqa: E402

folder = Path(sys.argv[1])
for case in CASES:
    weights = folder / f"{case.architecture}.weights.h5"
    model = case.tiny(
        **case.shallow, classifier_activation=None, drop_path_rate=0.1, weights=weights
    )
    np.save(folder / f"{case.architecture}.npy", model.predict(case.images(), verbose=0))
    model.compile("sgd", "mse")
    loss = model.train_on_batch(case.images(), np.ones((4, 7)))
    assert np.isfinite(loss), loss

for case in PILOTS:
    assert frozen_weights_that_change(case) == []

with pytest.raises(RuntimeError, match=r"TensorFlow backend.* jax"):
    keras_mixer.tflite.convert(model)
