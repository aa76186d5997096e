"""One row per architecture. Every property test runs over all rows."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from inspect import signature

import keras
import numpy as np

import keras_mixer
from keras_mixer.models import ARCHITECTURES
from tests import oracles


def everywhere(block, cell, size):
    """Each token is mixed with each."""
    return {*np.ndindex(*size)}


def neighbours(block, cell, size):
    """A quarter of the channels moves by a cell in each direction, and none beyond the border."""
    moved = {tuple(np.add(cell, step)) for step in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))}
    return moved & {*np.ndindex(*size)}


def regions(block, cell, size):
    """A region of rows, and one of columns; what fills the last regions is from the beginning."""

    def along(axis):
        length, step, region = size[axis], block.step, block.region
        order = [(i - step) % length for i in range(-(-length // region) * region)]
        parts = [order[i : i + region] for i in range(0, len(order), region)]
        return [j for j in range(length) if cell[axis] in parts[(j + step) % length // region]]

    row, column = cell
    return {(i, column) for i in along(0)} | {(row, j) for j in along(1)} | {cell}


@dataclass(frozen=True, eq=False)
class Case:
    """What the property tests need to know of an architecture.

    Attributes:
        architecture: Its name in `keras_mixer.models.ARCHITECTURES`, and its file's.
        tiny: A builder with the sizes of a small model, not square and of two blocks or more; takes
            what builders take.
        shallow: Sizes with which it has fewer blocks, for what takes long.
        oracle: Its forward pass in NumPy, from weights by path and images to logits, in float64.
        resized: How `resize` makes a model for larger images: `"tiles"`, `"rebuilt"` with the same
            weights, or None where there is none.
        reach: A function from a block, a cell and the size of the map to the cells that the cell
            moves in that block, beside the weights of a split attention, which come from all.
        timm: What timm's `MlpMixer` takes besides sizes to be the tiny model, classes by name; None
            where timm has no such model.
        timm_names: Some of timm's models -> our builders.
    """

    architecture: str
    tiny: partial
    oracle: Callable
    shallow: dict = field(default_factory=lambda: {"depth": 1})
    resized: str | None = "tiles"
    reach: Callable = everywhere
    timm: dict | None = None
    timm_names: dict = field(default_factory=dict)

    def trained(self, **arguments):
        """A tiny model in which no weight is at its start, so that none can be left out unseen."""
        return randomised(self.tiny(**arguments))

    def but(self, **sizes):
        """The same with other sizes."""
        return replace(self, tiny=partial(self.tiny, **sizes))

    def images(self, count=4):
        shape = count, *self.tiny.keywords["input_shape"]
        return np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)


def randomised(model):
    """Gives every weight a value away from its start: no zeros, no ones, the same in each call."""
    random = np.random.default_rng(0)
    for weight in model.weights:
        noise = random.normal(size=weight.shape)
        if noise.ndim == 1:  # a bias, a scale
            # Biases of gMLP and gMixer start at random, near 1e-6.
            start = keras.ops.convert_to_numpy(weight).round(4)
            weight.assign(start + 0.1 * noise)
        else:
            weight.assign(noise / np.sqrt(noise[..., 0].size))
    return model


def small(builder, **sizes):
    """A builder with sizes, for images of 16 x 32 and 7 classes unless told otherwise."""
    return partial(builder, **{"input_shape": (16, 32, 3), "classes": 7} | sizes)


CASES = [
    Case(
        architecture="mlp_mixer",
        tiny=small(
            keras_mixer.MlpMixer,
            patch_size=4,
            width=24,
            depth=2,
            token_mlp_dim=20,
            channel_mlp_dim=48,
        ),
        oracle=oracles.mlp_mixer,
        timm={"mlp_ratio": (20 / 24, 2)},
        timm_names={"mixer_b16_224": keras_mixer.MixerB16},
    ),
    Case(
        architecture="res_mlp",
        tiny=small(
            keras_mixer.ResMlp,
            patch_size=4,
            width=24,
            depth=2,
            channel_mlp_dim=48,
            layer_scale=0.1,
        ),
        oracle=oracles.res_mlp,
        timm={"mlp_ratio": 2, "block_layer": "ResBlock", "norm_layer": "Affine"},
        timm_names={"resmlp_12_224": keras_mixer.ResMlpS12},
    ),
    Case(
        architecture="g_mlp",
        tiny=small(keras_mixer.GMlp, patch_size=4, width=24, depth=2, hidden_dim=40),
        oracle=oracles.g_mlp,
        timm={
            "mlp_ratio": 40 / 24,
            "block_layer": "SpatialGatingBlock",
            "mlp_layer": "GatedMlp",
        },
        timm_names={"gmlp_s16_224": keras_mixer.GMlpS},
    ),
    Case(
        architecture="g_mixer",
        tiny=small(
            keras_mixer.GMixer,
            patch_size=4,
            width=24,
            depth=2,
            token_mlp_dim=20,
            channel_mlp_dim=48,
        ),
        oracle=oracles.g_mixer,
        timm={"mlp_ratio": (40 / 24, 4), "mlp_layer": "GluMlp", "act_layer": "SiLU"},
        timm_names={"gmixer_24_224": keras_mixer.GMixer24},
    ),
    Case(
        architecture="ccs",
        tiny=small(
            keras_mixer.Ccs,
            patch_size=4,
            width=24,
            depth=2,
            groups=3,
            channel_mlp_dim=48,
            backbone="mixer",
        ),
        oracle=oracles.ccs,
        resized=None,
    ),
    Case(
        architecture="s2_mlp",
        tiny=small(
            keras_mixer.S2Mlp,
            patch_size=4,
            width=24,
            depth=2,
            channel_mlp_dim=48,
            norm="layer_norm",
        ),
        oracle=oracles.s2_mlp,
        resized="rebuilt",
        reach=neighbours,
    ),
    Case(
        architecture="s2_mlp_v2",
        tiny=small(
            keras_mixer.S2MlpV2,
            patch_sizes=(4, 2),
            widths=(16, 24),
            depths=(1, 1),
            channel_mlp_ratio=2,
        ),
        oracle=oracles.s2_mlp_v2,
        resized="rebuilt",
        reach=neighbours,
        shallow={"depths": (1, 1)},
    ),
    Case(
        architecture="hire_mlp",
        tiny=small(
            keras_mixer.HireMlp,
            widths=(16, 24),
            depths=(1, 2),
            regions=(4, 3),
            shift_cycles=(2, 3),
            shift_steps=(2, 1),
            channel_mlp_ratio=2,
            input_shape=(36, 56, 3),
        ),
        oracle=partial(oracles.hire_mlp, regions=(4, 3), strides=(2, 3), dilations=(2, 1)),
        resized="rebuilt",
        reach=regions,
        shallow={"depths": (1, 1)},
    ),
]
# What takes seconds a row runs by default for a model of tokens, with layer norms, and for one of
# maps in stages, with batch norms.
PILOTS = [case for case in CASES if case.architecture in ("mlp_mixer", "hire_mlp")]
OTHERS = [case for case in CASES if case not in PILOTS]
BY_NAME = {case.architecture: case for case in CASES}
TILED = [case for case in CASES if case.resized == "tiles"]
ISOTROPIC = [case for case in CASES if "depth" in case.shallow]
WITH_LAYOUTS = [case for case in CASES if ARCHITECTURES[case.architecture].layouts]
WITH_TOKENS_FIRST = [case for case in CASES if "tokens_first" in signature(case.tiny).parameters]
# The published model of each family with the fewest parameters, by architecture.
SMALLEST = {
    name: min((b for b in it.variants.values() if b.sizes), key=lambda b: b.params).__name__
    for name, it in ARCHITECTURES.items()
}
