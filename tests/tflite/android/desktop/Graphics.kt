// What the sample uses of android.graphics, over Java's own decoder of pictures. android.jar of API 17
// has these classes without `inPremultiplied`, and none of its methods runs.
package android.graphics

import java.awt.image.BufferedImage
import java.io.ByteArrayInputStream
import javax.imageio.ImageIO

class Bitmap private constructor(private val image: BufferedImage) {
    enum class Config { ARGB_8888 }

    private var recycled = false
    val width get() = image.width
    val height get() = image.height

    fun getPixels(pixels: IntArray, offset: Int, stride: Int, x: Int, y: Int, width: Int, height: Int) {
        check(!recycled)
        image.getRGB(x, y, width, height, pixels, offset, stride)
    }

    fun recycle() {
        recycled = true
    }

    companion object {
        @JvmStatic
        fun createBitmap(colors: IntArray, width: Int, height: Int, config: Config): Bitmap {
            require(config == Config.ARGB_8888)
            val image = BufferedImage(width, height, BufferedImage.TYPE_INT_ARGB)
            image.setRGB(0, 0, width, height, colors, 0, width)
            return Bitmap(image)
        }

        internal fun of(image: BufferedImage) = Bitmap(image)
    }
}

/** A grey picture with its own values, which `getRGB` would change: Java takes grey as linear. */
private fun withoutGamma(image: BufferedImage): BufferedImage {
    if (image.type != BufferedImage.TYPE_BYTE_GRAY) return image
    val plain = BufferedImage(image.width, image.height, BufferedImage.TYPE_INT_RGB)
    for (y in 0 until image.height) for (x in 0 until image.width) {
        plain.setRGB(x, y, 0x010101 * image.raster.getSample(x, y, 0))
    }
    return plain
}

class BitmapFactory {
    class Options {
        @JvmField var inJustDecodeBounds = false
        @JvmField var inSampleSize = 0
        @JvmField var inPremultiplied = true
        @JvmField var outWidth = 0
        @JvmField var outHeight = 0
    }

    companion object {
        @JvmStatic
        fun decodeByteArray(data: ByteArray, offset: Int, length: Int, options: Options): Bitmap? {
            val image = try {
                ImageIO.read(ByteArrayInputStream(data, offset, length))?.let(::withoutGamma)
            } catch (_: java.io.IOException) {
                null
            }
            options.outWidth = image?.width ?: -1
            options.outHeight = image?.height ?: -1
            if (image == null || options.inJustDecodeBounds) return null
            check(!options.inPremultiplied && options.inSampleSize == 1)
            return Bitmap.of(image)
        }
    }
}
