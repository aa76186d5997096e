"""Benchmarks run, shrunk, and write what README quotes. Their times are not judged here."""

import csv
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path

import jax
import keras
import numpy as np
import pytest
from PIL import Image

import keras_mixer
from benchmarks import (
    arm,
    edge,
    edge_plot,
    emulator,
    flax_models,
    gpu,
    input_pipeline,
    measure,
    ops,
    peers,
    rewrites,
    tpu_estimates,
    training_step,
)
from benchmarks.processes import Process
from keras_mixer.layers import LayerNorm
from keras_mixer.models.mlp_mixer import MixerBlock
from keras_mixer.tpu.preflight import CALIBRATION
from tests import oracles
from tests.cases import randomised
from tests.children import abort, double, refuse
from tests.conftest import ROOT

ONE_BLOCK = keras_mixer.MixerTi4.sizes | {"depth": 1}


def one_block(**arguments):
    """MixerTi4 with one block instead of five."""
    return keras_mixer.MlpMixer(**ONE_BLOCK, **{"input_shape": (32, 32, 3)} | arguments)


@pytest.mark.slow
def test_the_rewrites_benchmark_writes_its_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    monkeypatch.setattr(rewrites, "RUNS", {"MixerTi4": 2})
    monkeypatch.setattr(rewrites, "RECIPE_NAMES", ("int8",))  # for which there is every rewrite
    monkeypatch.setattr(keras_mixer, "MixerTi4", one_block)
    rewrites.main("models")
    tables = [tmp_path / "rewrites.csv", ROOT / "benchmarks/results/rewrites.csv"]
    ours, committed = ([*csv.DictReader(path.read_text().splitlines())] for path in tables)
    committed = [row for row in committed if (row["model"], row["recipe"]) == ("MixerTi4", "int8")]
    for column in ("recipe", "rewrite"):
        assert [row[column] for row in ours] == [row[column] for row in committed]
    assert ours[0].keys() == committed[0].keys()
    assert "of the time without it" in capsys.readouterr().out


def test_the_model_with_the_norms_of_keras_has_the_same_function_and_no_norm_of_ours():
    model = one_block(include_preprocessing=True, classes=10)
    other = rewrites.with_keras_norms(model)
    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    difference = np.abs(model.predict(images, verbose=0) - other.predict(images, verbose=0))
    assert difference.max() < 1e-5  # float32 rounding of probabilities
    kinds = {type(layer) for layer in other.layers}
    assert keras.layers.LayerNormalization in kinds
    assert not kinds & {MixerBlock, LayerNorm}


