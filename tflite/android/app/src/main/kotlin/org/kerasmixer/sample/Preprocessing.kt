package org.kerasmixer.sample

import org.json.JSONArray
import org.json.JSONObject

/**
 * How a picture becomes a model's input: resized, cropped, then `(pixel / 255 - mean) / std`.
 *
 * The same fields as `keras_mixer.Preprocessing` in Python, which documents them.
 *
 * @property mean, std One number for all channels, or one for each.
 */
data class Preprocessing(
    val mean: List<Double> = listOf(0.5),
    val std: List<Double> = listOf(0.5),
    val crop: Crop = Crop.RESIZE,
    val cropShare: Double = 224.0 / 256,
    val interpolation: Interpolation = Interpolation.BILINEAR,
    val antialias: Boolean = false,
    val library: Library = Library.TENSORFLOW,
) {
    init {
        require(1 in listOf(mean.size, std.size) || mean.size == std.size) { "mean and std do not fit" }
        require((mean + std).all(Double::isFinite) && 0.0 !in std) { "mean or std is out of range" }
        require(cropShare >= .05 && cropShare <= 1) { "crop_share is $cropShare" }
    }

    /** The same with other input values for black and for white. */
    fun ranging(black: List<Double>, white: List<Double>): Preprocessing {
        val std = black.zip(white) { b, w -> 1 / (w - b) }
        return copy(mean = black.zip(std) { b, s -> -b * s }, std = std)
    }

    /** Pixels from 0 to 255, channels last -> the model's input. */
    fun scaled(pixels: FloatArray, channels: Int): FloatArray {
        val scale = FloatArray(channels) { (1 / (255 * std[it % std.size])).toFloat() }
        val offset = FloatArray(channels) { (-mean[it % mean.size] / std[it % std.size]).toFloat() }
        return FloatArray(pixels.size) { pixels[it] * scale[it % channels] + offset[it % channels] }
    }

    companion object {
        /** From the JSON that `keras_mixer` writes into a file. */
        fun of(json: JSONObject) = Preprocessing(
            mean = numbers(json.get("mean")),
            std = numbers(json.get("std")),
            crop = named(json.getString("crop")),
            cropShare = json.getDouble("crop_share"),
            interpolation = named(json.getString("interpolation")),
            antialias = json.getBoolean("antialias"),
            library = named(json.getString("library")),
        )

        private fun numbers(value: Any) = when (value) {
            is JSONArray -> List(value.length()) { value.getDouble(it) }
            is Number -> listOf(value.toDouble())
            else -> throw IllegalArgumentException("mean or std is no number")
        }

        private inline fun <reified T : Enum<T>> named(name: String): T =
            enumValueOf(name.uppercase())
    }
}

/** The whole picture; the centre of that, enlarged; or the centre, its proportions kept. */
enum class Crop { RESIZE, RESIZE_CROP, RESMALL_CROP }

enum class Interpolation {
    AREA, BICUBIC, BILINEAR, LANCZOS3, LANCZOS5, NEAREST, BILINEAR_FROM_CORNERS
}

/** Whose rules of rounding are followed. */
enum class Library { TENSORFLOW, PILLOW }
