package org.kerasmixer.sample

import java.io.File
import kotlin.math.abs
import org.json.JSONObject
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

class PictureTest {
    @Test
    fun everyCropAndInterpolationGivesThePixelsOfPython() {
        for (case in cases("resize.json")) {
            val picture = decode(File(FIXTURES, case.getString("picture")).readBytes())
            val size = case.getJSONArray("size")
            val channels = case.getInt("channels")
            val shape = listOf(1, size.getInt(0), size.getInt(1), channels)
            val how = Preprocessing.of(case.getJSONObject("preprocessing"))
            val pixels = Preparation(ModelFile("", shape, listOf(1, 1), Activation.OTHER, emptyList(), how)).pixels(picture)
            val expected = floats(File(FIXTURES, case.getString("pixels")))
            assertEquals(expected.size, pixels.size)
            // TensorFlow takes sines in another way: a few units in the last place.
            val tolerance = if ("lanczos" in case.getString("preprocessing")) 2e-4f else 0f
            assertArrayEquals(case.getString("preprocessing"), expected, pixels, tolerance)
        }
    }

    @Test
    fun asPillowResizesItDiffersByOneLevelInFewPixels() {
        for (case in cases("pillow.json")) {
            val picture = decode(File(FIXTURES, case.getString("picture")).readBytes())
            val how = Preprocessing.of(case.getJSONObject("preprocessing"))
            val size = case.getJSONArray("size")
            val ours = picture.image(3).resized(size.getInt(0), size.getInt(1), how).toArray()
            val pillow = floats(File(FIXTURES, case.getString("pixels")))
            // Pillow's weights have 22 bits behind the point, TensorFlow's are floats.
            assertTrue(ours.indices.all { abs(ours[it] - pillow[it]) <= 1 })
            assertTrue(ours.indices.count { ours[it] != pillow[it] } < 0.01 * ours.size)
        }
    }

    @Test
    fun aPhotographNeedsLittleMoreMemoryThanItsPixels() { // this JVM has 256 MB, as apps have
        val photograph = Picture(IntArray(4000 * 3000) { it * 7919 }, 4000, 3000).upright(6)
        val ways = listOf(
            Preprocessing(crop = Crop.RESMALL_CROP, interpolation = Interpolation.AREA),
            Preprocessing(crop = Crop.RESIZE, interpolation = Interpolation.BILINEAR, antialias = true),
            Preprocessing(interpolation = Interpolation.BICUBIC, antialias = true, library = Library.PILLOW),
        )
        for (how in ways) {
            val file = ModelFile("", listOf(1, 96, 96, 3), listOf(1, 1), Activation.OTHER, emptyList(), how)
            assertEquals(96 * 96 * 3, Preparation(file).input(photograph).size)
        }
    }

    @Test
    fun aPictureThatIsFarTooLongIsTooLargeAndNoOtherError() {
        for (crop in Crop.entries) for (library in Library.entries) for (upright in listOf(true, false)) {
            val sides = if (upright) 1 to 1_200_000 else 1_200_000 to 1
            val picture = Picture(IntArray(1_200_000), sides.first, sides.second)
            val file = ModelFile("", listOf(1, 1024, 1024, 3), listOf(1, 2), Activation.SOFTMAX, listOf(), Preprocessing(crop = crop, library = library))
            try {
                Preparation(file).input(picture)
            } catch (_: OutOfMemoryError) {
                // which the session names
            }
        }
    }

    @Test
    fun everyOrientationIsTurnedUpright() {
        for (case in cases("upright.json")) {
            val file = File(FIXTURES, case.getString("picture")).readBytes()
            assertEquals(case.getString("picture"), case.getInt("orientation"), orientation(file))
            if (case.isNull("pixels")) continue // Java reads no WebP
            val picture = decode(file)
            assertEquals(case.getInt("width"), picture.width)
            assertEquals(case.getInt("height"), picture.height)
            // Decoders of JPEG round otherwise.
            val tolerance = if (case.getString("picture").endsWith(".jpg")) 6f else 0f
            val expected = floats(File(FIXTURES, case.getString("pixels")))
            assertArrayEquals(case.getString("picture"), expected, picture.image(3).toArray(), tolerance)
        }
    }

    @Test
    fun damagedExifDataAreNoOrientationAndNoError() {
        for (case in cases("upright.json")) {
            val file = File(FIXTURES, case.getString("picture")).readBytes()
            for (size in 0 until minOf(file.size, 400)) assertTrue(orientation(file.copyOf(size)) in 1..8)
        }
    }

    @Test
    fun whatIsNoPictureIsRefused() {
        assertEquals(Problem.EMPTY_PICTURE, problemOf { decode(ByteArray(0)) }.problem)
        assertEquals(Problem.NOT_A_PICTURE, problemOf { decode("<html>".toByteArray()) }.problem)
        val cut = File(FIXTURES, "noise.png").readBytes().copyOf(30)
        assertEquals(Problem.NOT_A_PICTURE, problemOf { decode(cut) }.problem)
    }

    @Test
    fun largePicturesAreReadInPart() {
        assertEquals(1, sampleSize(4000, 3000))
        assertEquals(2, sampleSize(8160, 6120))
        assertEquals(4, sampleSize(16320, 12240))
        assertEquals(8, sampleSize(60000, 10000))
    }

    @Test
    fun aPreviewIsSmallAndNeverEmpty() {
        val wide = Picture(IntArray(5000) { it }, 5000, 1).preview(1000)
        assertEquals(listOf(1000, 1), listOf(wide.width, wide.height))
        assertEquals(listOf(0, 5, 10), wide.toArgb().take(3))
        val small = Picture(intArrayOf(1, 2), 1, 2).upright(3).preview(1000)
        assertArrayEquals(intArrayOf(2, 1), small.toArgb())
    }

    @Test
    fun jsonWithUnknownWordsIsRefused() {
        val good = cases("resize.json").first().getJSONObject("preprocessing")
        for ((key, value) in listOf("crop" to "middle", "std" to 0, "crop_share" to 2, "library" to "numpy")) {
            val bad = JSONObject(good.toString()).put(key, value)
            assertTrue(key, runCatching { Preprocessing.of(bad) }.exceptionOrNull() is IllegalArgumentException)
        }
    }
}