@pytest.mark.parametrize("operation", ops.OPERATIONS)
def test_all_forms_of_an_operation_compute_the_same(operation):
    small = (7, 8, 16)
    models = [ops.network(operation, form, 2, small) for form in ops.OPERATIONS[operation][1]]
    models = [keras.Model(m.input, m.get_layer("head").input) for m in models]
    first = randomised(models[0])
    random = np.random.default_rng(0)
    for weight in first.weights:
        if "variance" in weight.path:
            weight.assign(random.uniform(0.5, 2, weight.shape))
    images = random.normal(size=(2, *small)).astype(np.float32)
    expected = np.asarray(first(images))
    for model in models[1:]:
        for weight, other in zip(model.weights, first.weights, strict=True):
            weight.assign(np.reshape(other, weight.shape))
        assert np.abs(model(images) - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.slow
def test_the_table_of_forms_is_written(tmp_path, monkeypatch):
    if missing := emulator.missing():
        pytest.skip(missing)
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    small = partial(ops.network, depth=1, shape=(4, 4, 16))
    monkeypatch.setattr(rewrites, "network", small)
    monkeypatch.setattr(rewrites, "OPERATIONS", {"gate": ops.OPERATIONS["gate"]})
    monkeypatch.setattr(rewrites, "FORM_RUNS", 2)
    rewrites.main("ops")
    tables = [tmp_path / "ops.csv", ROOT / "benchmarks/results/ops.csv"]
    ours, committed = ([*csv.DictReader(path.read_text().splitlines())] for path in tables)
    assert ours[0].keys() == committed[0].keys()
    forms = [(name, form) for name, (_, forms) in ops.OPERATIONS.items() for form in forms]
    assert [(row["operation"], row["form"]) for row in committed] == forms
    assert [row["form"] for row in ours] == ["transposing", "einsum"]
    assert all(float(row[key]) > 0 for row in ours for key in row if key.startswith("tpu"))


def test_the_input_pipeline_benchmark_writes_its_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    small = {"PICTURES": 8, "KINDS": [(60, 80, 92, 2)], "SIZE": 16, "BATCH": 8, "RUNS": 1}
    for name, value in small.items():
        monkeypatch.setattr(input_pipeline, name, value)
    input_pipeline.main()
    tables = [tmp_path / "input_pipeline.csv", ROOT / "benchmarks/results/input_pipeline.csv"]
    ours, committed = ([*csv.DictReader(path.read_text().splitlines())] for path in tables)
    kinds = [ours, committed[: len(ours)]]  # the table repeats the pipelines for each kind
    assert len({tuple(row["pipeline"] for row in rows) for rows in kinds}) == 1
    assert len(ours) == len({row["pipeline"] for row in committed})
    assert ours[0].keys() == committed[0].keys()
    assert "images per CPU second" in capsys.readouterr().out


@pytest.mark.slow
def test_the_training_step_benchmark_writes_its_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    for name, value in {"RUNS": 1, "BATCH": 2, "SQUARE": 16, "SIZES": ONE_BLOCK}.items():
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


@pytest.mark.slow
def test_the_edge_benchmark_writes_its_tables_and_its_picture(
    tmp_path, tiny_cifar10, monkeypatch, capfd
):
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    monkeypatch.setattr(edge_plot, "PICTURE", tmp_path / "edge.png")
    monkeypatch.setattr(edge, "MODELS", {"MixerTi4": "cifar10"})
    monkeypatch.setattr(edge, "RUNS", 1)
    dying = replace(peers.PEERS[0], name="dying", packages=("numpy",), prepare=abort)
    monkeypatch.setattr(edge, "PEERS", (dying, *peers.PEERS))
    monkeypatch.setattr(edge, "PEAKS", peers.PEAKS[:1])
    wanted = "keras_mixer float32", "keras_mixer dynamic_int8", "PyTorch float32"
    only = [*wanted, "dying"]  # each candidate starts two processes, ours with TensorFlow
    edge.main(only=only, rounds=1, images=8, data_dir=tiny_cifar10)

    speeds, accuracies = (table(tmp_path / f"{name}.csv") for name in ("edge", "edge_accuracy"))
    assert {"peak float32", *wanted} == {row["candidate"] for row in speeds}
    assert {row["candidate"] for row in accuracies} == {*wanted}
    assert {row["images"] for row in accuracies} == {"8"}
    exact = {row["agreement"] for row in accuracies if row["precision"] == "float32"}
    assert exact == {"1.0"}
    assert float(speeds[1]["ratio"]) == 1
    for rows, name in (speeds, "edge"), (accuracies, "edge_accuracy"):
        known = table(ROOT / f"benchmarks/results/{name}.csv")
        assert rows[0].keys() == known[0].keys()
        assert {r["candidate"] for r in rows} <= {r["candidate"] for r in known}
    assert width(tmp_path / "edge.png") > 1000
    assert "dying ... left out; it died (SIGABRT)" in capfd.readouterr().out


def test_the_edge_benchmark_draws_whatever_was_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    row = {"runtime": "LiteRT", "version": "", "size_mb": 1, "threads": 2, "runs": 5}
    row |= {"machine": "a machine, 2 cores", "quartile_1_ms": 1, "quartile_3_ms": 3}
    speeds = [
        {**row, "model": "MixerTi4", "candidate": name, "precision": precision, **numbers}
        for name, precision, numbers in (
            ("peak int8", "int8", {"median_ms": 9, "ratio": "", "share_of_peak": 1}),
            ("keras_mixer int8", "int8", {"median_ms": 2, "ratio": 1, "share_of_peak": 0.6}),
            ("PyTorch bfloat16", "half", {"median_ms": 2, "ratio": "", "share_of_peak": ""}),
        )
    ]
    measure.write_csv("edge", speeds)
    without = width(edge_plot.draw(tmp_path / "edge.png"))
    measure.write_csv("edge_accuracy", [{"candidate": "keras_mixer int8", "accuracy": 0.5}])
    assert width(edge_plot.draw(tmp_path / "edge.png")) > without


@pytest.mark.parametrize("model", sorted({row["model"] for row in arm.table("arm")}))
def test_on_arm_float16_is_computed_in_it_alone(model):
    rows = {(row["model"], row["cpu"], row["file"]): row for row in arm.table("arm")}
    row = rows[model, "cortex-a76", "float16"]
    assert float(row["ratio"]) <= 0.56
    assert float(row["float32 multiply-add"]) == 0


def test_in_float16_the_accuracy_on_arm_is_that_of_float32():
    rows = {row["file"]: row for row in arm.table("arm_accuracy")}
    assert int(rows["float16"]["images"]) >= 1000
    assert abs(float(rows["float16"]["top1"]) - float(rows["float32"]["top1"])) <= 0.002


def test_the_picture_of_arm_shows_every_model_of_the_table(tmp_path):
    picture = arm.draw(tmp_path / "arm.png")
    models = {row["model"] for row in arm.table("arm")}
    with Image.open(picture) as image:
        assert image.width > 400 * len(models)


def test_the_operations_that_are_counted_are_those_of_the_model():
    model = keras_mixer.MixerTi4(classes=10)
    sizes = {**keras_mixer.MixerTi4.sizes, "image_size": 32, "classes": 10}
    tokens, width = 64, 192
    expected = 0
    for weight in model.weights:
        if weight.name == "kernel":
            rows = width if "token_mlp" in weight.path else 1 if "head" in weight.path else tokens
            expected += 2 * rows * np.prod(weight.shape)
    assert edge.operations(**sizes) == expected


def test_peak_throughput_is_measured_as_in_the_package(tmp_path):
    module = import_module("keras_mixer.tflite.run.benchmark")  # as a name it is the function
    assert (peers.CHAIN, peers.SIDE) == (module.CHAIN, module.SIDE)
    peers.prepare_peak(tmp_path, tmp_path / "peak.tflite", "float32")
    found = keras_mixer.tflite.inspect(tmp_path / "peak.tflite")
    assert found.counts == {"FULLY_CONNECTED": 8}
    assert found.inputs[0].shape == (1024, 1024)


def test_a_peer_that_is_not_installed_is_named_with_what_to_install(capsys):
    candidate = replace(peers.PEERS[0], packages=("numpy", "no-such-package"))
    assert not edge._installed(candidate)
    said = capsys.readouterr().out
    assert candidate.name in said
    assert "it needs no-such-package: python -m pip install" in said


def test_a_candidate_sleeps_until_it_is_asked(tmp_path):
    process = Process(tmp_path / "log.txt", double)
    try:
        assert state(process) == "T"  # stopped
        assert process(21) == 42
        assert state(process) == "T"
    finally:
        process.end()


def test_a_candidate_that_fails_or_dies_says_why(tmp_path):
    with pytest.raises(RuntimeError, match="ValueError: no such model"):
        Process(tmp_path / "log.txt", refuse)
    process = Process(tmp_path / "log.txt", double)
    with pytest.raises(RuntimeError, match=r"it died \(SIGABRT\)"):
        process("abort")
    process.end()


def table(path):
    return [*csv.DictReader(path.read_text().splitlines())]


def width(path):
    with Image.open(path) as image:
        return image.width


def state(process):
    """That of Linux: R running, S sleeping, T stopped."""
    for _ in range(1000):  # it may still be on its way
        found = Path(f"/proc/{process.process.pid}/stat").read_text().rpartition(")")[2].split()[0]
        if found == "T":
            break
    return found


def flattened(weights, prefix="", block="MixerBlock_"):
    """Nested weights of a Flax program -> arrays by the names of a checkpoint."""
    for name, value in weights.items():
        if name == "blocks":
            for i, inner in enumerate(value):
                yield from flattened(inner, f"{block}{i}/")
        elif isinstance(value, dict):
            yield from flattened(value, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", value


def test_what_tpu_estimates_compares_with_is_the_official_network(monkeypatch):
    sizes = {"patch_size": 4, "width": 16, "depth": 2, "token_mlp_dim": 6, "channel_mlp_dim": 20}
    random = np.random.default_rng(0)
    shapes = flax_models.parameters("mlp_mixer", 8, **sizes)
    weights = jax.tree.map(lambda s: random.normal(size=s.shape).astype(np.float32) / 3, shapes)
    image = random.uniform(-1, 1, (3, 8, 8, 3)).astype(np.float32)
    expected = oracles.official_mlp_mixer(dict(flattened(weights)), image.astype(float))

    def logits():  # of a new function each time, or JAX takes the program with the other HALF
        return np.asarray(jax.jit(partial(flax_models.mlp_mixer))(weights, image), float)

    half = logits()
    monkeypatch.setattr(flax_models, "HALF", np.float32)
    full = logits()
    largest = np.abs(expected).max()
    assert np.abs(full - expected).max() < 1e-5 * largest  # float32 rounding
    assert 1e-4 * largest < np.abs(half - expected).max() < 0.1 * largest  # it was in bfloat16


TINY = {
    "res_mlp": {"patch_size": 4, "width": 16, "depth": 2, "channel_mlp_dim": 20, "layer_scale": 1},
    "g_mlp": {"patch_size": 4, "width": 16, "depth": 2, "hidden_dim": 20},
}
FLAX_NAMES = {"scale": "gamma", "bias": "beta"}  # of a norm's weights, and Keras's


@pytest.mark.slow
@pytest.mark.parametrize("architecture", TINY)
def test_the_other_flax_programs_are_the_networks_of_our_models(architecture, monkeypatch):
    network, _ = flax_models.NETWORKS[architecture]
    builder = {"res_mlp": keras_mixer.ResMlp, "g_mlp": keras_mixer.GMlp}[architecture]
    sizes, random = TINY[architecture], np.random.default_rng(0)
    shapes = flax_models.parameters(architecture, 8, **sizes)
    weights = jax.tree.map(lambda s: random.normal(size=s.shape).astype(np.float32) / 3, shapes)
    model = builder(**sizes, input_shape=(8, 8, 3), classifier_activation=None)
    paths = {weight.path: weight for weight in model.weights}
    for path, value in flattened(weights, block="block_"):
        layer, _, name = path.rpartition("/")
        if "norm" in layer:
            path = f"{layer}/{FLAX_NAMES.get(name, name)}"
        paths.pop(path).assign(value)
    assert not paths
    image = random.uniform(-1, 1, (3, 8, 8, 3)).astype(np.float32)
    expected = model.predict(image, verbose=0)
    half = np.asarray(jax.jit(partial(network))(weights, image), float)
    monkeypatch.setattr(flax_models, "HALF", np.float32)
    full = np.asarray(jax.jit(partial(network))(weights, image), float)
    largest = np.abs(expected).max()
    assert np.abs(full - expected).max() < 1e-5 * largest  # float32 rounding
    assert 1e-4 * largest < np.abs(half - expected).max() < 0.1 * largest  # it was in bfloat16


@pytest.mark.parametrize("name", ["MixerS32", "MixerB16", "ResMlpS24", "GMlpS"])
def test_it_has_the_parameters_of_the_model(name):
    builder = getattr(keras_mixer, name)
    shapes = flax_models.parameters(builder.architecture.name, 224, **builder.sizes)
    assert sum(np.prod(s.shape) for s in jax.tree.leaves(shapes)) == builder.params


def test_the_models_with_a_flax_program_are_estimated():
    assert set(tpu_estimates.ARCHITECTURES) == set(flax_models.NETWORKS)
    assert {"MixerS16", "ResMlpS24", "GMlpS"} <= {*tpu_estimates.models()}


@pytest.mark.parametrize("model", ["ResMlpS24", "GMlpS"])
def test_a_train_step_takes_no_more_cycles_than_plain_flax(model):
    rows = [row for key, row in tpu_estimates.table().items() if key[::2] == (model, "train")]
    assert {row["tpu"] for row in rows} == set(tpu_estimates.TPUS)
    assert max(float(row["ratio"]) for row in rows) <= 1


def test_the_gpu_benchmark_has_the_sizes_of_the_models():
    for name, (builder, sizes) in gpu.MODELS.items():
        model = getattr(keras_mixer, name)
        assert sizes == model.sizes
        assert getattr(keras_mixer, builder).architecture is model.architecture


@pytest.mark.slow
@pytest.mark.parametrize("name", gpu.TINY)
def test_the_gpu_benchmark_runs_on_a_cpu(name, tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    rows = gpu.main([name], tiny=True)
    assert len(rows) == len({(row["step"], row["candidate"]) for row in rows}) == 6
    assert {row["model"] for row in rows} == {name}
    assert all(float(row["median_ms"]) > 0 for row in rows)
    assert {row["device"] for row in rows} == {measure.machine()}
    assert {row["ratio"] for row in rows if row["candidate"].startswith("timm")} == {1}
    assert not [*tmp_path.iterdir()]


def test_what_preflight_says_of_its_estimates_is_in_the_table():
    rows = tpu_estimates.table().values()
    over = {r["model"]: float(r["flax_over_paper"]) for r in rows if r["flax_over_paper"]}
    assert over.keys() == tpu_estimates.PAPER.keys()
    huge = over.pop("MixerH14")
    assert len(over) == 6
    assert f"{min(over.values()):.2f} to {max(over.values()):.2f} times" in CALIBRATION
    assert f"for H/14 {huge:.2f} times" in CALIBRATION


@pytest.mark.slow
def test_tpu_estimates_writes_its_table_and_its_picture(tmp_path, monkeypatch, capsys):
    for module in (measure, tpu_estimates):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
    monkeypatch.setattr(tpu_estimates, "PICTURE", tmp_path / "tpu.png")
    monkeypatch.setattr(tpu_estimates, "TPUS", {"v3": "v3-8"})
    tpu_estimates.main(["MixerTi4"])
    tables = [tmp_path / "tpu_estimates.csv", ROOT / "benchmarks/results/tpu_estimates.csv"]
    ours, committed = ([*csv.DictReader(path.read_text().splitlines())] for path in tables)
    committed = [row for row in committed if (row["model"], row["tpu"]) == ("MixerTi4", "v3")]
    for one, other in zip(ours, committed, strict=True):
        for column in ("ours_mcycles", "flax_mcycles", "ratio"):  # another Keras differs a little
            assert float(one[column]) == pytest.approx(float(other[column]), rel=0.02)
    with Image.open(tmp_path / "tpu.png") as picture:
        assert picture.size[0] > 1000
    assert "of Flax's" in capsys.readouterr().out
