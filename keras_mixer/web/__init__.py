"""The server of the page in `tflite/web/`, which shows `.tflite` files in a browser."""
