"""Editors see the signatures that builders have."""

import inspect

import keras_mixer
from keras_mixer.models import BUILDERS
from tests import stub


def test_the_stub_is_what_its_command_writes():
    assert stub.PATH.read_text(encoding="utf-8") == stub.text()


def test_the_stub_gives_the_real_signature_of_every_builder():
    written = {}
    exec(compile(stub.PATH.read_text(encoding="utf-8"), stub.PATH, "exec"), written)
    for name, builder in BUILDERS.items():
        assert inspect.signature(written[name]) == inspect.signature(builder), name
        assert builder is getattr(keras_mixer, name)
