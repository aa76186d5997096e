"""The rules of PyTorch's state dicts: names with dots, output channels first."""

from keras_mixer.weights.layouts import (
    SAME,
    TRANSPOSED,
    Layout,
    axes,
    ignored,
    joined,
    single,
    split,
)

# What wrappers and training scripts put before every name.
PREFIXES = ("module.", "_orig_mod.", "model.", "model_ema.")
# What torch.optim.swa_utils.AveragedModel puts beside the weights.
COUNTER = "n_averaged"

CONV = axes((2, 3, 1, 0))  # [out, in, height, width] -> [height, width, in, out]
DEPTHWISE = axes((2, 3, 0, 1))  # [channels, 1, height, width] -> [height, width, channels, 1]


def layout(name, layers, buffers=(), **attributes):
    """The layout of a PyTorch model.

    Args:
        name: Its name, for `save_weights` and for messages.
        layers: Our layer, `"block_{i}/norm"`, or a tuple of them -> a kind of layer below.
        buffers: Names of their buffers, which no weight of ours needs.
        **attributes: Other attributes of `Layout`.
    """
    rules = [rule for ours, kind in layers.items() for rule in kind(ours)]
    rules += map(ignored, (COUNTER, *buffers))
    attributes = {"rename": without_prefixes} | attributes
    return Layout(name, tuple(rules), ".safetensors", **attributes)


def dense(theirs, kernel=TRANSPOSED):
    """`nn.Linear`; or any layer with a weight and a bias, given the conversion of its weight."""
    return lambda ours: [
        single(f"{ours}/kernel", f"{theirs}.weight", kernel),
        single(f"{ours}/bias", f"{theirs}.bias"),
    ]


def conv(theirs):
    """`nn.Conv2d`."""
    return dense(theirs, CONV)


def depthwise(theirs):
    """`nn.Conv2d` with as many groups as channels."""
    return dense(theirs, DEPTHWISE)


def norm(theirs):
    """`nn.LayerNorm`."""
    return lambda ours: [
        single(f"{ours}/gamma", f"{theirs}.weight"),
        single(f"{ours}/beta", f"{theirs}.bias"),
    ]


def batch_norm(theirs):
    """`nn.BatchNorm2d`, with its statistics and without its count of batches."""
    return lambda ours: [
        *norm(theirs)(ours),
        single(f"{ours}/moving_mean", f"{theirs}.running_mean"),
        single(f"{ours}/moving_variance", f"{theirs}.running_var"),
        ignored(f"{theirs}.num_batches_tracked"),
    ]


def parameters(conversion=SAME, **theirs):
    """`nn.Parameter`s: our weight's name -> their name."""
    return lambda ours: [
        single(f"{ours}/{weight}", name, conversion) for weight, name in theirs.items()
    ]


def split_dense(theirs):
    """One `nn.Linear` that is several dense layers of ours, such as queries, keys and values."""
    return lambda ours: [
        split([f"{o}/kernel" for o in ours], f"{theirs}.weight", TRANSPOSED),
        split([f"{o}/bias" for o in ours], f"{theirs}.bias"),
    ]


def joined_dense(*theirs):
    """Several `nn.Linear` that are one dense layer of ours."""
    return lambda ours: [
        joined(f"{ours}/kernel", [f"{t}.weight" for t in theirs], TRANSPOSED),
        joined(f"{ours}/bias", [f"{t}.bias" for t in theirs]),
    ]


def without_prefixes(names):
    """Names without the prefixes of wrappers -> names in the file."""
    short = {}
    for name in names:
        rest = name
        while prefix := next((p for p in PREFIXES if rest.startswith(p)), ""):
            rest = rest.removeprefix(prefix)
        short[rest] = name
    return short
