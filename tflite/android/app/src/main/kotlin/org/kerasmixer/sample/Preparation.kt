package org.kerasmixer.sample

import kotlin.math.floor
import kotlin.math.round // halves to the even number, as in Python

private const val LARGEST = Int.MAX_VALUE.toLong()

/** Turns pictures of any size into the input of a model of one image, [1, H, W, C]. */
class Preparation(file: ModelFile) {
    private val preprocessing: Preprocessing
    private val height: Int
    private val width: Int
    private val channels: Int

    init {
        val shape = file.input
        if (shape.size != 4 || shape[0] != 1 || shape.any { it < 1 } || shape[3] !in listOf(1, 3)) {
            throw SampleException(Problem.OTHER_INPUT, shape)
        }
        preprocessing = file.preprocessing ?: throw SampleException(Problem.UNKNOWN_RANGE)
        height = shape[1]
        width = shape[2]
        channels = shape[3]
    }

    /** The input: float32 [H * W * C], row by row, channels last, cropped and scaled. */
    fun input(picture: Picture): FloatArray = preprocessing.scaled(pixels(picture), channels)

    /** The same as pixels from 0 to 255. */
    fun pixels(picture: Picture): FloatArray {
        val image = picture.image(channels)
        if (preprocessing.crop == Crop.RESIZE) {
            return image.resized(height, width, preprocessing).toArray()
        }
        val (tall, wide) = sides(picture)
        val larger = image.resized(tall, wide, preprocessing)
        val centre = larger.cropped(spare(tall - height), spare(wide - width), height, width)
        return centre.map { floor(it.coerceIn(0f, 255f)) }.toArray() // cut off, as in Python
    }

    /** Height and width of the resized picture from whose centre the image is cropped. */
    private fun sides(picture: Picture): List<Int> {
        val (tall, wide) = listOf(height, width).map {
            val side = it / preprocessing.cropShare
            (if (pillow) floor(side) else round(side)).toInt()
        }
        val (h, w) = picture.height to picture.width
        return when {
            preprocessing.crop == Crop.RESIZE_CROP -> listOf(tall, wide)
            pillow && tall == wide ->
                listOf(h, w).map { (tall.toLong() * it / minOf(h, w)).coerceAtMost(LARGEST).toInt() }
            pillow -> {
                val ratio = minOf(h / tall.toDouble(), w / wide.toDouble())
                listOf(h, w).map { round(it / ratio).toInt() }
            }
            else -> {
                val ratio = maxOf(tall / h.toFloat(), wide / w.toFloat())
                listOf(h, w).map { round(it * ratio).toInt() }
            }
        }
    }

    /** What is cut off at the top or on the left, of [both] that is cut off at both ends. */
    private fun spare(both: Int) = if (pillow) round(both / 2.0).toInt() else both / 2

    private val pillow get() = preprocessing.library == Library.PILLOW
}
