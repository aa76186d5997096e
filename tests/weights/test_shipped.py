"""Weights that come with the package: they load anywhere, and are as good as their cards say."""

import csv
import hashlib
import os
import re
import socket

import numpy as np
import pytest

from keras_mixer import data, training
from keras_mixer.models import BUILDERS
from keras_mixer.weights import Shipped
from tests import oracles
from tests.conftest import ROOT
from tests.pictures import SHARED

LARGEST = 6e6  # bytes: what everyone who installs the package is asked to download
ROWS = [
    pytest.param(builder, name, release.path, id=release.name)
    for builder in BUILDERS.values()
    for name, release in builder.releases.items()
    if isinstance(release, Shipped)
]
# Of the first 2,000 test images, with the weights that have the card's accuracy on all 10,000.
CORRECT = {"cifar10": 1687}
each = pytest.mark.parametrize(("builder", "name", "path"), ROWS)


def accuracy(path):
    """The percentage that a card gives, in its own words."""
    return re.search(r"top-1 accuracy of\s([\d.]+)%", path.with_suffix(".md").read_text())[1]


@each
def test_they_load_without_a_network_or_a_cache_and_compute_what_they_should(
    builder, name, path, monkeypatch
):
    monkeypatch.setenv("KERAS_HOME", os.devnull)
    monkeypatch.setattr(socket, "socket", None)
    assert path.stat().st_size <= LARGEST
    assert hashlib.sha256(path.read_bytes()).hexdigest() == builder.releases[name].sha256
    model = builder(weights=name, classifier_activation=None)
    labels = builder.releases[name].labels.read_text().splitlines()
    assert len(set(labels)) == model.output_shape[-1]
    images = np.random.default_rng(0).uniform(-1, 1, (2, *builder.input_shape)).astype(np.float32)
    with np.load(path) as weights:
        expected = oracles.official_mlp_mixer(dict(weights), images)
    np.testing.assert_allclose(model(images), expected, rtol=1e-4, atol=1e-4)


@each
def test_their_card_gives_the_accuracy_that_the_log_of_their_training_ends_with(
    builder, name, path
):
    log = ROOT / "benchmarks" / "results" / f"{name}.csv"
    with log.open() as file:
        *_, last = csv.DictReader(file)
    assert f"{100 * float(last['val_accuracy']):.2f}" == accuracy(path)


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.exists(), reason="needs CIFAR-10 as TensorFlow Datasets has it")
@each
def test_they_classify_as_many_of_the_first_test_images_as_before(builder, name, path):
    """`benchmarks.edge` evaluates on all of them, which takes five times as long."""
    images = data.tfds(name, "test[:2000]", data_dir=SHARED)
    result = training.evaluate(builder(weights=name), images, crop="resize")
    # another processor's rounding may turn an image or two
    assert 2000 * result["accuracy"] == pytest.approx(CORRECT[name], abs=2)
