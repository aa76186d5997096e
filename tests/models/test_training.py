"""Every architecture trains: on two replicas, with XLA, and far enough to know its images."""

import json

import keras
import numpy as np
import pytest

import keras_mixer
from tests.cases import SMALLEST
from tests.models import on_two_replicas
from tests.training.forks import fork

pytestmark = pytest.mark.slow


def test_a_step_on_two_replicas_is_that_on_one(tmp_path):
    said = tmp_path / "said.txt"
    process = fork(said, on_two_replicas.main)
    process.join(timeout=600)
    assert process.exitcode == 0, said.read_text()
    found = json.loads(said.read_text().splitlines()[-1])
    for architecture, off in found.items():  # float32 in another order of summation
        assert {path: value for path, value in off.items() if value > 1e-5} == {}, architecture


def test_a_train_step_is_compiled_by_xla_and_learns_the_same(case):
    def trained(jit_compile):
        keras.utils.set_random_seed(0)
        model = case.trained(**case.shallow)
        model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=jit_compile)
        loss = model.train_on_batch(case.images(), np.arange(4))
        return float(loss), model.get_weights()

    (loss, weights), (compiled, others) = trained(False), trained(True)
    assert compiled == pytest.approx(loss, rel=1e-5)
    for one, other in zip(weights, others, strict=True):
        assert np.abs(one - other).max() <= 1e-5 * np.abs(one).max()


# Sides of images: of 2 x 2 patches, or more where a map has a smaller scale.
SIDES = {"mlp_mixer": 8, "s2_mlp_v2": 28}
STEPS = 60


@pytest.mark.parametrize("architecture", SMALLEST)
def test_the_smallest_of_each_family_memorises_64_images(architecture):
    keras.utils.set_random_seed(0)
    side = SIDES.get(architecture, 32)
    model = getattr(keras_mixer, SMALLEST[architecture])(input_shape=(side, side, 3), classes=10)
    random = np.random.default_rng(0)
    images = random.uniform(-1, 1, (64, side, side, 3)).astype(np.float32)
    labels = random.integers(0, 10, 64)
    optimizer = keras.optimizers.AdamW(1e-3)
    loss = "sparse_categorical_crossentropy"
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=False)  # XLA compiles longer
    model.fit(images, labels, batch_size=64, epochs=STEPS, verbose=0)
    loss, accuracy = model.evaluate(images, labels, batch_size=64, verbose=0)
    assert accuracy == 1
    assert loss < 0.1
