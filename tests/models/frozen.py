"""A step of training in bfloat16 of a rematerialised model, much of which is frozen."""

import keras
import numpy as np

from keras_mixer._keras import inner_layers
from keras_mixer.layers import Residual


def frozen_weights_that_change(case):
    """Their paths, which should be none; statistics of batch norms that are trained are meant to.

    Of the model the first block is frozen, and of its last a dense layer and the kernel of another,
    which is adapted by LoRA.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = case.trained(remat=True)
    finally:
        keras.config.set_dtype_policy(before)
    first, *_, last = (layer for layer in model.layers if isinstance(layer, Residual))
    first.trainable = False
    dense, *_, adapted = (x for x in inner_layers(last) if isinstance(x, keras.layers.Dense))
    dense.trainable = False
    adapted.enable_lora(2)
    norms = [x for x in inner_layers(model) if isinstance(x, keras.layers.BatchNormalization)]
    moving = {w.path for x in norms if x.trainable for w in (x.moving_mean, x.moving_variance)}
    frozen = [w for w in model.non_trainable_weights if w.path not in moving]
    values = [np.array(w) for w in frozen]
    kernel = np.array(dense.kernel)

    model.compile("sgd", "sparse_categorical_crossentropy")
    model.train_on_batch(case.images(), np.arange(4))
    assert np.array_equal(dense.kernel, kernel)
    changed = zip(frozen, values, strict=True)
    return [w.path for w, value in changed if not np.array_equal(w, value)]
