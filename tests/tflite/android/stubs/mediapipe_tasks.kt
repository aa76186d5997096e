// Signatures of MediaPipe that the model card uses, to compile against: nothing here does anything.
@file:Suppress("UNUSED_PARAMETER")

package com.google.mediapipe.tasks.core

abstract class BaseOptions {
    abstract class Builder {
        abstract fun setModelAssetPath(value: String): Builder

        abstract fun build(): BaseOptions
    }

    companion object {
        @JvmStatic
        fun builder(): Builder = TODO()
    }
}
