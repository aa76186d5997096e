"""Layers within layers."""


def sublayer(outer, kind, name, shape, *arguments, **options):
    """A built layer within another, of its data type: `kind(*arguments, **options)`."""
    layer = kind(*arguments, dtype=outer.dtype_policy, name=name, **options)
    layer.build(shape)
    layer.trainable = outer.trainable  # a frozen layer that is loaded or cloned stays frozen
    return layer
