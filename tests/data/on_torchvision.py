"""Pixels of torchvision's and timm's transforms, kept in `torchvision.npz` as an oracle.

Made once, with timm 1.0.31, torchvision 0.28.0 and Pillow 13.0.0, by

    python -m tests.data.on_torchvision
"""

from pathlib import Path

import numpy as np

PATH = Path(__file__).with_name("torchvision.npz")
# Height and width of a picture, of the image, crop_pct, and timm's names of crop and interpolation.
CASES = [
    ((97, 141), (48, 48), 0.9, "center", "bicubic"),  # 53.3 down; 77.03 down; 12.5 to 12
    ((140, 96), (48, 48), 0.875, "center", "bilinear"),
    ((53, 61), (48, 48), 0.95, "center", "lanczos"),
    ((30, 41), (48, 48), 1.0, "center", "bicubic"),  # becomes larger
    ((97, 141), (48, 33), 0.9, "center", "bicubic"),  # not square: the longer side is rounded
    ((141, 97), (32, 48), 0.9, "center", "bilinear"),
    ((120, 160), (48, 48), 0.9, "squash", "bicubic"),
]


def picture(height, width):
    """Waves and noise, uint8 [H, W, 3]."""
    rows, columns = np.mgrid[:height, :width]
    noise = np.random.default_rng(height).integers(-60, 60, (height, width, 3))
    waves = [90 * np.sin(rows / 7 + n) * np.cos(columns / (5 + n)) for n in range(3)]
    return (127 + np.stack(waves, -1) + noise).clip(0, 255).astype(np.uint8)


def main():
    import torch

    # Beside a PyTorch for CPUs only, torchvision's wheel misses these ops of its CUDA library.
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from PIL import Image
    from timm.data.transforms_factory import transforms_imagenet_eval

    made = {}
    for n, (shape, size, share, crop, interpolation) in enumerate(CASES):
        transform = transforms_imagenet_eval(
            size, share, crop, interpolation=interpolation, normalize=False
        )
        pixels = transform(Image.fromarray(picture(*shape)))
        made[str(n)] = pixels.numpy().transpose(1, 2, 0)
    np.savez_compressed(PATH, **made)


if __name__ == "__main__":
    main()
