package org.kerasmixer.sample

import com.google.ai.edge.litert.CompiledModel
import java.nio.ByteBuffer
import java.util.concurrent.Executors

/** What the screen shows. */
class State(
    val runner: Runner? = null,
    val preview: Picture? = null,
    val result: Result? = null,
    val milliseconds: Double? = null,
    val problem: SampleException? = null,
)

/** The `.tflite` files of an app. */
interface Models : AutoCloseable {
    fun names(): List<String>

    fun content(name: String): ByteBuffer

    fun compile(name: String, options: CompiledModel.Options): CompiledModel
}

/**
 * The model that is open and the picture that was chosen. One thread does all the work, in the order in
 * which it was asked for.
 *
 * @param models Closed with the session.
 * @param show Gets each new state, on that thread.
 */
class Session(private val models: Models, private val show: (State) -> Unit) : AutoCloseable {
    private val worker = Executors.newSingleThreadExecutor()
    private var model: ImageModel? = null
    private var read: (() -> ByteArray)? = null
    private var failure: SampleException? = null // why no model is open

    /** Opens the first model by name instead of the one that was open, and shows the picture again. */
    fun open(gpu: Boolean) = work {
        model?.close()
        model = null
        try {
            val name = models.names().filter { it.endsWith(".tflite") }.minOrNull()
                ?: throw SampleException(Problem.NO_MODEL)
            model = ImageModel.open(ModelFile.read(models.content(name))) {
                Runner.open(gpu) { models.compile(name, it) }
            }
        } catch (problem: SampleException) {
            failure = problem
            throw problem
        }
        classified()
    }

    /** Classifies a picture's file, which [read] reads. */
    fun classify(read: () -> ByteArray) = work {
        this.read = read
        classified()
    }

    /** Shows a problem that the screen met. */
    fun fail(problem: Problem) = work { throw SampleException(problem) }

    private fun classified(): State {
        val model = model ?: throw failure ?: SampleException(Problem.NO_MODEL)
        val read = read ?: return State(model.runner)
        val picture = decode(read())
        val start = System.nanoTime()
        val result = try {
            model.run(picture)
        } catch (_: OutOfMemoryError) {
            throw SampleException(Problem.TOO_LARGE_PICTURE, picture.width, picture.height)
        }
        val milliseconds = (System.nanoTime() - start) / 1e6
        return State(model.runner, picture.preview(PREVIEW), result, milliseconds)
    }

    private fun work(step: () -> State) = worker.execute {
        show(
            try {
                step()
            } catch (problem: SampleException) {
                State(model?.runner, problem = problem)
            },
        )
    }

    /** Closes the model when the work that was asked for is done. */
    override fun close() {
        worker.execute {
            model?.close()
            models.close()
        }
        worker.shutdown()
    }

    private companion object {
        const val PREVIEW = 1024
    }
}

/** What [read] gives; an error of the app that offers the picture, which may be any, is a problem. */
fun reading(read: () -> ByteArray): ByteArray = try {
    read()
} catch (error: Throwable) {
    throw SampleException(Problem.UNREADABLE_PICTURE, error.message ?: "$error")
}
