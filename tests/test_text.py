"""Words for messages, and options from the command line."""

import io
import re

import pytest

from keras_mixer._text import did_you_mean, listed, one_line, option, printable, say
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("names", "text"),
    [([], "none"), (["a"], "a"), (["a", "b"], "a and b"), ((n for n in (1, 2, 3)), "1, 2 and 3")],
)
def test_names_are_listed_as_in_a_sentence(names, text):
    assert listed(names) == text


def test_a_name_nearly_right_is_answered_with_the_most_similar_ones():
    known = {"cifar10": None, "cifar100": None, "pets": None}
    assert did_you_mean("cifar01", known) == "Did you mean 'cifar10'?"
    assert did_you_mean("cifar01", known, 3) == "Did you mean 'cifar10' or 'cifar100'?"
    assert did_you_mean("imagenet", known) == did_you_mean("x", []) == ""


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_a_console_that_cannot_show_a_letter_gets_its_number(encoding, monkeypatch):
    console = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr("sys.stdout", console)
    say("\N{GREEK SMALL LETTER ALPHA} \udcff", "line 2")
    alpha = "\N{GREEK SMALL LETTER ALPHA}" if encoding == "utf-8" else r"\u03b1"
    assert console.buffer.getvalue().decode(encoding).splitlines() == [rf"{alpha} \udcff", "line 2"]


def test_training_prints_by_it_alone():
    for file in (ROOT / "keras_mixer/training").glob("*.py"):
        assert not re.search(r"\bprint\(", file.read_text()), file


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("remat=false", "remat", False),
        ("remat=No", "remat", False),
        ("remat=TRUE", "remat", True),
        ("remat=yes", "remat", True),
        ("pooling=none", "pooling", None),
        ("pooling=None", "pooling", None),
        ("name='no'", "name", "no"),
        ("patch_size=4", "patch_size", 4),
        ("input_shape=(32, 32, 3)", "input_shape", (32, 32, 3)),
        ("gelu=erf", "gelu", "erf"),
        ("name=a=b", "name", "a=b"),
    ],
)
def test_an_option_s_value_is_a_literal_or_a_truth_word_or_text(text, key, value):
    found = option(text)
    assert found == (key, value)
    assert type(found[1]) is type(value)


@pytest.mark.parametrize("text", ["depth", "depth=", "=2", ""])
def test_an_option_without_key_or_value_is_an_error(text):
    with pytest.raises(ValueError, match=r"written key=value; got '"):
        option(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("é 天 \U0001f600 a\u200db", "é 天 \U0001f600 a\u200db"),
        ("\x1b[31mred\x07", r"\u001b[31mred\u0007"),
        ("a\tb\nc\rd\x00", r"a\u0009b\u000ac\u000dd\u0000"),
        ("\x9b31m\u202egnp.exe", r"\u009b31m\u202egnp.exe"),
        ("\udc80\u2028", r"\udc80\u2028"),
    ],
)
def test_what_a_terminal_obeys_is_printed_as_text(text, shown):
    assert printable(text) == shown
    assert printable(text, keep="\n").count("\n") == text.count("\n")
    assert one_line(f" a \n b: {text}") == f"a b: {printable(' '.join(text.split()))}"
