"""Models that others build convert as well: the file gives what Keras gives."""

from functools import partial

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_mixer
from keras_mixer._keras import inner_layers
from keras_mixer.tflite import convert, sensitivity, verify
from keras_mixer.tflite.file.interpreter import open_interpreter
from keras_mixer.tflite.file.structure import check_structure
from tests.marks import slow

SHAPE = (32, 32, 3)
PIXELS = np.random.default_rng(0).integers(0, 256, (8, *SHAPE)).astype(np.float32)

mixer = partial(
    keras_mixer.MlpMixer,
    patch_size=8,
    width=16,
    depth=1,
    token_mlp_dim=8,
    channel_mlp_dim=16,
    input_shape=SHAPE,
    classes=3,
)


class WithoutKwargs(layers.Layer):
    """A layer that cannot be made from its config."""

    def __init__(self, units):
        super().__init__()
        self.dense = layers.Dense(units)

    def build(self, shape):
        self.dense.build(shape)

    def call(self, x):
        return self.dense(x) + 1


class Residual(keras.Model):
    """A model that is a class, with an argument that is no config."""

    def __init__(self, units):
        super().__init__()
        self.dense, self.back = layers.Dense(units, activation="gelu"), layers.Dense(3)

    def call(self, x, training=False):
        return (x + self.back(self.dense(x))) * (2.0 if training else 1.0)


class Halved(keras.Model):
    """A functional model whose call does more than its graph."""

    def call(self, x, training=None):
        return super().call(x, training=training) * 0.5


class Monte(layers.Dropout):
    """A Dropout that is none."""

    def call(self, x, training=False):
        return x * 0.25


def adapted(**arguments):
    layer = layers.Normalization(**arguments)
    layer.adapt(PIXELS * [0.2, 1, 0.5] + [3, 0, 60])
    return layer


def head(x, activation="softmax"):
    pooled = layers.GlobalAveragePooling2D()(x) if len(x.shape) == 4 else layers.Flatten()(x)
    return layers.Dense(3, activation=activation)(pooled)


def functional(body, shape=SHAPE, dtype="float32", **arguments):
    image = keras.Input(shape, dtype=dtype)
    return keras.Model(image, body(image), **arguments)


def sequential(*parts):
    return keras.Sequential([keras.Input(SHAPE), *parts])


def mixer_on(front):
    image = keras.Input(SHAPE)
    return mixer(input_tensor=front(image))


def compiled(model):
    model.compile("sgd", lambda a, b: ops.mean(a - b), metrics=[lambda a, b: ops.mean(a)])
    return model


def residual(x):
    x = layers.Dense(16)(x / 127.5 - 1)
    return head(ops.mean(x + layers.Dense(16)(x), axis=(1, 2), keepdims=True))


def shared(x):
    dense = layers.Dense(8, activation="gelu")
    return head(dense(x / 255) + dense(ops.flip(x / 255, axis=1)))


def twice(x):
    inner = keras.Sequential([keras.Input(SHAPE), layers.Rescaling(1 / 255), layers.Conv2D(4, 3)])
    return head(inner(x) * inner(ops.flip(x, axis=2)))


def attention(x):
    tokens = layers.Dense(16)(layers.Reshape((64, 48))(x / 255))
    return head(tokens + layers.MultiHeadAttention(2, 8)(tokens, tokens))


def split(x):
    red, green, blue = ops.split(x / 255, 3, axis=-1)
    return head(ops.concatenate([red * green + blue, ops.maximum(red, blue)], axis=-1))


def tied(x):
    dense = layers.Dense(8, use_bias=False)
    x = dense(layers.Dense(3)(x / 255))
    return head(ops.matmul(x, ops.transpose(dense.kernel)))


def lora(x):
    x = layers.Conv2D(8, 4, strides=4)(layers.Rescaling(1 / 255)(x))
    return layers.Dense(3, name="head")(layers.GlobalAveragePooling2D()(x))


