// Signatures of MediaPipe that the model card uses, to compile against: nothing here does anything.
package com.google.mediapipe.tasks.vision.core

abstract class ImageProcessingOptions {
    abstract class Builder {
        abstract fun setRotationDegrees(value: Int): Builder

        abstract fun build(): ImageProcessingOptions
    }

    companion object {
        @JvmStatic
        fun builder(): Builder = TODO()
    }
}
