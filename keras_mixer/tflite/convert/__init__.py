"""Keras model -> the bytes of a `.tflite` file: rewritten, compared, quantised."""
