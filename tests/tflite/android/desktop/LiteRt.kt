// What the sample uses of LiteRT's Kotlin API, with the signatures of LiteRT's own sources
// (litert/kotlin/src/main in google-ai-edge/LiteRT), over the C API of libLiteRt.so, which is in the
// wheel ai-edge-litert. On Android com.google.ai.edge.litert:litert is in its place.
package com.google.ai.edge.litert

import android.content.res.AssetManager
import com.sun.jna.Library
import com.sun.jna.Memory
import com.sun.jna.Native
import com.sun.jna.Pointer
import com.sun.jna.ptr.PointerByReference

class LiteRtException(message: String) : Exception(message)

enum class Accelerator(val value: Int) { NONE(0), CPU(1), GPU(2), NPU(3) }

private interface C : Library {
    fun LiteRtCreateEnvironment(count: Int, options: Pointer?, made: PointerByReference): Int
    fun LiteRtDestroyEnvironment(environment: Pointer)
    fun LiteRtCreateModelFromFile(environment: Pointer, path: String, made: PointerByReference): Int
    fun LiteRtDestroyModel(model: Pointer)
    fun LiteRtGetModelSignature(model: Pointer, index: Long, found: PointerByReference): Int
    fun LiteRtGetNumSignatureInputs(signature: Pointer, count: Memory): Int
    fun LiteRtGetNumSignatureOutputs(signature: Pointer, count: Memory): Int
    fun LiteRtGetSignatureInputTensorByIndex(signature: Pointer, index: Long, found: PointerByReference): Int
    fun LiteRtGetSignatureOutputTensorByIndex(signature: Pointer, index: Long, found: PointerByReference): Int
    fun LiteRtGetRankedTensorType(tensor: Pointer, type: Memory): Int
    fun LiteRtCreateOptions(made: PointerByReference): Int
    fun LiteRtSetOptionsHardwareAccelerators(options: Pointer, set: Int): Int
    fun LiteRtDestroyOptions(options: Pointer)
    fun LiteRtCreateCompiledModel(environment: Pointer, model: Pointer, options: Pointer, made: PointerByReference): Int
    fun LiteRtDestroyCompiledModel(compiled: Pointer)
    fun LiteRtGetCompiledModelInputBufferRequirements(compiled: Pointer, signature: Long, index: Long, found: PointerByReference): Int
    fun LiteRtGetCompiledModelOutputBufferRequirements(compiled: Pointer, signature: Long, index: Long, found: PointerByReference): Int
    fun LiteRtCreateManagedTensorBufferFromRequirements(environment: Pointer, type: Memory, requirements: Pointer, made: PointerByReference): Int
    fun LiteRtDestroyTensorBuffer(buffer: Pointer)
    fun LiteRtGetTensorBufferPackedSize(buffer: Pointer, size: Memory): Int
    fun LiteRtLockTensorBuffer(buffer: Pointer, address: PointerByReference, mode: Int): Int
    fun LiteRtUnlockTensorBuffer(buffer: Pointer): Int
    fun LiteRtRunCompiledModel(
        compiled: Pointer, signature: Long, inputs: Long, input: Array<Pointer>, outputs: Long, output: Array<Pointer>,
    ): Int
}

private val c: C by lazy { Native.load(System.getProperty("litert.library"), C::class.java) }
private const val READ = 0
private const val WRITE = 1

private fun check(what: String, status: Int) {
    if (status != 0) throw LiteRtException("$what failed with status $status")
}

private inline fun made(what: String, make: (PointerByReference) -> Int): Pointer =
    PointerByReference().also { check(what, make(it)) }.value

private inline fun number(what: String, read: (Memory) -> Int): Long =
    Memory(8).also { check(what, read(it)) }.getLong(0)

/** Counts what is open, for tests; the real class is LiteRT's too. */
abstract class JniHandle internal constructor(internal val handle: Pointer) : AutoCloseable {
    private var closed = false

    init {
        open++
    }

    protected fun assertNotDestroyed() = check(!closed) { "used after it was closed" }

    protected abstract fun destroy()

    override fun close() {
        assertNotDestroyed()
        closed = true
        open--
        destroy()
    }

    companion object {
        var open = 0

        /** The buffer to fail at, for tests, counted down from here. */
        var buffersUntilFailure = Int.MAX_VALUE
    }
}

class Environment private constructor(handle: Pointer) : JniHandle(handle) {
    override fun destroy() = c.LiteRtDestroyEnvironment(handle)

    companion object {
        fun create(): Environment = Environment(made("the environment") { c.LiteRtCreateEnvironment(0, null, it) })
    }
}

class TensorBuffer internal constructor(handle: Pointer) : JniHandle(handle) {
    fun writeFloat(data: FloatArray) {
        if (data.size != size) throw LiteRtException("writing ${data.size} floats into a buffer of $size")
        locked(WRITE) { it.write(0, data, 0, size) }
    }

