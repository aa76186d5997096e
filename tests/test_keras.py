"""What we use of Keras's private API is there and means what we take it for.

When one of these fails after an upgrade of Keras, mend keras_mixer/_keras.py before anything else.
"""

import re

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_mixer import _keras
from keras_mixer.images import INACTIVE
from tests.conftest import ROOT


def functional():
    image = keras.Input((4, 4, 3))
    x = layers.Dense(2, name="first")(image)
    x = ops.add(x, 1.0)
    return keras.Model(image, layers.Dropout(0.5, name="last")(x))


def test_private_names_are_in_one_module():
    names = "nodes|nodes_by_depth|inbound_nodes|outbound_nodes|flatten_layers|functional"
    names += "|dtype_policy|keras_history|model_variables_moving_average|get_seed_generator"
    methods = "clip_gradients|all_reduce_sum_gradients|update_model_variables_moving_average"
    private = re.compile(rf"keras\.src|\._({names}|{methods})\b|def _({methods})\b")
    package = ROOT / "keras_mixer"
    found = [path.name for path in package.rglob("*.py") if private.search(path.read_text())]
    assert found == ["_keras.py"]


def test_the_graph_of_a_model_is_that_of_what_it_computes():
    model = functional()
    assert _keras.graph_of(model) is model

    class Own(type(model)):
        def call(self, x, training=None):
            return super().call(x) + 1

    assert _keras.graph_of(Own(model.inputs, model.outputs)) is None
    assert _keras.graph_of(keras.Sequential([keras.Input((3,)), layers.Dense(2)])) is not None
    assert _keras.graph_of(layers.Dense(2)) is None


def test_layers_called_in_training_are_told_so():
    dropout = layers.Dropout(0.5)
    with _keras.in_training():
        assert not np.all(dropout(np.ones((8, 8))))
    assert np.all(dropout(np.ones((8, 8))))


def test_the_calls_of_a_graph_are_in_order_with_arguments_and_outputs():
    model = functional()
    calls = [*_keras.calls_of(model)]
    kinds = [type(operation).__name__ for operation, _, _ in calls]
    assert kinds == ["Dense", "Add", "Dropout"]
    (first, ((image,), _), [made]), (_, (args, kwargs), _), (_, _, [last]) = calls
    assert first is model.get_layer("first")
    assert image is model.inputs[0]
    assert any(x is made for x in keras.tree.flatten((args, kwargs)))
    assert last is model.outputs[0]


def test_the_maker_of_a_tensor_is_the_layer_that_gave_it():
    model = functional()
    assert _keras.maker_of(model.outputs[0]) is model.get_layer("last")


def test_in_inference_a_dropout_does_nothing_even_if_it_was_built_to():
    image = keras.Input((4,))
    model = keras.Model(image, layers.Dropout(0.5)(image, training=True))
    [(dropout, (_, kwargs), _)] = _keras.calls_of(model)
    x = np.ones((2, 4), np.float32)
    assert np.array_equal(_keras.in_inference(dropout)(x, **kwargs), x)
    assert np.array_equal(model(x, training=False), x)  # as in Keras
    assert np.array_equal(_keras.in_inference(layers.ReLU())(x), x)


def test_inner_layers_are_all_or_those_directly_within():
    inner = keras.Sequential([keras.Input((3,)), layers.Dense(2, name="deep")], name="inner")
    model = keras.Sequential([inner, layers.Dense(2, name="shallow")])
    model.build((None, 3))
    assert {"inner", "deep", "shallow"} <= {layer.name for layer in _keras.inner_layers(model)}
    within = [layer.name for layer in _keras.inner_layers(model, recursive=False)]
    assert "shallow" in within
    assert "deep" not in within


def test_the_policy_of_a_layer_is_where_we_look_for_it():
    layer = layers.Dense(2, dtype="mixed_bfloat16")
    assert vars(layer)[_keras.POLICY].name == "mixed_bfloat16"
    vars(layer)[_keras.POLICY] = keras.dtype_policies.get("float32")
    assert layer.compute_dtype == "float32"


