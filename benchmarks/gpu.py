"""Training and inference on a GPU: our models on JAX beside timm's under torch.compile.

    python -m benchmarks.gpu
    python -m benchmarks.gpu --tiny

Train step and forward pass of the same networks on the same batch, with AdamW and a cross-entropy:
ours under `mixed_bfloat16`, with `tokens_first` and without; timm's with autocast to bfloat16, in
inference with weights in bfloat16, images in channels-last order and a fused AdamW. Ours is the
train step that `model.fit` compiles, called directly with images that stay on the device, because
PyTorch's loop has no input pipeline, callbacks or progress bar either.

Each candidate has its own process, which compiles, warms up, and is stopped while others run; a
measurement is a number of steps without waiting in between, then one wait for the device. All
candidates of a network take turns. After each network the rows so far are written to
`results/gpu.csv`; a network that may not fit the time limit is left out. `ratio` is the time
divided by timm's. `--tiny` runs small networks anywhere, and writes nothing.

Needs JAX and PyTorch with CUDA, and timm.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Annotated

import typer

# Keras, JAX and PyTorch are imported where they are used, in each candidate's own process.
from benchmarks import measure
from benchmarks.processes import Process

STEPS = "train", "predict"
ROUNDS, SECONDS, WARMUP = 7, 0.5, 3  # seconds of one measurement; steps of the warm-up
RATE, DECAY = 1e-3, 0.05
# Model -> our builder of any size, and the sizes.
# fmt: off
MODELS = {
    "MixerS16": ("MlpMixer", {"patch_size": 16, "width": 512, "depth": 8,
                              "token_mlp_dim": 256, "channel_mlp_dim": 2048}),
    "MixerB16": ("MlpMixer", {"patch_size": 16, "width": 768, "depth": 12,
                              "token_mlp_dim": 384, "channel_mlp_dim": 3072}),
    "GMlpS": ("GMlp", {"patch_size": 16, "width": 256, "depth": 30, "hidden_dim": 1536}),
    "ResMlpS24": ("ResMlp", {"patch_size": 16, "width": 384, "depth": 24,
                             "channel_mlp_dim": 1536, "layer_scale": 1e-5}),
}
TINY = {
    "MlpMixer": {"patch_size": 8, "width": 16, "depth": 1, "token_mlp_dim": 8,
                 "channel_mlp_dim": 32},
    "GMlp": {"patch_size": 8, "width": 16, "depth": 1, "hidden_dim": 32},
    "ResMlp": {"patch_size": 8, "width": 16, "depth": 1, "channel_mlp_dim": 32,
               "layer_scale": 0.1},
}
# fmt: on


def main(
    model: Annotated[
        list[str] | None, typer.Option(help="One of the models; may be repeated. By default all.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Images per step.")] = 256,
    limit: Annotated[int, typer.Option(min=1, help="Time limit in seconds.")] = 480,
    torch_mode: Annotated[str, typer.Option(help="Mode of torch.compile.")] = "default",
    tiny: Annotated[bool, typer.Option("--tiny", help="Small networks; writes nothing.")] = False,
):
    """Measures the models and writes their rows."""
    start, longest, rows = perf_counter(), 0, []
    known = {name: (name, sizes) for name, sizes in TINY.items()} if tiny else MODELS
    networks = {name: known[name] for name in model or known}
    size, classes, batch = (32, 10, 4) if tiny else (224, 1000, batch)
    for name, network in networks.items():
        begun = perf_counter()
        if rows and begun - start + longest > limit:
            print(f"{name} is left out: it may not fit the limit of {limit} s", flush=True)
            continue
        job = (*network, size, classes, batch)
        candidates = {
            "keras_mixer tokens_first": partial(ours, *job, True),
            "keras_mixer": partial(ours, *job, False),
            "timm torch.compile": partial(timm, *job, torch_mode),
        }
        for row in measured(candidates, 1 if tiny else ROUNDS, start + limit):
            rows.append({"model": name, "batch": batch, **row})
            print(", ".join(f"{value}" for value in rows[-1].values()), flush=True)
        if rows and not tiny:
            measure.write_csv("gpu", rows)
        longest = max(longest, perf_counter() - begun)
    return rows


def measured(candidates, rounds, deadline):
    """The rows of the candidates of one network; those that fail are named and left out."""
    # The pool outlives the processes: Linux ends a process with the thread that started it.
    with TemporaryDirectory() as folder, ThreadPoolExecutor() as pool, ExitStack() as stack:
        started = {
            name: pool.submit(Process, Path(folder) / name, start)
            for name, start in candidates.items()
        }
        processes = {}
        for name, future in started.items():
            try:
                processes[name] = future.result()
                stack.callback(processes[name].end)
            except RuntimeError as error:
                print(f"{name} is left out: {error}", flush=True)
        about = {name: process("about") for name, process in processes.items()}
        params = {name: each.pop("params") for name, each in about.items()}
        if len({*params.values()}) > 1:
            raise RuntimeError(f"The networks differ in their numbers of parameters: {params}.")
        for step in STEPS:
            seconds = {name: [] for name in processes}
            for _ in range(rounds):
                for name, process in processes.items():
                    seconds[name].append(process(step))
                if perf_counter() > deadline:
                    break
            peer = median(seconds.get("timm torch.compile") or [0])
            for name, times in seconds.items():
                yield {
                    "step": step,
                    "candidate": name,
                    "median_ms": round(median(times) * 1e3, 3),
                    "fastest_ms": round(min(times) * 1e3, 3),
                    "ratio": round(median(times) / peer, 3) if peer else "",
                    "rounds": len(times),
                    **about[name],
                }


def serve(steps, wait, about):
    """The function of a process: the seconds of a step, or what the process runs on."""
    count = {}
    for name, step in steps.items():
        for _ in range(WARMUP):  # compiles
            wait(step())
        start = perf_counter()
        wait(step())
        count[name] = max(1, round(SECONDS / (perf_counter() - start)))

    def answer(asked):
        if asked == "about":
            return about
        start = perf_counter()
        for _ in range(count[asked]):
            result = steps[asked]()
        wait(result)
        return (perf_counter() - start) / count[asked]

    return answer


def ours(builder, sizes, size, classes, batch, tokens_first):
    os.environ["KERAS_BACKEND"] = "jax"
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # the processes share the memory
    import jax
    import keras
    import numpy as np

    import keras_mixer

    keras.config.set_dtype_policy("mixed_bfloat16")
    options = {"gelu": "erf"} if builder == "MlpMixer" else {}  # timm's
    model = getattr(keras_mixer, builder)(
        **sizes,
        **options,
        tokens_first=tokens_first,
        input_shape=(size, size, 3),
        classes=classes,
        classifier_activation=None,
    )
    model.compile(
        keras.optimizers.AdamW(RATE, weight_decay=DECAY),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.optimizer.build(model.trainable_variables)
    images, labels = map(jax.device_put, examples(size, classes, batch))

    @jax.jit
    def forward(trainable, others, images):
        return model.stateless_call(trainable, others, images, training=False)[0]

    # Copies, because each train step takes over the memory of the state that it is given.
    weights = [
        [jax.numpy.array(v.value) for v in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables)
    ]
    state = [
        [v.value for v in variables]
        for variables in (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )
    ]
    compiled = jax.jit(model.train_step, donate_argnums=0)

    def train():
        nonlocal state
        logs, state = compiled(state, (images, labels))
        return logs, state

    [device] = jax.devices()[:1]
    about = {
        "params": int(sum(np.prod(v.shape) for v in model.trainable_variables)),
        "device": device.device_kind if device.platform == "gpu" else measure.machine(),
        "versions": " ".join(f"{name} {version(name)}" for name in ("keras", "jax")),
    }
    steps = {"train": train, "predict": lambda: forward(*weights, images)}
    return serve(steps, jax.block_until_ready, about)


def timm(builder, sizes, size, classes, batch, mode):
    import torch
    from torch.nn.functional import cross_entropy

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_float32_matmul_precision("high")
    last = {"device": device, "memory_format": torch.channels_last}
    model = timm_model(builder, sizes, size, classes).to(**last).train()
    half = timm_model(builder, sizes, size, classes).to(**last, dtype=torch.bfloat16).eval()
    optimizer = torch.optim.AdamW(
        model.parameters(), RATE, weight_decay=DECAY, fused=device == "cuda"
    )
    images, labels = map(torch.from_numpy, examples(size, classes, batch))
    images, labels = images.permute(0, 3, 1, 2).to(**last), labels.long().to(device)
    half_images = images.bfloat16()
    compiled, compiled_half = (torch.compile(each, mode=mode) for each in (model, half))

    def train():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16):
            loss = cross_entropy(compiled(images), labels)
        loss.backward()
        optimizer.step()

    def predict():
        with torch.inference_mode():
            compiled_half(half_images)

    def wait(_):
        if device == "cuda":
            torch.cuda.synchronize()

    about = {
        "params": sum(weight.numel() for weight in model.parameters()),
        "device": torch.cuda.get_device_name() if device == "cuda" else measure.machine(),
        "versions": " ".join(f"{name} {version(name)}" for name in ("timm", "torch")),
    }
    return serve({"train": train, "predict": predict}, wait, about)


def timm_model(builder, sizes, size, classes):
    """timm's network of our sizes."""
    from benchmarks.peers import timm_mlp_mixer

    mixers, width = timm_mlp_mixer(), sizes["width"]
    if builder == "MlpMixer":
        ratio = sizes["token_mlp_dim"] / width, sizes["channel_mlp_dim"] / width
        options = {"mlp_ratio": ratio}
    elif builder == "GMlp":
        options = {
            "mlp_ratio": sizes["hidden_dim"] / width,
            "block_layer": mixers.SpatialGatingBlock,
            "mlp_layer": mixers.GatedMlp,
        }
    else:
        options = {
            "mlp_ratio": sizes["channel_mlp_dim"] / width,
            "block_layer": partial(mixers.ResBlock, init_values=sizes["layer_scale"]),
            "norm_layer": mixers.Affine,
        }
    return mixers.MlpMixer(
        num_classes=classes,
        img_size=size,
        patch_size=sizes["patch_size"],
        num_blocks=sizes["depth"],
        embed_dim=width,
        **options,
    )


def examples(size, classes, batch):
    """Random images `[B, H, W, 3]` and labels `[B]`."""
    import numpy as np

    random = np.random.default_rng(0)
    images = random.uniform(-1, 1, (batch, size, size, 3)).astype(np.float32)
    return images, random.integers(classes, size=batch).astype(np.int32)


if __name__ == "__main__":
    typer.run(main)
