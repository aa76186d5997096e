// Signatures of MediaPipe that the model card uses, to compile against: nothing here does anything.
package com.google.mediapipe.tasks.components.containers

abstract class ClassificationResult {
    abstract fun classifications(): List<Classifications>
}

abstract class Classifications {
    abstract fun categories(): List<Category>
}

abstract class Category {
    abstract fun categoryName(): String

    abstract fun score(): Float
}
