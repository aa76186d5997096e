"""Floating-point operations of a model's train step, as XLA counts them before it optimises.

    python -m tests.tpu.operations MODEL BATCH

On TensorFlow, of what `tf.distribute.TPUStrategy` hands to XLA on each replica; with
KERAS_BACKEND=jax, of what `preflight` compiles. Prints the number.
"""

import sys

import jax
import keras
from jax._src.lib import xla_client  # no public door leads to XLA's count for both


def on_jax(name, batch):
    from keras_mixer.tpu.compile import Program

    job = {
        **{"name": name, "options": {}, "precision": "mixed_bfloat16"},
        **{"tpu": "v3-8", "train": True, "optimizer": "adamw"},
    }
    # Divided among the cores only later, when it is optimised.
    return Program(job, lambda doing: None).lowered(batch).compiler_ir("hlo")


def on_tensorflow(name, batch):
    import tensorflow as tf

    import keras_mixer

    keras.config.set_dtype_policy("mixed_bfloat16")
    model = keras_mixer.create_model(name, classifier_activation=None)
    model.compile("adamw", keras.losses.CategoricalCrossentropy(from_logits=True))
    model.optimizer.build(model.trainable_variables)
    step = tf.function(lambda x, y: model.train_step((x, y)), jit_compile=True)
    x = tf.TensorSpec((batch, *model.input_shape[1:]))
    y = tf.TensorSpec((batch, *model.output_shape[1:]))
    step.get_concrete_function(x, y)
    return xla_client.XlaComputation(step.experimental_get_compiler_ir(x, y)("hlo_serialized"))


if __name__ == "__main__":
    program = on_jax if keras.backend.backend() == "jax" else on_tensorflow
    module = program(sys.argv[1], int(sys.argv[2])).get_hlo_module()
    client = jax.devices("cpu")[0].client
    print(int(xla_client._xla.hlo_module_cost_analysis(client, module)["flops"]))
