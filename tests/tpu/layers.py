"""Layers of a user's own, in a module of their own; one is not registered with Keras."""

import keras


@keras.saving.register_keras_serializable("somebody")
class Twice(keras.layers.Layer):
    def call(self, x):
        return 2 * x


class Thrice(keras.layers.Layer):
    def call(self, x):
        return 3 * x


class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(10)

    def call(self, x):
        return self.dense(x)
