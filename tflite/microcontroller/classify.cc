// Classifies an image with LiteRT for Microcontrollers.
#include "classify.h"

#include <algorithm>
#include <cmath>

#include "model.h"  // keras-mixer c-array model.tflite --output model.h
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"

int classify(const float* image) {
  alignas(16) static unsigned char arena[arena_size];
  static tflite::MicroMutableOpResolver<model_ops> resolver;
  static const bool added = add_model_ops(resolver);
  static tflite::MicroInterpreter interpreter(tflite::GetModel(model_data), resolver, arena,
                                              arena_size);
  static const bool ready = added && interpreter.AllocateTensors() == kTfLiteOk;
  if (!ready) return -1;
  TfLiteTensor* input = interpreter.input(0);
  const TfLiteTensor* scores = interpreter.output(0);
  if (input->type != kTfLiteInt8 || scores->type != kTfLiteInt8) return -1;
  for (size_t i = 0; i < input->bytes; ++i) {
    const long value = std::lround(image[i] / input->params.scale) + input->params.zero_point;
    input->data.int8[i] = static_cast<signed char>(std::clamp(value, -128l, 127l));
  }
  if (interpreter.Invoke() != kTfLiteOk) return -1;
  return std::max_element(scores->data.int8, scores->data.int8 + scores->bytes) -
         scores->data.int8;
}
