"""Run by a test in a process of its own: timm's models with random weights, files and answers.

python -m tests.weights.on_timm FOLDER NAME...

A name is one of timm's, or that of a tiny model, for which `FOLDER/NAME/timm.json` has what timm's
class takes besides sizes. The images are in `FOLDER/NAME/images.npy`, and there the files go.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

try:
    import torchvision  # noqa: F401
except RuntimeError:
    # Beside a PyTorch for CPUs only, torchvision's wheel misses these ops of its CUDA library.
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import timm
from timm.models import mlp_mixer

SIZES = {"img_size": (16, 32), "patch_size": 4, "embed_dim": 24, "num_blocks": 2, "num_classes": 7}


def tiny(arguments):
    known = vars(torch.nn) | vars(mlp_mixer)
    classes = {key: known[value] for key, value in arguments.items() if isinstance(value, str)}
    return mlp_mixer.MlpMixer(**SIZES, **arguments | classes)


def write(name, folder):
    arguments = folder / "timm.json"
    is_tiny = arguments.exists()
    model = tiny(json.loads(arguments.read_text())) if is_tiny else timm.create_model(name)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.eval().parameters():
            noise = torch.randn(parameter.shape, generator=random)
            if parameter.ndim == 1:
                parameter += 0.1 * noise
            else:
                parameter.copy_(noise / parameter[0].numel() ** 0.5)
        images = np.load(folder / "images.npy")
        logits = model(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()
    np.save(folder / "logits.npy", logits)
    state = model.state_dict()
    save_file(state, folder / "model.safetensors")
    if is_tiny:
        write_other_formats(state, folder)


def write_other_formats(state, folder):
    torch.save(state, folder / "model.pth")
    # As timm's clean_checkpoint.py writes its releases, and as a training script keeps them.
    torch.save(state, folder / "early.pth", _use_new_zipfile_serialization=False)
    parallel = {f"module.{key}": value for key, value in state.items()}
    torch.save({"epoch": 3, "state_dict": parallel}, folder / "training.bin")
    half = {key: value.to(torch.bfloat16) for key, value in state.items()}
    torch.save(half, folder / "bfloat16.pt")
    save_file(half, folder / "bfloat16.safetensors")


if __name__ == "__main__":
    for name in sys.argv[2:]:
        write(name, Path(sys.argv[1]) / name)
