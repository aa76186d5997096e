"""Latency and accuracy of our exports and of other runtimes for a Mixer on a CPU.

    python -m pip install -e ".[cpu,benchmark]"
    python -m benchmarks.edge --data-dir ../shared/tfds

Every runtime has the same weights and number of threads, and runs one image at a time. MixerB16 at
224 x 224 has random weights, which does not change the time. MixerTi4 has the weights that come
with the package, and the programs that were timed are also evaluated on CIFAR-10's test images.
Each candidate has its own process, which is stopped while others run. In each round all candidates
run in turn, and with them the measurement of peak throughput: eight 1024 x 1024 x 1024
FULLY_CONNECTED ops in LiteRT, in float32 and in dynamic int8. Peers that are not installed are left
out and named.

In `results/edge.csv`, `ratio` is the median time divided by that of our fastest export of the same
precision, and `share_of_peak` the throughput of the model's matmuls divided by peak throughput (in
int8 for "int8", otherwise in float32). "int8" means integer weights or activations. Our "half"
stores float16 and computes in float32. In `results/edge_accuracy.csv`, `agreement` is the share of
images for which the Keras model gives the same class.

`--plot` only redraws `docs/edge.png` from the two tables.
"""

import json
import tempfile
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

# Keras is imported where it is used, because each candidate's process imports this file.
from benchmarks import measure
from benchmarks.peers import CHAIN, PEAKS, PEERS, SIDE, ours, serve
from benchmarks.processes import Process

MODELS = {"MixerB16": None, "MixerTi4": "cifar10"}  # weights; None for random ones
DATASET = "cifar10"  # for the accuracy
CALIBRATION = {"MixerB16": 8, "MixerTi4": 256}  # images; random ones where weights are random
THREADS = 2
RUNS = 5  # consecutive runs of a candidate in a round
# A candidate that takes more seconds than this runs once in each of the first rounds only.
SLOW_SECONDS, SLOW_ROUNDS = 1, 3
TOLERANCE = 1e-3  # for float32 scores of size 1: twelve blocks whose sums are in another order


def main(
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only candidates with this in their names; may be repeated."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Number of rounds.")] = 20,
    images: Annotated[int, typer.Option(min=1, help="Number of test images.")] = 10_000,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of TensorFlow Datasets.")] = None,
    plot: Annotated[bool, typer.Option("--plot", help="Only redraw the picture.")] = False,
):
    """Measures all candidates; writes two tables and a picture."""
    if not plot:
        run(only, rounds, images, data_dir)
    from benchmarks.edge_plot import draw

    print(draw())


def run(only, rounds, count, data_dir):
    from keras_mixer.tflite import RECIPES

    candidates = [
        candidate
        for candidate in (*map(ours, RECIPES), *PEERS)
        if not only or any(word.lower() in candidate.name.lower() for word in only)
    ]
    candidates = [candidate for candidate in candidates if _installed(candidate)]
    examples = _examples(count, data_dir)
    speeds, accuracies = [], []
    for model in MODELS:
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            work = write_model(model, Path(folder), examples)
            processes = {}
            for candidate in (*PEAKS, *candidates):
                process = _started(candidate, Path(folder), stack)
                if process:
                    processes[candidate] = process
            seconds = take_turns(model, processes, rounds)
            speeds += _speeds(model, work, processes, seconds, Path(folder))
            if MODELS[model]:
                accuracies += _accuracies(model, processes, Path(folder))
    measure.write_csv("edge", speeds)
    if accuracies:
        measure.write_csv("edge_accuracy", accuracies)


def write_model(name, folder, examples):
    """Writes the files that candidates start from; returns the operations of the matmuls."""
    import keras_mixer
    from keras_mixer._backend import predict

    print(f"{name}: writing its weights", flush=True)
    builder, random = getattr(keras_mixer, name), np.random.default_rng(0)
    model = builder(weights=MODELS[name], classifier_activation=None)
    if MODELS[name]:
        arrays = examples
    else:
        for weight in model.weights:
            noise = random.normal(size=weight.shape)
            fan_in = np.prod(weight.shape[:-1])
            weight.assign(weight + 0.1 * noise if noise.ndim == 1 else noise / fan_in**0.5)
        shape = (CALIBRATION[name], *model.input_shape[1:])
        arrays = {key: random.uniform(-1, 1, shape) for key in ("calibration", "images")}
    for key, array in arrays.items():
        np.save(folder / f"{key}.npy", array.astype(np.int64 if key == "labels" else np.float32))
    model.save(folder / "ours.keras")
    np.save(folder / "expected.npy", predict(model, np.load(folder / "images.npy")))

    with warnings.catch_warnings():
        # timm's GELU is another one; peers.py builds its model with ours.
        warnings.filterwarnings("ignore", "save_weights: .* code computes with gelu='erf'")
        keras_mixer.save_weights(model, folder / "timm.safetensors", layout="timm")
    size = model.input_shape[1]
    sizes = {**builder.sizes, "image_size": size, "classes": model.output_shape[-1]}
    (folder / "sizes.json").write_text(json.dumps(sizes))

    (folder / "peak").mkdir()
    np.save(folder / "peak" / "images.npy", np.ones((1, SIDE, SIDE), np.float32))
    return operations(**sizes)


