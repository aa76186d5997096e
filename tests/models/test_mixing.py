"""Which cells a cell moves in one block, as the papers say."""

import keras
import numpy as np

from keras_mixer._keras import inner_layers
from keras_mixer.layers import Residual, SplitAttention


def test_a_cell_moves_the_cells_that_the_paper_says_and_no_other(case):
    model = case.trained()
    random = np.random.default_rng(0)
    for block in [layer for layer in model.layers if isinstance(layer, Residual)]:
        for layer in inner_layers(block):
            if isinstance(layer, SplitAttention):  # its weights for each channel are of all cells
                layer.excite.set_weights([0 * w for w in layer.excite.get_weights()])
        _, *size, channels = block.get_build_config()["input_shape"]
        cells = [*np.ndindex(*size)]
        x = random.normal(size=(1, *size, channels)).astype(np.float32).repeat(len(cells), axis=0)
        moved = x.copy()
        for image, cell in zip(moved, cells, strict=True):
            image[cell] += random.normal(size=channels)
        before, after = (keras.ops.convert_to_numpy(block(each)) for each in (x, moved))
        for cell, differs in zip(cells, np.any(after != before, axis=-1), strict=True):
            found = {tuple(each) for each in np.argwhere(differs).tolist()}
            assert found == case.reach(block, cell, size), (block.name, cell)
