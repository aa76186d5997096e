"""Words for messages, and from the command line."""

import ast


def listed(names):
    """`["a", "b", "c"]` -> `"a, b and c"`."""
    *most, last = map(str, names)
    return f"{', '.join(most)} and {last}" if most else last


def option(text):
    """`"patch_size=4"` -> `("patch_size", 4)`; what is no Python literal is a word.

    Raises:
        ValueError: It is not written so.
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"An option of the model is written key=value; got {text!r}.")
    try:
        return key, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return key, value


def left_out(folder, skipped):
    """What of a folder was left out and why: path -> reason, the first five."""
    some = "; ".join(f"{path.name}: {reason}" for path, reason in [*skipped.items()][:5])
    more = "; ..." if len(skipped) > 5 else ""
    return f"{folder}: left out {len(skipped)}: {some}{more}."
