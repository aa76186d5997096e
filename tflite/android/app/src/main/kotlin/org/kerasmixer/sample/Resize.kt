package org.kerasmixer.sample

import kotlin.math.abs
import kotlin.math.ceil
import kotlin.math.floor
import kotlin.math.round
import kotlin.math.sin

/**
 * An image [height, width, channels], channels last.
 *
 * `Bitmap.createScaledBitmap` gives other pixels than those that a model was trained on. This file
 * follows `tf.image.resize` operation by operation, in float32: the same bits, not only nearly.
 * Source: tensorflow/core/kernels/image (resize_bilinear_op.cc, resize_bicubic_op.cc,
 * resize_area_op.cc, scale_and_translate_op.cc).
 */
abstract class Image(val height: Int, val width: Int, val channels: Int) {
    abstract operator fun get(y: Int, x: Int, c: Int): Float

    fun toArray() = image(height, width, ::get).values

    fun map(change: (Float) -> Float): Image =
        image(height, width) { y, x, c -> change(get(y, x, c)) }

    fun cropped(top: Int, left: Int, height: Int, width: Int): Image =
        image(height, width) { y, x, c -> get(top + y, left + x, c) }
}

/** An image that is stored as an array, row by row. */
class FloatImage(val values: FloatArray, height: Int, width: Int, channels: Int) :
    Image(height, width, channels) {
    override fun get(y: Int, x: Int, c: Int) = values[(y * width + x) * channels + c]
}

/** A new image with as many channels. */
inline fun Image.image(
    height: Int,
    width: Int,
    value: (y: Int, x: Int, c: Int) -> Float,
): FloatImage {
    val size = height.toLong() * width * channels
    if (size > Int.MAX_VALUE) throw OutOfMemoryError("an array of $size numbers")
    val values = FloatArray(size.toInt())
    var at = 0
    for (y in 0 until height) for (x in 0 until width) for (c in 0 until channels) {
        values[at++] = value(y, x, c)
    }
    return FloatImage(values, height, width, channels)
}

/** The image in another size, by the rules that [how] names. */
fun Image.resized(height: Int, width: Int, how: Preprocessing): Image = when {
    height == this.height && width == this.width -> this
    how.interpolation == Interpolation.NEAREST -> nearest(height, width)
    how.library == Library.PILLOW -> // one axis after the other, each result rounded to a picture
        if (width == this.width) {
            resampled(height, width, how).rounded()
        } else {
            resampled(this.height, width, how).rounded().resized(height, width, how)
        }
    how.interpolation == Interpolation.AREA -> averaged(height, width)
    how.interpolation == Interpolation.BILINEAR_FROM_CORNERS ->
        bilinear(height, width) { x, scale -> x * scale }
    how.antialias || how.interpolation in listOf(Interpolation.LANCZOS3, Interpolation.LANCZOS5) ->
        resampled(height, width, how)
    how.interpolation == Interpolation.BILINEAR -> bilinear(height, width, ::halfPixel)
    else -> bicubic(height, width)
}

private fun Image.rounded() = map { floor(it + .5f).coerceIn(0f, 255f) }

private fun halfPixel(x: Int, scale: Float) = (x + .5f) * scale - .5f

private fun scale(from: Int, to: Int) = from.toFloat() / to

private fun Image.nearest(height: Int, width: Int): Image {
    fun places(from: Int, to: Int) =
        IntArray(to) { floor((it + .5f) * scale(from, to)).toInt().coerceIn(0, from - 1) }
    val (rows, columns) = places(this.height, height) to places(this.width, width)
    return image(height, width) { y, x, c -> this[rows[y], columns[x], c] }
}

private class Between(val low: Int, val high: Int, val share: Float)

private fun Image.bilinear(height: Int, width: Int, place: (Int, Float) -> Float): Image {
    fun between(from: Int, to: Int) = List(to) {
        val at = place(it, scale(from, to))
        Between(maxOf(floor(at).toInt(), 0), minOf(ceil(at).toInt(), from - 1), at - floor(at))
    }
    val (rows, columns) = between(this.height, height) to between(this.width, width)
    return image(height, width) { y, x, c ->
        val (row, column) = rows[y] to columns[x]
        val above = this[row.low, column.low, c]
        val below = this[row.high, column.low, c]
        val top = above + (this[row.low, column.high, c] - above) * column.share
        val bottom = below + (this[row.high, column.high, c] - below) * column.share
        top + (bottom - top) * row.share
    }
}

/** The pixels from [start] on that one pixel of the result is made of, and their weights. */
private class Span(val start: Int, val weights: FloatArray)

