package org.kerasmixer.sample

import java.nio.ByteBuffer
import java.nio.ByteOrder

private const val ORIENTATION = 0x112
private const val HEAD = 1 shl 14 // later EXIF data in a JPEG are ignored, as in Python
private val EXIF = "Exif\u0000\u0000".toByteArray()

/**
 * The orientation of a JPEG, PNG or WebP by its EXIF data, from 1 to 8; 1 if there is none, and for
 * other formats. `BitmapFactory` does not turn any picture.
 */
fun orientation(file: ByteArray): Int = try {
    when {
        file.startsWith(0, 0xff, 0xd8, 0xff) -> ofJpeg(file)
        file.startsWith(0, 0x89, 'P'.code, 'N'.code, 'G'.code) -> ofPng(file)
        file.startsWith(8, 'W'.code, 'E'.code, 'B'.code, 'P'.code) -> ofWebP(file)
        else -> 1
    }
} catch (_: IndexOutOfBoundsException) { // cut short
    1
}

private fun ofJpeg(file: ByteArray): Int {
    val bytes = ByteBuffer.wrap(file)
    var at = 2
    while (at + 4 <= minOf(file.size, HEAD)) {
        if (file.u(at) != 0xff) return 1
        val code = file.u(at + 1)
        if (code == 0xff) { // a byte of padding
            at++
            continue
        }
        if (code == 0xda) return 1 // the pixels begin
        val size = bytes.getShort(at + 2).toInt() and 0xffff
        val isExif = code == 0xe1 && at + 8 <= HEAD && file.holds(EXIF, at + 4)
        if (isExif) return inTiff(file, at + 10, at + 2 + size)
        at += 2 + size
    }
    return 1
}

private fun ofPng(file: ByteArray): Int {
    val bytes = ByteBuffer.wrap(file)
    var at = 8
    while (at + 12 <= file.size) {
        val size = bytes.getInt(at)
        if (size < 0) return 1
        if (file.holds("eXIf".toByteArray(), at + 4)) return inTiff(file, at + 8, at + 8 + size)
        at += 12 + size
    }
    return 1
}

private fun ofWebP(file: ByteArray): Int {
    val bytes = ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN)
    var at = 12
    while (at + 8 <= file.size) {
        val size = bytes.getInt(at + 4)
        if (size < 0) return 1
        if (file.holds("EXIF".toByteArray(), at)) {
            val start = at + 8 + if (file.holds(EXIF, at + 8)) EXIF.size else 0
            return inTiff(file, start, at + 8 + size)
        }
        at += 8 + size + size % 2
    }
    return 1
}

/** The orientation in EXIF data, which are a TIFF from [start] to [end]. */
private fun inTiff(file: ByteArray, start: Int, end: Int): Int {
    val tiff = ByteBuffer.wrap(file, start, minOf(end, file.size) - start).slice()
    tiff.order(if (file.u(start) == 'I'.code) ByteOrder.LITTLE_ENDIAN else ByteOrder.BIG_ENDIAN)
    if (tiff.getShort(2).toInt() != 42) return 1
    val directory = tiff.getInt(4)
    repeat(tiff.getShort(directory).toInt() and 0xffff) {
        val entry = directory + 2 + 12 * it
        if (tiff.getShort(entry).toInt() == ORIENTATION && tiff.getInt(entry + 4) == 1) {
            val value = when (tiff.getShort(entry + 2).toInt()) {
                1 -> tiff.get(entry + 8).toInt()
                3 -> tiff.getShort(entry + 8).toInt()
                4 -> tiff.getInt(entry + 8)
                else -> null
            }
            if (value != null) return value.takeIf { v -> v in 1..8 } ?: 1
        }
    }
    return 1
}

private fun ByteArray.u(at: Int) = get(at).toInt() and 0xff

private fun ByteArray.startsWith(at: Int, vararg values: Int) =
    size >= at + values.size && values.indices.all { u(at + it) == values[it] }

private fun ByteArray.holds(text: ByteArray, at: Int) =
    size >= at + text.size && text.indices.all { get(at + it) == text[it] }
