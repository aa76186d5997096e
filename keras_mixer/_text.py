"""Words for messages, and options from the command line."""

import ast
import re
import sys
from collections.abc import Mapping, Set
from difflib import get_close_matches

# Words that Python does not read as literals. `'"no"'`, in quotes, is still the text "no".
WORDS = {
    **dict.fromkeys(("true", "yes", "on"), True),
    **dict.fromkeys(("false", "no", "off"), False),
    "none": None,
}
# What a terminal obeys or shows otherwise than as text: control characters, what changes the
# direction of writing, separators of lines, and halves of characters outside Unicode's first plane.
CONTROLS = re.compile(r"[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text, keep=""):
    """Text from a file as it may be printed: control characters become escapes such as `\\u001b`.

    Args:
        text: Any text.
        keep: Control characters that stay, such as `"\\n"`.
    """
    return CONTROLS.sub(lambda c: c[0] if c[0] in keep else f"\\u{ord(c[0]):04x}", str(text))


def one_line(message):
    """A message of another library, in one line that may be printed."""
    return printable(" ".join(str(message).split()))


def say(*lines):
    """Prints lines; what the console cannot show becomes its number, as on the command line."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    for line in lines:
        print(line.encode(encoding, "backslashreplace").decode(encoding), flush=True)


def listed(names):
    """`["a", "b", "c"]` -> `"a, b and c"`; no names -> `"none"`."""
    names = [*map(str, names)]
    if not names:
        return "none"
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def did_you_mean(given, known, count=1):
    """A question that names the most similar of the known names; `""` if none is similar.

    Neither case nor the underscores and hyphens between words count.

    Args:
        given: What the user wrote.
        known: The names that exist.
        count: The largest number of names to offer.
    """

    def plain(name):
        return str(name).lower().replace("_", "").replace("-", "")

    names = {plain(name): name for name in known}
    close = [names[name] for name in get_close_matches(plain(given), names, n=count)]
    return f"Did you mean {' or '.join(map(repr, close))}?" if close else ""


def option(text):
    """`"patch_size=4"` -> `("patch_size", 4)`.

    A value is a Python literal, or true, false, yes, no, on, off or none in any case. Any other
    value is text.

    Raises:
        ValueError: The text is not `key=value`.
    """
    key, _, value = text.partition("=")
    if not (key and value):
        raise ValueError(f"An option of the model is written key=value; got {text!r}.")
    if value.lower() in WORDS:
        return key, WORDS[value.lower()]
    try:
        return key, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return key, value


def left_out(folder, skipped):
    """Which files of a folder were left out and why: path -> reason, the first five."""
    some = "; ".join(
        f"{path.parent.name}/{path.name}: {reason}" for path, reason in [*skipped.items()][:5]
    )
    more = "; ..." if len(skipped) > 5 else ""
    return f"{folder}: left out {len(skipped)}: {some}{more}."


def check_ordered(names, what):
    """Raises ValueError for names in a set or a dict, whose order is not that of the scores."""
    if isinstance(names, Mapping | Set):
        raise ValueError(f"{what} need an order, that of the scores; got a {type(names).__name__}.")
