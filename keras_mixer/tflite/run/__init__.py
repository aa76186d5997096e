"""Running `.tflite` files: classification, comparison with the Keras model, timing."""
