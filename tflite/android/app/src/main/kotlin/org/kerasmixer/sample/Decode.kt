package org.kerasmixer.sample

import android.graphics.BitmapFactory
import android.media.ExifInterface
import java.io.ByteArrayInputStream
import java.io.IOException

private const val MOST = 1 shl 24 // pixels, 64 MB: what cameras give by default fits

/**
 * A picture file's bytes -> the picture, upright. One of more than 16.8 million pixels is decoded at
 * a half, a quarter or an eighth of its size.
 *
 * @throws SampleException They are no picture that Android can decode, or one that is too large.
 */
fun decode(file: ByteArray): Picture {
    if (file.isEmpty()) throw SampleException(Problem.EMPTY_PICTURE)
    val options = BitmapFactory.Options()
    options.inJustDecodeBounds = true
    BitmapFactory.decodeByteArray(file, 0, file.size, options)
    if (options.outWidth <= 0) throw SampleException(Problem.NOT_A_PICTURE)

    options.inJustDecodeBounds = false
    options.inSampleSize = sampleSize(options.outWidth, options.outHeight)
    options.inPremultiplied = false // or colours below transparency would be rounded
    try {
        val bitmap = BitmapFactory.decodeByteArray(file, 0, file.size, options)
            ?: throw SampleException(Problem.NOT_A_PICTURE)
        val argb = IntArray(bitmap.width * bitmap.height)
        bitmap.getPixels(argb, 0, bitmap.width, 0, 0, bitmap.width, bitmap.height)
        val picture = Picture(argb, bitmap.width, bitmap.height)
        bitmap.recycle()
        return picture.upright(if (isHeif(file)) ofHeif(file) else orientation(file))
    } catch (_: OutOfMemoryError) {
        throw SampleException(Problem.TOO_LARGE_PICTURE, options.outWidth, options.outHeight)
    }
}

/** Whether it is HEIC or AVIF: a box of this type comes first. */
private fun isHeif(file: ByteArray) = file.size > 8 && String(file, 4, 4, Charsets.US_ASCII) == "ftyp"

private fun ofHeif(file: ByteArray): Int = try {
    ExifInterface(ByteArrayInputStream(file)).getAttributeInt(ExifInterface.TAG_ORIENTATION, 1)
        .takeIf { it in 1..8 } ?: 1
} catch (_: IOException) {
    1
}

/** The smallest power of two by which the sides are divided, so that [MOST] pixels suffice. */
fun sampleSize(width: Int, height: Int): Int {
    var size = 1
    while ((width.toLong() / size) * (height / size) > MOST) size *= 2
    return size
}