def with_lora():
    model = functional(lora)
    for layer in model.layers:
        if isinstance(layer, layers.Dense | layers.Conv2D):
            layer.enable_lora(2)
    return model


def dict_model():
    image = keras.Input(SHAPE, name="im")
    return keras.Model({"im": image}, {"scores": head(image / 255)})


def inner_dict(x):
    first, second = keras.Input(SHAPE, name="first"), keras.Input(SHAPE, name="second")
    inner = keras.Model({"second": second, "first": first}, head(first / 255 - second))
    return inner({"first": x, "second": x / 100})


def nested_normalization():
    inner = functional(lambda x: layers.Conv2D(4, 4)(adapted()(x)))
    return functional(lambda x: head(ops.relu(inner(x))))


def by_policy(policy, body):
    def build():
        keras.config.set_dtype_policy(policy)
        try:
            return body()
        finally:
            keras.config.set_dtype_policy("float32")

    return build


def mixed_body():
    """Of the parts that behave otherwise in 16 bits."""

    def body(x):
        x = layers.Rescaling([1 / 255] * 3, [-0.5, -0.4, -0.3])(x)
        x = layers.Conv2D(8, 4, strides=4, activation="gelu")(x)
        x = ops.cast(ops.cast(x, "float32"), x.dtype) + layers.BatchNormalization()(x)
        return head(layers.Dense(8, dtype="float32")(x))

    return functional(body)


