"""Arrays, lists and the tensors of TensorFlow, PyTorch and JAX as NumPy arrays."""

import numpy as np


class DataWarning(UserWarning):
    """Images may be something else than they are taken for, or some were left out."""


def as_array(values):
    """A NumPy array from an array, a tensor, a Pillow image or nested lists.

    bfloat16 becomes float32. Rows of different lengths, and what is no array, become an array of
    objects.

    Raises:
        ValueError: Some values are masked.
    """
    if np.ma.is_masked(values):
        raise ValueError(
            f"A masked array {values.shape} has values that are unknown; select the images without "
            "them, or fill them in: array.filled(0)."
        )
    if hasattr(values, "detach"):  # PyTorch: also with a gradient, or on a GPU
        values = values.detach().cpu()
        if str(values.dtype) == "torch.bfloat16":  # which NumPy does not have
            values = values.float()
    try:
        array = np.asarray(values)
    except (TypeError, ValueError):
        return np.array(None)
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def as_pixels(images, who):
    """uint8 pixels from an array of integers from 0 to 255, or of booleans, where True is white.

    Pixels of 16 bits are refused: whether 200 is bright or nearly black cannot be told from one
    image.
    """
    if images.dtype.kind == "b":
        return images * np.uint8(255)
    low, high = (images.min(), images.max()) if images.size else (0, 0)
    if low < 0 or high > 255:
        raise ValueError(
            f"{who} needs integers to be pixels from 0 to 255; got {low} to {high} as "
            f"{images.dtype}. Of pixels of 16 bits pass the upper 8, (pixels >> 8).astype('uint8')"
            "; pass images that are already scaled for the model as floats."
        )
    return images.astype(np.uint8)
