package org.kerasmixer.sample

/**
 * A picture: pixels as `Bitmap.getPixels` gives them, in any of the eight orientations of EXIF.
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
        val turned = if (orientation > 4) turned() else this
        val flipped = if (orientation in listOf(3, 4, 7, 8)) turned.upsideDown() else turned
        return if (orientation in listOf(2, 3, 6, 7)) flipped.mirrored() else flipped
    }

    /** RGB, or grey if [channels] is 1, from 0 to 255, read in place. Transparency is ignored. */
    fun image(channels: Int): Image = object : Image(height, width, channels) {
        override fun get(y: Int, x: Int, c: Int): Float {
            val pixel = this@Picture[x, y]
            val value = if (channels == 1) grey(pixel) else pixel shr (16 - 8 * c) and 0xff
            return value.toFloat()
        }
    }

    /** A copy for the screen, whose sides are at most [side]. */
    fun preview(side: Int): Picture {
        val step = (maxOf(width, height) + side - 1) / side
        val (columns, rows) = maxOf(width / step, 1) to maxOf(height / step, 1)
        val small = IntArray(columns * rows) { get(it % columns * step, it / columns * step) }
        return Picture(small, columns, rows)
    }

    /** Row by row, as `Bitmap.createBitmap` takes them. */
    fun toArgb() = IntArray(width * height) { get(it % width, it / width) }

    private fun turned() = Picture(argb, height, width, origin, down, right)

    private fun upsideDown() =
        Picture(argb, width, height, origin + (height - 1) * down, right, -down)

    private fun mirrored() =
        Picture(argb, width, height, origin + (width - 1) * right, -right, down)
}

/** The luma of an RGB pixel, as Pillow rounds it. */
private fun grey(pixel: Int): Int {
    val (red, green, blue) = intArrayOf(pixel shr 16 and 0xff, pixel shr 8 and 0xff, pixel and 0xff)
    return red * 19595 + green * 38470 + blue * 7471 + 0x8000 shr 16
}