MODELS = {
    # Operations in the graph
    "operations": lambda: functional(residual),
    "split": lambda: functional(split),
    "slices": lambda: functional(lambda x: head((x / 255)[:, 4:-4, ::2])),
    "where": lambda: functional(lambda x: head(ops.where(x > 100, x / 255, 0.0))),
    "gelus": lambda: functional(
        lambda x: head(ops.gelu(layers.Activation("gelu")(x / 99), approximate=False))
    ),
    "einsum": lambda: functional(
        lambda x: head(layers.EinsumDense("abcd,de->abce", (32, 32, 8), activation="gelu")(x / 9))
    ),
    "softmax_layer": lambda: functional(lambda x: layers.Softmax()(head(x / 255, None))),
    "prelu": lambda: functional(lambda x: head(layers.PReLU()(layers.Conv2D(4, 3)(x / 255)))),
    "pad_and_stack": lambda: functional(
        lambda x: head(
            ops.mean(ops.stack([ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))) / 255] * 2), 0)
        )
    ),
    "norm_of_keras": lambda: functional(
        lambda x: head(layers.GroupNormalization(2)(layers.LayerNormalization()(tokens8(x))))
    ),
    # What scales the pixels
    "caffe": lambda: functional(
        lambda x: head(layers.Conv2D(4, 3)(keras.applications.resnet.preprocess_input(x)))
    ),
    "torch": lambda: mixer_on(keras.applications.densenet.preprocess_input),
    "normalization": lambda: mixer_on(adapted()),
    "normalization_inverted": lambda: mixer_on(adapted(invert=True)),
    "normalization_of_all": lambda: mixer_on(adapted(axis=None)),
    "normalization_of_places": lambda: mixer_on(adapted(axis=(1, 2, 3))),
    "normalization_given": lambda: mixer_on(
        layers.Normalization(mean=[120, 110, 100], variance=[9, 3000, 4000])
    ),
    "normalization_within": nested_normalization,
    "rescaling_by_channel": lambda: functional(
        lambda x: head(
            layers.Conv2D(8, 4, strides=4)(layers.Rescaling([0.01, 0.02, 0.03], [1, 2, 3])(x))
        )
    ),
    "rescaling_by_column": lambda: functional(
        lambda x: head(layers.Conv2D(4, 3)(layers.Rescaling(np.linspace(0, 1, 3)[:, None])(x))),
        shape=(32, 3, 3),
    ),
    "rescaling_before_padding": lambda: functional(
        lambda x: head(layers.Conv2D(8, 4, padding="same")(layers.Rescaling(1 / 99, -1)(x)))
    ),
    "rescaling_that_is_seen_twice": lambda: functional(
        lambda x: (lambda y: head(layers.Conv2D(3, 3, padding="same")(y) + y))(
            layers.Rescaling(1 / 99, -1)(x)
        )
    ),
    "batch_norm_first": lambda: mixer_on(layers.BatchNormalization()),
    "resizing": lambda: keras.Sequential(
        [
            keras.Input((48, 40, 3)),
            layers.Resizing(36, 36),
            layers.CenterCrop(32, 32),
            layers.Rescaling(1 / 127.5, -1),
            mixer(),
        ]
    ),
    "augmentation": lambda: sequential(
        layers.Rescaling(1 / 127.5, -1),
        layers.RandomFlip(),
        layers.RandomRotation(0.1),
        layers.RandomContrast(0.3),
        layers.GaussianNoise(0.1),
        mixer(),
    ),
    "augmentation_within": lambda: sequential(
        keras.Sequential([layers.RandomFlip(), layers.RandomZoom(0.1)]),
        mixer(include_preprocessing=((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))),
    ),
    # Models in models
    "nested": lambda: sequential(
        keras.Sequential([layers.Rescaling(1 / 255), keras.Sequential([mixer()])])
    ),
    "backbone": lambda: functional(
        lambda x: head(
            mixer(include_top=False)(keras.applications.mobilenet_v2.preprocess_input(x))
        )
    ),
    "twice": lambda: functional(twice),
    "shared_layer": lambda: functional(shared),
    "tied": lambda: functional(tied),
    "dicts": dict_model,
    "dicts_within": lambda: functional(inner_dict),
    "same_names": lambda: sequential(
        keras.Sequential([layers.Conv2D(4, 3, name="same")], name="same"),
        keras.Sequential([layers.Conv2D(4, 3, name="same")], name="other"),
        layers.GlobalMaxPooling2D(),
    ),
    # Classes of one's own
    "without_kwargs": lambda: functional(lambda x: head(WithoutKwargs(8)(x / 255))),
    "a_class": lambda: functional(lambda x: head(Residual(8)(x / 255))),
    "its_own_call": lambda: functional(lambda x: Halved(i := keras.Input(SHAPE), head(i))(x / 255)),
    "its_own_call_outside": lambda: Halved(i := keras.Input(SHAPE), head(i / 255)),
    "lambda": lambda: functional(lambda x: head(layers.Lambda(lambda x: x / 255)(x))),
    "a_dropout_that_is_none": lambda: mixer_on(
        lambda x: Monte(0.5)(layers.Rescaling(1 / 99, 1)(x))
    ),
    "attention": lambda: functional(attention),
    "wrapped": lambda: functional(
        lambda x: head(layers.TimeDistributed(layers.Dense(4, activation="gelu"))(x / 255))
    ),
    "an_activation_that_is_a_layer": lambda: functional(
        lambda x: head(layers.Dense(8, activation=layers.PReLU(shared_axes=[1, 2]))(x / 255))
    ),
    "an_activation_that_is_a_lambda": lambda: functional(
        lambda x: head(layers.Dense(8, activation=lambda x: ops.gelu(x, approximate=False))(x / 9))
    ),
    "an_activation_that_is_a_partial": lambda: functional(
        lambda x: head(layers.Dense(8, activation=partial(ops.gelu, approximate=False))(x / 9))
    ),
    # What training leaves
    "compiled": lambda: compiled(mixer(include_preprocessing=True)),
    "noise": lambda: functional(
        lambda x: head(layers.Dropout(0.5)(layers.GaussianNoise(1.0)(x / 255), training=True))
    ),
    "lora": with_lora,
    "recurrent": lambda: functional(
        lambda x: head(layers.LSTM(4)(layers.Reshape((32, 96))(x / 255)))
    ),
    "logits": lambda: mixer(classifier_activation=None),
    "without_top": lambda: mixer(include_top=False, pooling="max"),
    # Types
    "uint8": lambda: functional(lambda x: head(ops.cast(x, "float32") / 255), dtype="uint8"),
    "whole_numbers": lambda: functional(
        lambda x: head(ops.cast(x // 2, "float32") / 127), dtype="int32"
    ),
    "uint8_flipped": lambda: functional(
        lambda x: mixer()(layers.Rescaling(1 / 255)(layers.RandomFlip()(x))), dtype="uint8"
    ),
    "uint8_within": lambda: functional(
        lambda x: functional(lambda x: head(ops.cast(x, "float32") / 255), dtype="uint8")(x)
    ),
    "fixed_batch": lambda: (lambda i: keras.Model(i, head(ops.reshape(i / 255, (1, 64, 48)))))(
        keras.Input(SHAPE, batch_size=1)
    ),
    "int32_rescaled": lambda: functional(
        lambda x: mixer()(layers.Rescaling(1 / 127.5, -1)(x)), dtype="int32"
    ),
}


def tokens8(x):
    return layers.Dense(8)(x / 255)


def state(model):
    """All that a conversion could leave behind in a model."""
    found = [(id(model), *_own(model))]
    for layer in inner_layers(model):
        found.append((id(layer), *_own(layer)))
    weights = [(id(w), w.trainable, ops.convert_to_numpy(w).tobytes()) for w in model.weights]
    nodes = [
        len(o._outbound_nodes) + len(o._inbound_nodes) for o in getattr(model, "operations", ())
    ]
    return found, weights, nodes, keras.config.dtype_policy().name


def _own(layer):
    return sorted((name, id(value)) for name, value in vars(layer).items() if name != "_called")


def expected_of(model, images):
    inputs = images
    if not isinstance(model, keras.Sequential):
        inputs = keras.tree.map_structure(lambda _: images, model.input)
    [scores] = keras.tree.flatten(model.predict(inputs, batch_size=1, verbose=0))
    return scores


def images_for(model):
    shape = model.inputs[0].shape[1:]
    return np.random.default_rng(2).integers(0, 256, (3, *shape)).astype(np.float32)


def scores_of(content, images):
    """As `Runner`, but the output may be of any shape."""
    run = open_interpreter(content).get_signature_runner()
    return np.concatenate([run(image=image[None])["scores"] for image in images])


# In the default run, one of each kind.
DEFAULT = {
    *("gelus", "rescaling_by_channel", "batch_norm_first", "augmentation_within", "nested"),
    *("without_kwargs", "a_class", "lora", "uint8", "fixed_batch"),
}


@pytest.mark.parametrize("name", [name if name in DEFAULT else slow(name) for name in MODELS])
def test_the_file_gives_what_keras_gives_and_the_model_is_as_before(name):
    keras.utils.set_random_seed(0)
    model = randomised_weights(MODELS[name]())
    images = images_for(model)
    expected = expected_of(model, images)
    before = state(model)
    content = convert(model)
    assert state(model) == before
    check_structure("the file", content)
    assert np.abs(expected).max() > 1e-3
    assert np.abs(scores_of(content, images) - expected).max() < 1e-5 * max(
        1, np.abs(expected).max()
    )


def randomised_weights(model):
    """No weight at zero, so that none can be left out unseen; what was adapted stays."""
    kept = [layer for layer in inner_layers(model) if isinstance(layer, layers.Normalization)]
    kept = {id(weight) for layer in kept for weight in layer.weights}
    random = np.random.default_rng(0)
    for weight in model.weights:
        if id(weight) in kept or "float" not in weight.dtype:
            continue
        value = ops.convert_to_numpy(weight).astype(np.float32)
        noise = np.abs if "variance" in weight.path else np.asarray
        scale = 0.1 if value.ndim < 2 else 1 / np.sqrt(value[..., 0].size)
        weight.assign(value + noise(scale * random.normal(size=value.shape)))
    return model


@pytest.mark.parametrize(
    ("policy", "body"),
    [
        ("mixed_bfloat16", partial(mixer, include_preprocessing=True)),
        *(slow(policy, mixed_body) for policy in ("mixed_float16", "bfloat16", "float64")),
    ],
)
def test_a_model_of_any_policy_converts_to_the_float32_of_its_weights(policy, body):
    keras.utils.set_random_seed(0)
    model = randomised_weights(by_policy(policy, body)())
    before = state(model)
    content = convert(model)
    assert state(model) == before
    full = by_policy("float32", body)()
    full.set_weights([np.float32(w) for w in model.get_weights()])
    images = images_for(model)
    # 16 bits would be off by 1e-3 or more, and do round the statistics of the rescaling.
    assert np.abs(scores_of(content, images) - np.asarray(full(images))).max() < 1e-5


@pytest.mark.parametrize("name", ["operations", slow("normalization"), slow("dicts")])
def test_a_quantised_file_is_near_and_verify_and_sensitivity_go_along(name):
    keras.utils.set_random_seed(0)
    model = randomised_weights(MODELS[name]())
    before = state(model)
    content = convert(model, "int8", calibration=PIXELS)
    report = verify(model, content, PIXELS, layers=True)
    assert report.max_abs_difference < 0.05  # of probabilities, in 8 bits
    assert report.layers
    assert sensitivity(model, "dynamic_int8", PIXELS[:2])
    assert state(model)[1:] == before[1:]


class Broken(layers.Layer):
    broken = False

    def call(self, x):
        if self.broken:
            raise RuntimeError("broken")
        return x


def test_a_model_is_as_before_also_after_an_error_within():
    layer = Broken()
    model = by_policy("mixed_bfloat16", lambda: mixer_on(layer))()
    layer.broken = True
    before = state(model)
    with pytest.raises(RuntimeError, match="broken"):
        convert(model)
    assert state(model) == before


def test_a_class_of_one_s_own_is_told_how_to_become_a_model_of_known_input():
    model = Residual(8)
    model(PIXELS)
    with pytest.raises(ValueError, match=r"keras\.Model\(image, model\(image\)\)"):
        convert(model)


@pytest.mark.parametrize("recipe", ["static_int8", slow("int8"), slow("int16x8")])
def test_a_loop_is_refused_where_ranges_are_wanted_and_unroll_cures_it(recipe):
    def build(unroll):
        recurrent = layers.GRU(4, unroll=unroll)
        return functional(lambda x: head(recurrent(layers.Reshape((4, 768))(x / 255))))

    with pytest.raises(ValueError, match=r"cannot quantise a loop.*unroll=True.*'dynamic_int8'"):
        convert(build(False), recipe, calibration=PIXELS)
    if recipe == "static_int8":
        assert convert(build(False), "dynamic_int8")
        assert convert(build(True), recipe, calibration=PIXELS)


def test_a_model_that_keras_has_quantised_is_refused_with_the_cure():
    model = functional(lambda x: head(layers.Dense(8, name="dense")(x / 255)))
    model.get_layer("dense").quantize("int8")
    with pytest.raises(ValueError, match=r"quantize\(\).*weights of dense by.*recipes quantise"):
        convert(model)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["MobileNetV2", "MobileNetV3Small", "EfficientNetB0", "ConvNeXtTiny"]
)
def test_networks_that_come_with_keras_convert(name):
    model = getattr(keras.applications, name)(input_shape=SHAPE, weights=None, classes=3)
    randomised_weights(model)
    expected = expected_of(model, PIXELS)
    got = scores_of(convert(model), PIXELS)
    assert np.abs(got - expected).max() < 1e-5 * max(1, np.abs(expected).max())
