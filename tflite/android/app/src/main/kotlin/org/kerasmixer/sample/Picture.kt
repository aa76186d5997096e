package org.kerasmixer.sample

/**
 * A picture: pixels as `Bitmap.getPixels` gives them, seen from any of the eight orientations of EXIF.
 *
 * The pixel in column x of row y is `argb[origin + x * right + y * down]`, so turning a photograph
 * upright copies nothing.
 */
class Picture private constructor(
    private val argb: IntArray,
    val width: Int,
    val height: Int,
    private val origin: Int,
    private val right: Int,
    private val down: Int,
) {
    constructor(argb: IntArray, width: Int, height: Int) : this(argb, width, height, 0, 1, width)

    operator fun get(x: Int, y: Int): Int = argb[origin + x * right + y * down]

    /** The picture as it was seen when it was taken. */
    fun upright(orientation: Int): Picture {
        val turned = if (orientation > 4) Picture(argb, height, width, origin, down, right) else this
        val flipped = if (orientation in listOf(3, 4, 7, 8)) turned.upsideDown() else turned
        return if (orientation in listOf(2, 3, 6, 7)) flipped.mirrored() else flipped
    }

    /** RGB or grey from 0 to 255, row by row, channels last. Transparency is ignored. */
    fun pixels(channels: Int): FloatArray {
        val pixels = FloatArray(width * height * channels)
        var at = 0
        for (y in 0 until height) for (x in 0 until width) {
            val pixel = get(x, y)
            val (red, green, blue) = Triple(pixel shr 16 and 0xff, pixel shr 8 and 0xff, pixel and 0xff)
            if (channels == 1) {
                pixels[at++] = (red * 19595 + green * 38470 + blue * 7471 + 0x8000 shr 16).toFloat() // Pillow's "L"
            } else {
                pixels[at++] = red.toFloat()
                pixels[at++] = green.toFloat()
                pixels[at++] = blue.toFloat()
            }
        }
        return pixels
    }

    /** A copy for the screen, whose sides are at most [side]. */
    fun preview(side: Int): Picture {
        val step = (maxOf(width, height) + side - 1) / side
        val (columns, rows) = maxOf(width / step, 1) to maxOf(height / step, 1)
        return Picture(IntArray(columns * rows) { get(it % columns * step, it / columns * step) }, columns, rows)
    }

    /** Row by row, as `Bitmap.createBitmap` takes them. */
    fun toArgb() = IntArray(width * height) { get(it % width, it / width) }

    private fun upsideDown() = Picture(argb, width, height, origin + (height - 1) * down, right, -down)

    private fun mirrored() = Picture(argb, width, height, origin + (width - 1) * right, -right, down)
}
