"""Changes of bytes, numbers and JSON that any kind of file can have."""

import json

# Numbers at the edges of types and of what a reader may take for granted.
NUMBERS = (0, 1, -1, 2, 3, 7, 127, 128, -128, 255, 256, 65535, 2**16, 10**6, 2**31 - 1, -(2**31))
FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-45, 1e-40, 1e-30, 1e30, 3e38, float("nan"), float("inf"))
TEXTS = ("", "\0", "a" * 5000, "\x1b[31mred", "../../x", "é", "\u202e", "\ud800", "{", "nan")


def of(random, values):
    """One of some values, as Python has it."""
    return values[random.integers(len(values))]


def damaged(random, content):
    """Bytes that are cut, flipped, repeated, removed or replaced somewhere."""
    content = bytearray(content)
    if not content:
        return bytes(content)
    at = int(random.integers(len(content)))
    count = int(2 ** random.uniform(0, 10))
    kind = random.integers(7)
    if kind == 0:
        del content[at:]
    elif kind == 1:
        del content[at : at + count]
    elif kind == 2:
        content[at:at] = content[at : at + count] * int(random.integers(1, 4))
    elif kind == 3:
        content[at : at + count] = random.bytes(min(count, len(content) - at))
    elif kind == 4:
        other = int(random.integers(len(content)))
        content[at : at + count] = content[other : other + count]
    elif kind == 5:
        width = int(of(random, (1, 2, 4, 8)))
        number = of(random, NUMBERS) % 256**width
        content[at : at + width] = number.to_bytes(width, of(random, ("little", "big")))
    else:
        for place in random.integers(len(content), size=int(of(random, (1, 1, 2, 5, 50)))):
            content[place] ^= 1 << random.integers(8)
    return bytes(content)


def other_json(random, value, depth=0):
    """A value of JSON in which something is another."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        key = of(random, [*value])
        kind = random.integers(8)
        if kind == 0:
            return {k: v for k, v in value.items() if k != key}
        if kind == 1:
            return value | {of(random, TEXTS): value[key]}
        return value | {key: other_json(random, value[key], depth + 1)}
    if isinstance(value, list) and value and random.random() < 0.9:
        i = int(random.integers(len(value)))
        kind = random.integers(6)
        if kind == 0:
            return value[:i] + value[i + 1 :]
        if kind == 1:
            return value[:i] + value[i : i + 1] * int(of(random, (2, 3, 100))) + value[i + 1 :]
        return [*value[:i], other_json(random, value[i], depth + 1), *value[i + 1 :]]
    nested = [[]]
    for _ in range(int(of(random, (1, 3, 200)))):
        nested = [nested]
    numbers = (*NUMBERS, 2**63, 10**30, *FLOATS)
    return of(random, (None, True, [], {}, nested, of(random, numbers), of(random, TEXTS)))


def json_bytes(value):
    return json.dumps(value).encode()
