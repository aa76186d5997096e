"""A `.tflite` file at work: classify with it, compare it with its Keras model, time it."""
