// Signatures of MediaPipe that the model card uses, to compile against: nothing here does anything.
package com.google.mediapipe.framework.image

import android.graphics.Bitmap

class MPImage

class BitmapImageBuilder(private val bitmap: Bitmap) {
    fun build(): MPImage = TODO("$bitmap")
}
