"""Random checkpoints in the layouts that Google released, from the paper's sizes alone."""

import numpy as np


def shapes(patch_size, width, depth, token_mlp_dim, channel_mlp_dim, tokens, classes):
    """Name -> shape of every array of a released `.npz`, as vit_jax/models_mixer.py makes them."""

    def dense(name, inputs, outputs):
        return {f"{name}/kernel": (inputs, outputs), f"{name}/bias": (outputs,)}

    def norm(name):
        return {f"{name}/scale": (width,), f"{name}/bias": (width,)}

    arrays = {"stem/kernel": (patch_size, patch_size, 3, width), "stem/bias": (width,)}
    for i in range(depth):
        block = f"MixerBlock_{i}"
        arrays |= norm(f"{block}/LayerNorm_0") | norm(f"{block}/LayerNorm_1")
        for mixing, size, hidden in (
            ("token_mixing", tokens, token_mlp_dim),
            ("channel_mixing", width, channel_mlp_dim),
        ):
            arrays |= dense(f"{block}/{mixing}/Dense_0", size, hidden)
            arrays |= dense(f"{block}/{mixing}/Dense_1", hidden, size)
    return arrays | norm("pre_head_layer_norm") | dense("head", width, classes)


def checkpoint(sizes, *, tokens=None, classes=1000):
    """Random arrays of a released size; no value is left at a start that could hide its absence."""
    tokens = tokens or (224 // sizes["patch_size"]) ** 2
    random = np.random.default_rng(0)
    arrays = {}
    for name, shape in shapes(**sizes, tokens=tokens, classes=classes).items():
        noise = random.standard_normal(shape, np.float32)
        if name.endswith("kernel"):
            arrays[name] = noise / np.float32(np.sqrt(noise[..., 0].size))
        else:
            arrays[name] = np.float32(0.1) * noise + name.endswith("scale")
    return arrays


def early(arrays):
    """The same arrays as files had them before Flax's Linen.

    Numbers of modules ran through all kinds of them, and dense layers were one-head attention's,
    with axes of length one. big_vision/models/mlp_mixer.py, `load`, reads such files.
    """
    modules = {
        "LayerNorm_0": "LayerNorm_0",
        "token_mixing": "token_mixing_phase_1",
        "LayerNorm_1": "LayerNorm_2",
        "channel_mixing": "channel_mixing_phase_3",
    }
    renamed = {}
    for name, array in arrays.items():
        module, *rest = name.split("/")
        if module == "stem":
            renamed["/".join(["embedding", *rest])] = array
        elif module == "pre_head_layer_norm":
            renamed["/".join(["Mixer/encoder_norm", *rest])] = array
        elif module == "head":
            renamed[name] = array
        else:
            block = f"Mixer/encoderblock_{module.removeprefix('MixerBlock_')}"
            kind, *leaf = rest
            if len(leaf) == 2:  # Dense_0/kernel -> kernel1
                leaf = [f"{leaf[1]}{int(leaf[0][-1]) + 1}"]
                array = array[None]
            renamed["/".join([block, modules[kind], *leaf])] = array
    return renamed
