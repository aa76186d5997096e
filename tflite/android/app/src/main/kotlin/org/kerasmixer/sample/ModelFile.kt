package org.kerasmixer.sample

import java.io.ByteArrayInputStream
import java.io.IOException
import java.math.BigDecimal
import java.math.MathContext
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.zip.ZipInputStream
import org.json.JSONArray
import org.json.JSONException
import org.json.JSONObject

/** What the output of a model comes from. */
enum class Activation { SOFTMAX, SIGMOID, OTHER }

/**
 * What a `.tflite` file says about itself: everything that an app needs to know about its model.
 *
 * @property name The model's name, or "" if the file has none.
 * @property input, output Shapes of the first input and output, such as [1, H, W, C] and [1, n].
 * @property names Class names in the order of the scores; of one score those of both classes, or of
 *   class 1 alone; empty if unknown.
 * @property preprocessing How a picture becomes the input; null if the file does not say it.
 */
data class ModelFile(
    val name: String,
    val input: List<Int>,
    val output: List<Int>,
    val activation: Activation,
    val names: List<String>,
    val preprocessing: Preprocessing?,
) {
    companion object {
        /**
         * Reads a file's content from its first to its last byte.
         *
         * @throws SampleException It is no `.tflite` file, is damaged, or has integers as input or
         *   output.
         */
        fun read(content: ByteBuffer): ModelFile {
            val bytes = content.duplicate().order(ByteOrder.LITTLE_ENDIAN)
            if (bytes.limit() < 8 || bytes.getInt(4) != identifier("TFL3")) {
                throw SampleException(Problem.NOT_TFLITE)
            }
            try {
                return Reader(bytes).read()
            } catch (error: IndexOutOfBoundsException) {
                throw damaged(error)
            } catch (error: NoSuchElementException) {
                throw damaged(error)
            } catch (error: IllegalArgumentException) {
                throw damaged(error)
            } catch (error: JSONException) {
                throw damaged(error)
            } catch (error: IOException) {
                throw damaged(error)
            }
        }

        private fun damaged(error: Exception) =
            SampleException(Problem.DAMAGED_MODEL, error.message ?: "$error")
    }
}

// Numbers of fields, types and ops in LiteRT's schema.fbs and metadata_schema.fbs.
private const val FLOAT32 = 0
private const val DEQUANTIZE = 6
private const val LOGISTIC = 14
private const val SOFTMAX = 25
private const val QUANTIZE = 114
private const val NORMALIZATION_OPTIONS = 1
private const val TENSOR_AXIS_LABELS = 2

private fun identifier(text: String) =
    ByteBuffer.wrap(text.toByteArray()).order(ByteOrder.LITTLE_ENDIAN).getInt(0)

private class Reader(private val bytes: ByteBuffer) {
    private val model = FlatTable.root(bytes)
    private val buffers = model.tables(4)
    private val entries = model.tables(6).associate { it.text(0) to buffers[it.int(1)].data(0) }
    private val graph = model.tables(2).first()
    private val tensors = graph.tables(0)
    private val metadata = entries["TFLITE_METADATA"]?.let {
        val table = ByteBuffer.wrap(it).order(ByteOrder.LITTLE_ENDIAN)
        require(table.getInt(4) == identifier("M001")) { "the metadata do not begin with M001" }
        FlatTable.root(table)
    }

    fun read(): ModelFile {
        val (input, output) = listOf(graph.ints(1).first(), graph.ints(2).first())
        for (tensor in listOf(tensors[input], tensors[output])) {
            if (tensor.byte(1) != FLOAT32) throw SampleException(Problem.NOT_FLOAT)
        }
        return ModelFile(
            name = metadata?.text(0) ?: "",
            input = tensors[input].ints(0),
            output = tensors[output].ints(0),
            activation = activation(output),
            names = names(),
            preprocessing = preprocessing(),
        )
    }

