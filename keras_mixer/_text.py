"""Words for messages."""


def listed(names):
    """`["a", "b", "c"]` -> `"a, b and c"`."""
    *most, last = map(str, names)
    return f"{', '.join(most)} and {last}" if most else last