def operations(*, patch_size, width, depth, token_mlp_dim, channel_mlp_dim, image_size, classes):
    """Multiplications and additions of a Mixer's matmuls, for one image."""
    tokens = (image_size // patch_size) ** 2
    stem = tokens * 3 * patch_size**2 * width
    block = 2 * tokens * width * (token_mlp_dim + channel_mlp_dim)
    return 2 * (stem + depth * block + width * classes)


def take_turns(model, processes, rounds):
    """Seconds of each candidate's runs; a candidate that dies is removed from `processes`."""
    seconds, slow = {candidate: [] for candidate in processes}, set()
    for number in range(rounds + 1):  # round 0 is a warm-up
        print(f"\r{model}: round {number} of {rounds}", end="", flush=True)
        for candidate, process in [*processes.items()]:
            if candidate in slow and number > SLOW_ROUNDS:
                continue
            try:
                times = process("times", 1 if candidate in slow or not number else RUNS)
            except RuntimeError as error:
                print(f"\n{candidate.name}: left out; {error}")
                del processes[candidate]
                continue
            if number:
                seconds[candidate] += times
            elif times[0] > SLOW_SECONDS:
                slow.add(candidate)
    print()
    return seconds


def _installed(candidate):
    missing = candidate.missing()
    if missing:
        print(
            f"{candidate.name}: left out; it needs {', '.join(missing)}: "
            'python -m pip install -e ".[benchmark]"'
        )
    return not missing


def _started(candidate, folder, stack):
    """The candidate's process, ready to run; None, and a printed reason, if it fails."""
    print(f"  {candidate.name} ...", end="", flush=True)
    inputs = folder / "peak" if candidate in PEAKS else folder
    file = _file(candidate, folder)
    log = file.with_suffix(".log")
    try:
        Process(log, candidate.prepare, folder, file).end()
        process = Process(log, serve, candidate, file, inputs / "images.npy", THREADS)
        stack.callback(process.end)
        scores = process("scores", 1)
        expected = np.load(folder / "expected.npy")
        if candidate.precision == "float32" and candidate not in PEAKS:
            difference = np.abs(scores - expected[:1]).max()
            if difference > TOLERANCE * max(1, np.abs(expected[:1]).max()):
                raise RuntimeError(f"its scores differ from Keras's by {difference:.2g}")
    except RuntimeError as error:
        print(f" left out; {error}")
        return None
    print(f" {_megabytes(file):.2f} MB", flush=True)
    return process


def _file(candidate, folder):
    return folder / f"{candidate.name.replace(' ', '_')}{candidate.suffix}"


def _megabytes(file):
    """Size of a candidate's file, with OpenVINO's separate file of weights."""
    return sum(path.stat().st_size for path in {file, *file.parent.glob(f"{file.stem}.bin")}) / 1e6


def _speeds(model, work, processes, seconds, folder):
    """Rows of the table of speeds."""
    medians = {candidate: np.median(seconds[candidate]) for candidate in processes}
    peak_work = 2 * CHAIN * SIDE**3
    peaks = {c.precision: peak_work / medians[c] for c in processes if c in PEAKS}
    best = {}
    for candidate, value in medians.items():
        if candidate.name.startswith("keras_mixer "):
            best[candidate.precision] = min(value, best.get(candidate.precision, value))
    rows = []
    for candidate, value in medians.items():
        is_peak, precision = candidate in PEAKS, candidate.precision
        throughput = (peak_work if is_peak else work) / value
        peak = peaks.get("int8" if precision == "int8" else "float32")
        low, high = np.percentile(seconds[candidate], (25, 75)) * 1e3
        rows.append(
            {
                "model": model,
                "candidate": candidate.name,
                "runtime": candidate.runtime,
                "version": candidate.versions(),
                "precision": precision,
                "median_ms": round(value * 1e3, 3),
                "quartile_1_ms": round(low, 3),
                "quartile_3_ms": round(high, 3),
                "ratio": ""
                if is_peak or precision not in best
                else round(value / best[precision], 3),
                "share_of_peak": round(throughput / peak, 3) if peak else "",
                "size_mb": "" if is_peak else round(_megabytes(_file(candidate, folder)), 2),
                "threads": THREADS,
                "runs": len(seconds[candidate]),
                "machine": measure.machine(),
            }
        )
        print(f"{candidate.name}: {rows[-1]['median_ms']} ms, {rows[-1]['ratio'] or '-'} of ours")
    return rows


def _accuracies(model, processes, folder):
    """Rows of the table of accuracies."""
    labels = np.load(folder / "labels.npy")
    expected = np.load(folder / "expected.npy").argmax(-1)
    rows = []
    for candidate, process in processes.items():
        if candidate in PEAKS:
            continue
        try:
            classes = process("scores", len(labels)).argmax(-1)
        except RuntimeError as error:
            print(f"{candidate.name}: no accuracy; {error}")
            continue
        rows.append(
            {
                "model": model,
                "candidate": candidate.name,
                "runtime": candidate.runtime,
                "version": candidate.versions(),
                "precision": candidate.precision,
                "accuracy": round(float(np.mean(classes == labels)), 4),
                "agreement": round(float(np.mean(classes == expected)), 4),
                "images": len(labels),
            }
        )
        print(f"{candidate.name}: accuracy {rows[-1]['accuracy']:.2%}", flush=True)
    return rows


def _examples(count, data_dir):
    """Calibration and test images of CIFAR-10, scaled for the models."""
    from keras_mixer import data

    found = {}
    for split, number in (("train", CALIBRATION["MixerTi4"]), ("test", count)):
        source = data.tfds(DATASET, split, data_dir=data_dir)
        batches = data.evaluation_batches(source, 250, 32, crop="resize")
        images, labels = [], []
        for batch, one_hot, _ in batches.take(-(-number // 250)).as_numpy_iterator():
            images.append(batch)
            labels.append(one_hot.argmax(-1))
        end = min(number, source.count)  # the last batch may be padded
        found[split] = np.concatenate(images)[:end], np.concatenate(labels)[:end]
    (calibration, _), (images, labels) = found["train"], found["test"]
    return {"calibration": calibration, "images": images, "labels": labels}


if __name__ == "__main__":
    typer.run(main)
