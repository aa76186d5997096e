"""Chatter is held back, a failure's is not."""

import os

import pytest

from keras_mixer._quiet import quiet


def test_native_chatter_is_held_back_and_ours_after_it_is_not(capfd):
    with quiet():
        os.write(2, b"chatter")
    os.write(2, b"ours")
    assert capfd.readouterr().err == "ours"


@pytest.mark.parametrize(
    ("error", "shown"), [(RuntimeError, "chatter"), (ImportError, "chatter"), (ValueError, "")]
)
def test_chatter_is_shown_after_a_failure_that_it_may_explain(capfd, error, shown):
    with pytest.raises(error), quiet():
        os.write(2, b"chatter")
        raise error
    assert capfd.readouterr().err == shown
