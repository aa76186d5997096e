package org.kerasmixer.sample

/** What can go wrong; `Messages.kt` has a text for each. */
enum class Problem {
    NO_MODEL,
    COMPRESSED_MODEL,
    NOT_TFLITE,
    DAMAGED_MODEL,
    OTHER_INPUT,
    OTHER_TASK,
    NOT_FLOAT,
    UNKNOWN_RANGE,
    WRONG_NAMES,
    NO_RUNTIME,
    DOES_NOT_RUN,
    NOT_FINITE,
    NO_CAMERA,
    NO_PICKER,
    UNREADABLE_PICTURE,
    EMPTY_PICTURE,
    NOT_A_PICTURE,
    TOO_LARGE_PICTURE,
}

/** @property arguments What fills the placeholders of the problem's text, in order. */
class SampleException(val problem: Problem, vararg val arguments: Any) :
    Exception("$problem ${arguments.joinToString()}".trim())