/** The mean of the pixels that a pixel of the result covers, those at its edges in part. */
private fun Image.averaged(height: Int, width: Int): Image {
    fun spans(from: Int, to: Int) = List(to) {
        val scale = scale(from, to)
        val (begin, end) = it * scale to (it + 1) * scale
        val start = floor(begin).toInt()
        Span(start, FloatArray(ceil(end).toInt() - start) { i ->
            val pixel = start + i
            when {
                pixel < begin -> if (pixel + 1 > end) scale else pixel + 1 - begin
                else -> if (pixel + 1 > end) end - pixel else 1f
            }
        })
    }
    val (rows, columns) = spans(this.height, height) to spans(this.width, width)
    val share = 1f / (scale(this.height, height) * scale(this.width, width))
    return image(height, width) { y, x, c ->
        share * sum(rows[y]) { row ->
            sum(columns[x]) { column ->
                this[minOf(row, this.height - 1), minOf(column, this.width - 1), c]
            }
        }
    }
}

private const val STEPS = 1024 // of a pixel, for which TensorFlow has the weights in a table

/** Bicubic without antialiasing, with a = -0.5. */
private fun Image.bicubic(height: Int, width: Int): Image {
    fun near(x: Float) = ((1.5 * x - 2.5) * x * x + 1).toFloat()
    fun far(x: Float) = (((-.5 * x + 2.5) * x - 4) * x + 2).toFloat()
    fun spans(from: Int, to: Int) = List(to) {
        val at = halfPixel(it, scale(from, to))
        val start = floor(at).toInt()
        val step = round((at - start) * STEPS)
        val (left, right) = step / STEPS to (STEPS - step) / STEPS
        val weights = floatArrayOf(far(left + 1), near(left), near(right), far(right + 1))
        for (i in 0..3) if (start - 1 + i !in 0 until from) weights[i] = 0f
        Span(start - 1, normalised(weights))
    }
    val (rows, columns) = spans(this.height, height) to spans(this.width, width)
    return image(height, width) { y, x, c ->
        sum(columns[x]) { column ->
            sum(rows[y]) { row ->
                this[row.coerceIn(0, this.height - 1), column.coerceIn(0, this.width - 1), c]
            }
        }
    }
}

/** With a kernel that is as wide as the pixels of the result, if [how] antialiases. */
private fun Image.resampled(height: Int, width: Int, how: Preprocessing): Image {
    val (rows, columns) = spans(this.height, height, how) to spans(this.width, width, how)
    val lower = if (height == this.height) this // a copy of a photograph would not fit into memory
    else image(height, this.width) { y, x, c -> sum(rows[y]) { this[it, x, c] } }
    return if (width == this.width) lower
    else lower.image(height, width) { y, x, c -> sum(columns[x]) { lower[y, it, c] } }
}

private fun spans(from: Int, to: Int, how: Preprocessing): List<Span> {
    val inverse = 1f / (to.toFloat() / from)
    val stretch = if (how.antialias) maxOf(inverse, 1f) else 1f
    val radius = when (how.interpolation) {
        Interpolation.BILINEAR -> 1
        Interpolation.BICUBIC -> 2
        Interpolation.LANCZOS5 -> 5
        else -> 3
    }
    return List(to) {
        val centre = (it + .5f) * inverse
        val first = ceil(centre - radius * stretch - .5f).toInt().coerceIn(0, from - 1)
        val last = floor(centre + radius * stretch - .5f).toInt().coerceIn(0, from - 1)
        Span(first, normalised(FloatArray(last - first + 1) { i ->
            kernel((first + i + .5f - centre) * (1f / stretch), how.interpolation)
        }))
    }
}

private fun kernel(at: Float, interpolation: Interpolation): Float {
    val x = abs(at)
    return when (interpolation) {
        Interpolation.BICUBIC -> when {
            x >= 2 -> 0f
            x >= 1 -> ((-.5f * x + 2.5f) * x - 4) * x + 2
            else -> (1.5f * x - 2.5f) * x * x + 1
        }
        Interpolation.LANCZOS3 -> lanczos(x, 3f)
        Interpolation.LANCZOS5 -> lanczos(x, 5f)
        else -> maxOf(0f, 1 - x)
    }
}

private const val PI = 3.14159265359f

private fun lanczos(x: Float, radius: Float) = when {
    x > radius -> 0f
    x <= 1e-3f -> 1f
    else -> radius * sin(PI * x) * sin(PI * x / radius) / (PI * PI * x * x)
}

private fun normalised(weights: FloatArray): FloatArray {
    var sum = 0f
    for (weight in weights) sum += weight
    if (abs(sum) < 1000 * java.lang.Float.MIN_NORMAL) return weights
    val share = 1f / sum
    return FloatArray(weights.size) { weights[it] * share }
}

private inline fun sum(span: Span, value: (Int) -> Float): Float {
    var sum = 0f
    for (i in span.weights.indices) sum += value(span.start + i) * span.weights[i]
    return sum
}
