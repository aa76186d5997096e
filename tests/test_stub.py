"""Editors see the signatures that builders have."""

import inspect

import keras_mixer
from keras_mixer import data, models, tflite, tpu, training, weights
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


def public_functions():
    """Functions and methods of the public names of the package and its rooms."""
    for room in (keras_mixer, data, models, tflite, tpu, training, weights):
        for name in room.__all__:
            value = getattr(room, name)
            if inspect.isfunction(value):
                yield f"{room.__name__}.{name}", value
            elif inspect.isclass(value):
                for key, method in vars(value).items():
                    if inspect.isfunction(method) and (key[0] != "_" or key == "__call__"):
                        yield f"{room.__name__}.{name}.{key}", method


def test_public_functions_have_type_hints():
    without = []
    for name, function in public_functions():
        signature = inspect.signature(function)
        hinted = [
            p.annotation is not p.empty or p.name in ("self", "arguments", "changes")
            for p in signature.parameters.values()
        ]
        if not all(hinted) or signature.return_annotation is signature.empty:
            without.append(name)
    assert without == []
