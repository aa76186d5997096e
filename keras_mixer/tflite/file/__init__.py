"""What is in a `.tflite` file: metadata, ops, weights, and its tensors while LiteRT runs it."""
