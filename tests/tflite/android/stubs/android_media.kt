// The constructor that android.jar of API 17 lacks, to compile against: nothing here does anything.
package android.media

import java.io.InputStream

class ExifInterface(private val stream: InputStream) {
    fun getAttributeInt(tag: String, default: Int): Int = TODO("$tag $default $stream")

    companion object {
        const val TAG_ORIENTATION = "Orientation"
    }
}
