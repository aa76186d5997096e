"""Images on their way to a model, in TensorFlow: inside `tf.data` or one at a time."""

from keras_mixer.data.evaluation import resize_crop, resmall_crop

__all__ = ["resize_crop", "resmall_crop"]
