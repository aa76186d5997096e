"""Stochastic depth: training without some of the residual branches."""

import keras
from keras import ops

from keras_mixer._replicas import replica


@keras.saving.register_keras_serializable("keras_mixer")
class DropPath(keras.layers.Layer):
    """Zeroes a residual branch for a random share of the samples, [B, ...] -> [B, ...].

    In training, each sample of the batch keeps its branch with probability `1 - rate`, and the kept
    branches are divided by `1 - rate`, so that the expectation is unchanged. In inference the layer
    is the identity.

    Args:
        rate: Probability of dropping a branch, in [0, 1).
        seed: Optional integer that makes the draws repeatable.
        batch_axis: The axis of the samples.

    Input shape: any, by default the batch first.
    Output shape: the input's.

    Source: Huang et al. 2016 (arXiv 1603.09382), with the division by `1 - rate` of later
    implementations, which big_vision's Mixer omits.
    """

    def __init__(self, rate, seed=None, batch_axis=0, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"DropPath '{self.name}' needs a rate in [0, 1); got {rate!r}.")
        self.rate = rate
        self.seed = seed
        self.batch_axis = batch_axis
        if rate:
            self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, x, training=False):
        return x * self.draw(x) if training and self.rate else x

    def draw(self, x):
        """The factor of each sample's branch, 0 or `1 / (1 - rate)`, [B, 1, ...].

        A rematerialised block draws it outside the recomputed part, which must not be random.
        """
        keep = 1 - self.rate
        axis, count = self.batch_axis, ops.shape(x)[self.batch_axis]
        one_a_sample = [1 for _ in x.shape]
        # Replicas draw the same numbers: each those of the whole batch, of which it takes its own.
        context = replica()
        one_a_sample[axis] = count * (context.num_replicas_in_sync if context else 1)
        drawn = keras.random.uniform(one_a_sample, seed=self.seed_generator)
        if context:
            rows = context.replica_id_in_sync_group * count + ops.arange(count)
            drawn = ops.take(drawn, rows, axis)
        return ops.cast(drawn < keep, x.dtype) / keep

    def compute_output_shape(self, input_shape):
        return input_shape


def drop_path_rates(rate, depth):
    """The rates of `depth` blocks, linear from 0 in the first to `rate` in the last.

    Source: Mixer paper, appendix B.
    """
    return [rate * i / max(depth - 1, 1) for i in range(depth)]
