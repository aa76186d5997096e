"""`python -m keras_mixer.cli`."""

from keras_mixer.cli import main

main()
