"""Files and runs of before still load: tests/saved holds some as they were written then.

They are of November 2026, before models carried their architecture; a tiny Mixer with weights away
from their start, and a run of training that was stopped after 5 of 12 steps.
"""

import shutil
from functools import partial
from importlib import import_module

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file

import keras_mixer
from keras_mixer import data, training
from keras_mixer._runs import STATE
from keras_mixer.models.mlp_mixer import MIXER
from keras_mixer.training.devices import jit_compile_for_training
from keras_mixer.weights.checkpoint import layouts_of
from tests.conftest import ROOT
from tests.pictures import labelled

SAVED = ROOT / "tests/saved"


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_saved_model_gives_the_answers_that_it_gave(policy, tmp_path):
    with np.load(SAVED / "answers.npz") as answers:
        images, expected = answers["images"], answers[policy]
    model = keras.saving.load_model(SAVED / f"mlp_mixer_{policy}.keras")
    if policy == "float32":  # it was built with include_preprocessing=True
        images = (images + 1) * 127.5
    # float32: another CPU's order of summation. bfloat16 keeps 8 bits.
    tolerance = 1e-6 if policy == "float32" else 2.0**-8
    assert np.abs(model(images) - expected).max() < tolerance
    # It has no word of its architecture; the names of its weights tell.
    assert layouts_of(model) is MIXER.layouts
    keras_mixer.save_weights(model, tmp_path / "model.npz")
    assert list(keras_mixer.features(model).output["levels"]) == [4]
    larger = keras_mixer.resize(model, 32)
    scores = larger(np.tile(images, (1, 2, 2, 1)))
    assert np.abs(scores - expected).max() < 10 * tolerance


def resume(folder, **arguments):
    """Goes on with the run in `folder`, by what began it."""
    recipe = training.Recipe(
        name="old",
        source="tests",
        image_size=16,
        batch_size=16,
        epochs=3,
        crop="shift",
        evaluation_crop="resize",
        learning_rate=3e-3,
        warmup=0.1,
        ema=0.9,
        drop_path_rate=0.2,
    )
    build = partial(
        keras_mixer.MlpMixer,
        patch_size=4,
        width=8,
        depth=2,
        token_mlp_dim=6,
        channel_mlp_dim=16,
    )
    return training.train(
        build,
        data.arrays(*labelled(64)),
        data.arrays(*labelled(20, seed=1)),
        recipe=recipe,
        folder=folder,
        resume=True,
        **arguments,
    )


def test_a_run_of_before_is_taken_up_with_all_that_it_kept(tmp_path):
    class Look(keras.callbacks.Callback):
        """At what the run begins with, which is enough."""

        def on_train_begin(self, logs=None):
            raise InterruptedError

    look = Look()
    shutil.copytree(SAVED / "run", tmp_path / "run")
    assert keras_mixer.load_model(tmp_path / "run").output_shape == (None, 3)
    with pytest.raises(InterruptedError):
        resume(tmp_path / "run", callbacks=[look])
    counted = {id(variable) for variable in look.model.metrics_variables}
    own = [variable for variable in look.model.variables if id(variable) not in counted]
    found = {
        f"{part}/{i}/{variable.name}": variable.numpy()
        for part, variables in (("model", own), ("optimizer", look.model.optimizer.variables))
        for i, variable in enumerate(variables)
    }
    kept = load_file(SAVED / "run" / STATE)
    assert found.keys() == kept.keys()
    for name, value in kept.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert look.model.optimizer.iterations == 5


@pytest.mark.slow
def test_a_run_of_before_is_resumed_to_the_weights_that_it_had_come_to(tmp_path, monkeypatch):
    # With XLA, as it was begun: without it Keras draws other random numbers from the same seed.
    train = import_module("keras_mixer.training.train")
    monkeypatch.setattr(train, "jit_compile_for_training", jit_compile_for_training)
    shutil.copytree(SAVED / "run", tmp_path / "run")
    model, rows = resume(tmp_path / "run")
    assert [row["step"] for row in rows] == [4, 8, 12]
    with np.load(SAVED / "run_end.npz") as end:
        expected = [end[name] for name in end.files]
    # Rounding of another CPU, over seven steps of Adam at a learning rate of 3e-3.
    for ours, theirs in zip(model.get_weights(), expected, strict=True):
        assert np.allclose(ours, theirs, rtol=0, atol=3e-4)
