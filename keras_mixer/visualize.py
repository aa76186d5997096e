"""Pictures of learnt weights."""

from collections.abc import Iterable

import keras
import numpy as np

from keras_mixer._checks import check_model, check_whole
from keras_mixer._extras import needs
from keras_mixer.layers import Residual

with needs(__name__):
    from matplotlib.figure import Figure


def show_weights(
    model: keras.Model, blocks: Iterable[int] = (0, 1, 2), *, units: int = 128
) -> "Figure":
    """Draws token-mixing weights as maps over the image, as the Mixer paper does.

    Each hidden unit of a block's token-mixing MLP has one weight for each patch of the image. The
    weights of a unit are drawn at the positions of the patches, blue for negative and red for
    positive, and scaled for each unit. Each unit is followed by the unit closest to its negative;
    these pairs are sorted by spatial frequency, low first.

    Args:
        model: A model whose blocks mix tokens with dense layers, such as `MixerB16`.
        blocks: Indices of the blocks to draw, side by side.
        units: Maximum number of units of each block.

    Returns:
        A `matplotlib.figure.Figure`; `figure.savefig("weights.png")` writes it.

    Raises:
        ValueError: The model has no blocks of these indices that mix tokens, or `units` is below 2.

    Source: Mixer paper, the figure of the first token-mixing MLPs' hidden units. Its caption gives
    the order, units of opposing phase in pairs and pairs by filter frequency, but does not define
    the frequency; here it is the mean over a unit's power spectrum.
    """
    check_model(model, "show_weights")
    check_whole("show_weights", 2, units=units)
    blocks_of = [layer for layer in model.layers if isinstance(layer, Residual)]
    mixers = {block.name: block for block in blocks_of if block.token_kernel is not None}
    names = [f"block_{i}" for i in blocks]
    if not names or not set(names) <= mixers.keys():
        raise ValueError(
            f"show_weights needs blocks that mix tokens; '{model.name}' has "
            f"{', '.join(mixers) or 'none'}; got {', '.join(names) or 'none'}."
        )
    height, width = model.get_layer("map").output.shape[1:3]

    panels = []
    for name in names:
        kernel = keras.ops.convert_to_numpy(mixers[name].token_kernel)  # [S, units]
        maps = kernel.T.reshape(-1, height, width)
        panels.append(_mosaic(maps[paired_order(maps)][:units]))
    rows, columns = panels[0].shape
    figure = Figure(figsize=(5 * len(panels), 5 * rows / columns + 0.4), layout="constrained")
    figure.get_layout_engine().set(wspace=0.15)
    subplots = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, name, panel in zip(subplots, names, panels, strict=True):
        axes.imshow(panel, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
        axes.set_title(name)
        axes.axis("off")
    return figure


def paired_order(maps):
    """Indices of maps `[N, h, w]`: pairs of opposite maps, low spatial frequencies first."""
    count, height, width = maps.shape
    power = np.abs(np.fft.fft2(maps)) ** 2
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    mean_frequency = (power * frequency).sum((1, 2)) / np.maximum(power.sum((1, 2)), 1e-30)
    flat = maps.reshape(count, -1)
    flat = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-30)
    similarity = flat @ flat.T  # cosine

    left = list(np.argsort(mean_frequency, kind="stable"))
    order = []
    while left:
        first = left.pop(0)
        order.append(first)
        if left:
            opposite = left[np.argmin(similarity[first, left])]
            left.remove(opposite)
            order.append(opposite)
    return order


def _mosaic(maps):
    """[N, h, w] -> an almost square picture of maps scaled to [-1, 1], with NaN between them."""
    count, height, width = maps.shape
    columns = max(
        2, round((count * height / width) ** 0.5) // 2 * 2
    )  # even, so that pairs stay in one row
    full = [c for c in range(2, 2 * columns, 2) if count % c == 0 and 2 * c >= columns]
    columns = min(full, key=lambda c: abs(c - columns), default=columns)
    # One token between the maps of a pair, and three between pairs.
    left = [c * (width + 1) + c // 2 * 2 for c in range(columns)]
    top = [r * (height + 2) for r in range(-(-count // columns))]
    picture = np.full((top[-1] + height, left[-1] + width), np.nan)
    for i, unit in enumerate(maps):
        y, x = top[i // columns], left[i % columns]
        picture[y : y + height, x : x + width] = unit / max(np.abs(unit).max(), 1e-30)
    return picture
