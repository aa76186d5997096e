"""Types that many public functions share."""

import os
from collections.abc import Iterable, Sequence
from typing import Any

from numpy.typing import ArrayLike

StrPath = str | os.PathLike
Size = int | Sequence[int]  # one side of a square, or height and width
Numbers = float | Sequence[float]  # one for all channels, or one a channel
InputRange = Sequence  # what is black and what is white: two numbers, or two sequences of them
Labels = StrPath | Sequence[str]  # a text file with one class name a line, or the names
Tflite = StrPath | bytes  # a .tflite file, or its bytes
# A .npy, .npz or folder; an array; a pair (images, labels); a data set or other batches.
Images = StrPath | ArrayLike | tuple | Iterable[Any]
