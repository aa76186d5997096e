#pragma once
#include <cstddef>

// Bytes for activations, as measured for MixerTi4 in int8; README.md says how.
constexpr std::size_t arena_size = 196 * 1024;

// The number of the best class, or -1 if the arena is too small, an op is missing, or the input and
// output of the model are not int8 (integer_io=True).
// image: [H, W, C], row by row, as the model takes it; for a Mixer pixel / 127.5f - 1.
int classify(const float* image);