    /** The op that makes the output, behind those that only change its type. */
    private fun activation(output: Int): Activation {
        val ops = graph.tables(3)
        val codes = model.tables(1).map { maxOf(it.byte(0), it.int(3)) }
        var tensor = output
        repeat(ops.size) {
            val op = ops.lastOrNull { tensor in it.ints(2) } ?: return Activation.OTHER
            when (codes[op.int(0)]) {
                SOFTMAX -> return Activation.SOFTMAX
                LOGISTIC -> return Activation.SIGMOID
                DEQUANTIZE, QUANTIZE -> tensor = op.ints(1).first()
                else -> return Activation.OTHER
            }
        }
        return Activation.OTHER
    }

    private fun names(): List<String> {
        val both = JSONArray(entries["keras_mixer.Classes"]?.toString(Charsets.UTF_8) ?: "[]")
        if (both.length() == 2) return List(2) { both.getString(it) }
        val files = tensorMetadata(field = 3).flatMap { it.tables(6) }
        val file = files.firstOrNull { it.byte(2) == TENSOR_AXIS_LABELS } ?: return emptyList()
        val lines = textFile(file.text(0)).removePrefix("\uFEFF").split("\n")
        return lines.map { it.removeSuffix("\r") }.dropLastWhile(String::isBlank)
    }

    /** The crop as the file says it; the range of pixels in LiteRT's metadata takes precedence. */
    private fun preprocessing(): Preprocessing? {
        val ours = entries["keras_mixer.Preprocessing"]
            ?.let { Preprocessing.of(JSONObject(it.toString(Charsets.UTF_8))) }
        val options = tensorMetadata(field = 2).flatMap { it.tables(4) }
            .firstOrNull { it.byte(0) == NORMALIZATION_OPTIONS }?.table(1) ?: return ours
        val (mean, std) = listOf(0, 1).map { options.floats(it) }
        require(mean.isNotEmpty() && std.isNotEmpty()) { "the normalisation is incomplete" }
        val channels = maxOf(mean.size, std.size)
        val ends = listOf(0.0, 255.0).map { pixel ->
            List(channels) { sixDigits((pixel - mean[it % mean.size]) / std[it % std.size]) }
        }
        return (ours ?: Preprocessing()).ranging(ends[0], ends[1])
    }

    private fun tensorMetadata(field: Int): List<FlatTable> =
        metadata?.tables(3)?.firstOrNull()?.tables(field) ?: emptyList()

    /** A text file in the ZIP at the end of the model. */
    private fun textFile(name: String): String {
        val end = (bytes.limit() - 22 downTo maxOf(0, bytes.limit() - 22 - 0xffff))
            .firstOrNull { bytes.getInt(it) == 0x06054b50 }
        require(end != null) { "$name is missing, the file may be cut short" }
        val directory = end - bytes.getInt(end + 12)
        val shift = directory - bytes.getInt(end + 16) // not 0 if the ZIP counts from its own start
        var at = directory
        while (bytes.getInt(at) == 0x02014b50) {
            val sizes = listOf(28, 30, 32).map { bytes.getShort(at + it).toInt() and 0xffff }
            if (copy(at + 46, sizes[0]).toString(Charsets.UTF_8) == name) {
                return unzipped(bytes.getInt(at + 42) + shift, end)
            }
            at += 46 + sizes.sum() // name, extra field, comment
        }
        throw IllegalArgumentException("$name is missing")
    }

    private fun unzipped(start: Int, end: Int): String {
        return ZipInputStream(ByteArrayInputStream(copy(start, end - start))).use {
            it.nextEntry
            it.readBytes().toString(Charsets.UTF_8)
        }
    }

    private fun copy(start: Int, size: Int): ByteArray {
        if (size < 0 || size > bytes.limit()) throw IndexOutOfBoundsException("$size bytes")
        return ByteArray(size) { bytes.get(start + it) }
    }

    /** Rounding to float32 changes the seventh digit. */
    private fun sixDigits(value: Double): Double {
        require(value.isFinite()) { "the normalisation divides by 0" }
        return BigDecimal(value).round(MathContext(6)).toDouble()
    }
}
