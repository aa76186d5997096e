package org.kerasmixer.sample

import java.nio.ByteBuffer

/**
 * A table of a flatbuffer, read in place. A missing field is its default, or empty.
 *
 * An offset or a length beyond the end of [bytes], which are little-endian, throws an
 * [IndexOutOfBoundsException].
 */
class FlatTable(private val bytes: ByteBuffer, private val position: Int) {
    fun byte(id: Int): Int = at(id)?.let { bytes.get(it).toInt() } ?: 0

    fun int(id: Int): Int = at(id)?.let { bytes.getInt(it) } ?: 0

    fun text(id: Int): String = data(id)?.toString(Charsets.UTF_8) ?: ""

    fun ints(id: Int): List<Int> = list(id, bytes::getInt)

    fun floats(id: Int): List<Float> = list(id, bytes::getFloat)

    fun table(id: Int): FlatTable? = at(id)?.let { target(it) }

    fun tables(id: Int): List<FlatTable> = list(id, ::target)

    /** A copy of the bytes of a string or of a vector of bytes. */
    fun data(id: Int): ByteArray? =
        vector(id, 1) { start, size -> ByteArray(size) { bytes.get(start + it) } }

    private fun <T> list(id: Int, item: (Int) -> T): List<T> =
        vector(id, 4) { start, size -> List(size) { item(start + 4 * it) } } ?: emptyList()

    private fun <T> vector(id: Int, itemSize: Int, read: (start: Int, size: Int) -> T): T? {
        val vector = at(id)?.let { it + bytes.getInt(it) } ?: return null
        val size = bytes.getInt(vector)
        if (size < 0 || vector + 4 + size.toLong() * itemSize > bytes.limit()) {
            throw IndexOutOfBoundsException("a vector of $size items")
        }
        return read(vector + 4, size)
    }

    private fun target(at: Int) = FlatTable(bytes, at + bytes.getInt(at))

    /** Where a field is, or null if the table does not have it. */
    private fun at(id: Int): Int? {
        val fields = position - bytes.getInt(position)
        val entry = 4 + 2 * id
        if (entry >= unsigned(fields)) return null
        return unsigned(fields + entry).takeIf { it != 0 }?.let { position + it }
    }

    private fun unsigned(at: Int) = bytes.getShort(at).toInt() and 0xffff

    companion object {
        fun root(bytes: ByteBuffer) = FlatTable(bytes, bytes.getInt(0))
    }
}
