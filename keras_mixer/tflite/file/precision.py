"""Whether CPUs may compute a file's float ops in float16: an entry of LiteRT's in the file."""

from keras_mixer.tflite.file.content import entry_of

ENTRY = "reduced_precision_support"
# Multiply and accumulate in float16. XNNPACK follows it on ARM CPUs that have float16
# arithmetic (ARMv8.2 and later: Cortex-A55, A75, A76 and their successors); x86 ignores it.
FLOAT16 = b"fp16accfp16"


def computes_in_float16(content):
    """Whether CPUs with float16 arithmetic compute a file's float ops in it."""
    return entry_of(content, ENTRY) == FLOAT16
