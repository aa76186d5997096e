"""What the process of `preflight` answers to jobs that it refuses, as JSON by the jobs' names.

python -m tests.tpu.refused
"""

import json

import keras

from keras_mixer.tpu.compile import answer
from tests.tpu.layers import Subclassed


def named(name, **options):
    return {"name": name, "options": options, "precision": "mixed_bfloat16"}


def given(model, classes=()):
    return {"config": model.to_json(), "classes": dict(classes)}


def sequential(*layers):
    return keras.Sequential(layers, name="given")


OWN = {"Subclassed": ("tests.tpu.layers", "Subclassed")}
JOBS = {
    "unknown argument": named("MixerTi4", dept=3),
    "unknown optimizer": named("MixerTi4") | {"optimizer": "adamx"},
    "optimizer of others": named("MixerTi4") | {"optimizer": "optimizermap"},
    "lambda": given(sequential(keras.Input((16,)), keras.layers.Lambda(lambda x: x))),
    "any size": given(
        sequential(keras.Input((None, None, 3)), keras.layers.GlobalAveragePooling2D())
    ),
    "never built": given(Subclassed(name="own"), classes=OWN),
}

if __name__ == "__main__":
    answers = {}
    for name, job in JOBS.items():
        job = {"tpu": "v3-8", "batch": 8, "train": True, "optimizer": "adamw"} | job
        answer(job, lambda kind, value, name=name: answers.update({name: {kind: value}}))
    print(json.dumps(answers))
