"""Reading `.tflite` files: metadata, ops, weights, and the tensors that LiteRT computes."""
