"""Benchmarks run, shrunk, and write what README quotes. Their times are not judged here."""

import csv

import numpy as np
import pytest

import keras_mixer
from benchmarks import input_pipeline, int8_norm, measure, training_step
from tests.conftest import ROOT


@pytest.mark.slow
def test_the_int8_norm_benchmark_writes_its_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    monkeypatch.setattr(int8_norm, "RUNS", 2)
    int8_norm.main()
    tables = [tmp_path / "int8_norm.csv", ROOT / "benchmarks/results/int8_norm.csv"]
    ours, committed = ([*csv.DictReader(path.read_text().splitlines())] for path in tables)
    assert [row["norm"] for row in ours] == [row["norm"] for row in committed]
    assert ours[0].keys() == committed[0].keys()
    assert max(float(row["ratio"]) for row in ours) == 1
    assert "of the slower" in capsys.readouterr().out


def test_the_input_pipeline_benchmark_writes_its_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    small = {"PICTURES": 8, "HEIGHT": 60, "WIDTH": 80, "SIZE": 16, "BATCH": 8, "BATCHES": 2}
    for name, value in {**small, "RUNS": 1}.items():
        monkeypatch.setattr(input_pipeline, name, value)
    input_pipeline.main()
    tables = [tmp_path / "input_pipeline.csv", ROOT / "benchmarks/results/input_pipeline.csv"]
    ours, committed = ([*csv.DictReader(path.read_text().splitlines())] for path in tables)
    assert [row["pipeline"] for row in ours] == [row["pipeline"] for row in committed]
    assert ours[0].keys() == committed[0].keys()
    assert "images a core second" in capsys.readouterr().out


@pytest.mark.slow
def test_the_training_step_benchmark_writes_its_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    for name, value in {"RUNS": 1, "BATCH": 2, "SQUARE": 16}.items():
        monkeypatch.setattr(training_step, name, value)
    training_step.main()
    tables = [tmp_path / "training_step.csv", ROOT / "benchmarks/results/training_step.csv"]
    ours, committed = ([*csv.DictReader(path.read_text().splitlines())] for path in tables)
    assert [row["step"] for row in ours[:-1]] == [row["step"] for row in committed[:-1]]
    assert ours[0].keys() == committed[0].keys()
    assert "GFLOP/s" in capsys.readouterr().out


def test_the_matmuls_that_are_counted_are_those_of_the_model():
    shapes = [*training_step.matmuls(keras_mixer.MixerTi4.sizes, 32)]
    kernels = [
        np.prod(weight.shape)
        for weight in keras_mixer.MixerTi4(include_top=False).weights
        if weight.name == "kernel"
    ]
    assert [k * n for _, k, n in shapes] == kernels


def test_runs_are_taken_in_turn_and_the_warm_up_is_not_counted():
    calls = []
    seconds = measure.interleaved({n: lambda n=n: calls.append(n) for n in "ab"}, runs=3, warmup=1)
    assert calls == list("abababab")
    assert set(seconds) == {"a", "b"}
