// Signatures of MediaPipe that the model card uses, to compile against: nothing here does anything.
@file:Suppress("UNUSED_PARAMETER")

package com.google.mediapipe.tasks.vision.imageclassifier

import android.content.Context
import com.google.mediapipe.framework.image.MPImage
import com.google.mediapipe.tasks.components.containers.ClassificationResult
import com.google.mediapipe.tasks.core.BaseOptions
import com.google.mediapipe.tasks.vision.core.ImageProcessingOptions

class ImageClassifier : AutoCloseable {
    abstract class ImageClassifierOptions {
        abstract class Builder {
            abstract fun setBaseOptions(value: BaseOptions): Builder

            abstract fun setMaxResults(value: Int): Builder

            abstract fun build(): ImageClassifierOptions
        }

        companion object {
            @JvmStatic
            fun builder(): Builder = TODO()
        }
    }

    fun classify(image: MPImage): ImageClassifierResult = TODO()

    fun classify(image: MPImage, options: ImageProcessingOptions): ImageClassifierResult = TODO()

    override fun close() = Unit

    companion object {
        @JvmStatic
        fun createFromOptions(context: Context, options: ImageClassifierOptions): ImageClassifier = TODO()
    }
}

abstract class ImageClassifierResult {
    abstract fun classificationResult(): ClassificationResult
}