    fun readFloat(): FloatArray = locked(READ) { it.getFloatArray(0, size) }

    private val size get() = (number("the size") { c.LiteRtGetTensorBufferPackedSize(handle, it) } / 4).toInt()

    private inline fun <T> locked(mode: Int, use: (Pointer) -> T): T {
        assertNotDestroyed()
        val address = made("the lock") { c.LiteRtLockTensorBuffer(handle, it, mode) }
        try {
            return use(address)
        } finally {
            check("the unlock", c.LiteRtUnlockTensorBuffer(handle))
        }
    }

    override fun destroy() = c.LiteRtDestroyTensorBuffer(handle)
}

class CompiledModel private constructor(
    handle: Pointer,
    private val model: Pointer,
    private val environment: Environment,
    private val ownsEnvironment: Boolean,
) : JniHandle(handle) {
    class Options(internal vararg val accelerators: Accelerator) {
        companion object {
            @JvmStatic val CPU = Options(Accelerator.CPU)
        }
    }

    private val signature = made("the signature") { c.LiteRtGetModelSignature(model, 0, it) }

    fun createInputBuffers(signatureIndex: Int = 0): List<TensorBuffer> =
        buffers(number("inputs") { c.LiteRtGetNumSignatureInputs(signature, it) }) { i ->
            made("an input") { c.LiteRtGetSignatureInputTensorByIndex(signature, i, it) } to
                made("requirements") { c.LiteRtGetCompiledModelInputBufferRequirements(handle, signatureIndex.toLong(), i, it) }
        }

    fun createOutputBuffers(signatureIndex: Int = 0): List<TensorBuffer> =
        buffers(number("outputs") { c.LiteRtGetNumSignatureOutputs(signature, it) }) { i ->
            made("an output") { c.LiteRtGetSignatureOutputTensorByIndex(signature, i, it) } to
                made("requirements") { c.LiteRtGetCompiledModelOutputBufferRequirements(handle, signatureIndex.toLong(), i, it) }
        }

    private fun buffers(count: Long, tensor: (Long) -> Pair<Pointer, Pointer>) = (0 until count).map {
        assertNotDestroyed()
        if (buffersUntilFailure-- == 0) throw LiteRtException("no memory for a buffer")
        val (type, requirements) = tensor(it)
        val bytes = Memory(128).also { bytes -> check("the type", c.LiteRtGetRankedTensorType(type, bytes)) }
        TensorBuffer(made("a buffer") { buffer ->
            c.LiteRtCreateManagedTensorBufferFromRequirements(environment.handle, bytes, requirements, buffer)
        })
    }

    fun run(inputs: List<TensorBuffer>, outputs: List<TensorBuffer>, signatureIndex: Int = 0) {
        assertNotDestroyed()
        val (into, from) = listOf(inputs, outputs).map { list -> list.map { it.handle }.toTypedArray() }
        val (ins, outs) = into.size.toLong() to from.size.toLong()
        check("run", c.LiteRtRunCompiledModel(handle, signatureIndex.toLong(), ins, into, outs, from))
    }

    override fun destroy() {
        c.LiteRtDestroyCompiledModel(handle)
        c.LiteRtDestroyModel(model)
        if (ownsEnvironment) environment.close()
    }

    companion object {
        @JvmStatic
        @JvmOverloads
        fun create(filePath: String, options: Options = Options.CPU, optionalEnv: Environment? = null): CompiledModel {
            val environment = optionalEnv ?: Environment.create()
            try {
                val (model, compiled) = compiled(environment.handle, filePath, options.accelerators)
                return CompiledModel(compiled, model, environment, ownsEnvironment = optionalEnv == null)
            } catch (error: LiteRtException) {
                if (optionalEnv == null) environment.close()
                throw error
            }
        }

        private fun compiled(environment: Pointer, path: String, accelerators: Array<out Accelerator>): Pair<Pointer, Pointer> {
            val model = made("loading $path") { c.LiteRtCreateModelFromFile(environment, path, it) }
            val options = made("options") { c.LiteRtCreateOptions(it) }
            try {
                val set = accelerators.sumOf { 1 shl it.value - 1 }
                check("the choice of accelerators", c.LiteRtSetOptionsHardwareAccelerators(options, set))
                return model to made("compiling for ${accelerators.joinToString()}") {
                    c.LiteRtCreateCompiledModel(environment, model, options, it)
                }
            } catch (error: LiteRtException) {
                c.LiteRtDestroyModel(model)
                throw error
            } finally {
                c.LiteRtDestroyOptions(options)
            }
        }

        @JvmStatic
        @JvmOverloads
        fun create(
            assetManager: AssetManager,
            assetName: String,
            options: Options = Options.CPU,
            optionalEnv: Environment? = null,
        ): CompiledModel = throw LiteRtException("no assets here: $assetManager, $assetName, $options, $optionalEnv")
    }
}