def test_a_quantised_layer_is_known():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    assert not _keras.is_quantised(model.layers[0])
    model.layers[0].quantize("int8")
    assert _keras.is_quantised(model.layers[0])


def test_variables_are_read_in_another_type():
    weight = layers.Dense(2, dtype="bfloat16")
    weight.build((None, 3))
    with _keras.autocast("float32"):
        assert ops.convert_to_tensor(weight.kernel).dtype == "float32"
    assert keras.backend.standardize_dtype(weight.kernel.dtype) == "bfloat16"


def test_a_batch_norm_calls_the_method_that_we_replace():
    class Doubles(layers.BatchNormalization):
        def _moments(self, inputs, mask):
            mean, variance = super()._moments(inputs, mask)
            return mean, 4 * variance

    x = np.random.default_rng(0).normal(size=(32, 3)).astype(np.float32)
    found = ops.convert_to_numpy(Doubles(epsilon=0)(x, training=True))
    assert np.allclose(found, (x - x.mean(0)) / (2 * x.std(0)), atol=1e-5)


def test_an_optimizer_calls_the_methods_that_we_replace():
    called = []

    class Counts(keras.optimizers.SGD):
        def _clip_gradients(self, grads):
            called.append("clip")
            return super()._clip_gradients(grads)

        def _all_reduce_sum_gradients(self, grads_and_vars):
            called.append("sum")
            return super()._all_reduce_sum_gradients(grads_and_vars)

        def _update_model_variables_moving_average(self, trainable_variables):
            called.append("average")
            super()._update_model_variables_moving_average(trainable_variables)

    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    optimizer = Counts(0.1, global_clipnorm=1.0, use_ema=True, ema_momentum=0.5)
    model.compile(optimizer, "mse")
    model.train_on_batch(np.ones((4, 3)), np.ones((4, 2)))
    assert {*called} == {"clip", "sum", "average"}
    shapes = [tuple(average.shape) for average in _keras.averages_of(optimizer)]
    assert shapes == [tuple(weight.shape) for weight in model.trainable_variables]


def test_an_augmentation_layer_has_a_seed_generator_for_tf_data():
    assert isinstance(_keras.generator_in_tf_data(layers.RandomFlip()), keras.random.SeedGenerator)
    assert _keras.generator_in_tf_data(layers.Rescaling(2.0)) is None


def test_a_fresh_operation_leaves_the_graph_of_the_other():
    model = functional()
    [_, (add, _, _), _] = _keras.calls_of(model)
    fresh = _keras.fresh_operation(add)
    fresh(keras.Input((4, 4, 2)), 1.0)
    assert len(add._inbound_nodes) == len(fresh._inbound_nodes) == 1


def test_operations_of_the_graph_are_those_that_we_know():
    image = keras.Input((4,))
    model = keras.Model(image, ops.cast(ops.gelu(image, approximate=False), "float16"))
    [(gelu, _, _), (cast, _, _)] = _keras.calls_of(model)
    assert isinstance(gelu, _keras.Gelu)
    assert vars(gelu)["approximate"] is False
    assert isinstance(cast, _keras.Cast)
    assert vars(cast)["dtype"] == "float16"


@pytest.mark.parametrize("kind", sorted(INACTIVE, key=lambda kind: kind.__name__))
def test_layers_that_we_pass_over_do_nothing_in_inference(kind):
    shape = (2, 8, 3) if kind.__name__ == "SpatialDropout1D" else (2, 8, 8, 3)
    for arguments in ((), (0.5,), (0.5, 0.5), (3,)):  # whatever it needs
        try:
            layer = kind(*arguments)
            break
        except (TypeError, ValueError):
            pass
    x = np.random.default_rng(0).uniform(-50, 300, shape).astype(np.float32)
    assert np.array_equal(_keras.in_inference(layer)(x), x)
