"""The replicas of `tf.distribute`, each of which computes a part of a batch."""

import keras


def replica():
    """The context of this replica, where there are several; else None."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return context if context and context.num_replicas_in_sync > 1 else None


def sum_over_replicas(context, values):
    """The sums of tensors over all replicas, on each of them."""
    import tensorflow as tf

    return context.all_reduce(tf.distribute.ReduceOp.SUM, values)
