package org.kerasmixer.sample

import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.LiteRtException
import com.google.ai.edge.litert.TensorBuffer

/**
 * A compiled model with its buffers: floats in, floats out. Calls must come from one thread.
 *
 * @property accelerator What the model runs on.
 * @property fallback Why it does not run on the GPU although that was asked for; else null.
 */
class Runner private constructor(
    private val model: CompiledModel,
    private val inputs: List<TensorBuffer>,
    private val outputs: List<TensorBuffer>,
    val accelerator: Accelerator,
    val fallback: String?,
) : AutoCloseable {
    fun run(input: FloatArray): FloatArray = try {
        inputs[0].writeFloat(input)
        model.run(inputs, outputs)
        outputs[0].readFloat()
    } catch (error: LiteRtException) {
        throw SampleException(Problem.DOES_NOT_RUN, error.message ?: "$error")
    }

    override fun close() = close(inputs + outputs + model)

    companion object {
        /**
         * Opens a model on the CPU, or on the GPU if [gpu] and if the GPU runs it.
         *
         * `Options(GPU, CPU)` would fall back without a word, so the GPU is asked for alone.
         *
         * @param create Compiles the model for given options.
         * @throws SampleException The CPU cannot run it either.
         */
        fun open(gpu: Boolean, create: (CompiledModel.Options) -> CompiledModel): Runner {
            var fallback: String? = null
            if (gpu) {
                try {
                    return on(Accelerator.GPU, null, create)
                } catch (error: LiteRtException) {
                    fallback = error.message ?: "$error"
                }
            }
            try {
                return on(Accelerator.CPU, fallback, create)
            } catch (error: LiteRtException) {
                throw SampleException(Problem.DOES_NOT_RUN, error.message ?: "$error")
            }
        }

        private fun on(
            accelerator: Accelerator,
            fallback: String?,
            create: (CompiledModel.Options) -> CompiledModel,
        ): Runner {
            val opened = mutableListOf<AutoCloseable>()
            try {
                val model = create(CompiledModel.Options(accelerator)).also { opened.add(it) }
                val inputs = model.createInputBuffers().also { opened.addAll(0, it) }
                val outputs = model.createOutputBuffers().also { opened.addAll(0, it) }
                // The GPU may compile a model and fail to run it.
                if (accelerator == Accelerator.GPU) model.run(inputs, outputs)
                return Runner(model, inputs, outputs, accelerator, fallback)
            } catch (error: Throwable) {
                close(opened)
                throw error
            }
        }

        private fun close(all: List<AutoCloseable>) = all.forEach(AutoCloseable::close)
    }
}
