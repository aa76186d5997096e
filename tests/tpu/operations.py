"""Floating-point operations of a model's train step, as XLA counts them before it optimises.

    python -m tests.tpu.operations BATCH MODEL OPTION...

Prints the number for what `preflight` compiles, with Keras on JAX; `on_tensorflow` gives what
`tf.distribute.TPUStrategy` hands to XLA on each replica.
"""

import sys

import jax
import keras
from jax._src.lib import xla_client  # no public door leads to XLA's count for both

import keras_mixer
from keras_mixer._text import option


def on_jax(batch, name, options):
    from keras_mixer.tpu.compile import Program

    job = {
        **{"name": name, "options": options, "precision": "mixed_bfloat16"},
        **{"tpu": "v3-8", "train": True, "optimizer": "adamw"},
    }
    # Divided among the cores only later, when it is optimised.
    return Program(job, lambda doing: None).lowered(batch).compiler_ir("hlo")


def on_tensorflow(batch, name, options):
    import tensorflow as tf

    model = keras_mixer.create_model(name, classifier_activation=None, **options)
    model.compile("adamw", keras.losses.CategoricalCrossentropy(from_logits=True))
    model.optimizer.build(model.trainable_variables)
    step = tf.function(lambda x, y: model.train_step((x, y)), jit_compile=True)
    x = tf.TensorSpec((batch, *model.input_shape[1:]))
    y = tf.TensorSpec((batch, *model.output_shape[1:]))
    step.get_concrete_function(x, y)
    return xla_client.XlaComputation(step.experimental_get_compiler_ir(x, y)("hlo_serialized"))


def counted(program):
    client = jax.devices("cpu")[0].client
    return int(xla_client._xla.hlo_module_cost_analysis(client, program.get_hlo_module())["flops"])


if __name__ == "__main__":
    batch, name, *options = sys.argv[1:]
    print(counted(on_jax(int(batch), name, dict(map(option, options)))))
