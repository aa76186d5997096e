package org.kerasmixer.sample

import android.app.Application
import android.content.res.AssetManager
import android.net.Uri
import androidx.lifecycle.AndroidViewModel
import androidx.lifecycle.LiveData
import androidx.lifecycle.MutableLiveData
import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.Environment
import java.io.FileInputStream
import java.io.FileNotFoundException
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.channels.FileChannel
import java.util.concurrent.Executors

/** What the screen shows. */
data class State(
    val preview: Picture? = null,
    val result: Result? = null,
    val milliseconds: Double? = null,
    val runner: Runner? = null,
    val problem: SampleException? = null,
)

/**
 * Holds the model while the activity comes and goes, as when the phone is turned. One thread does all
 * work on the model and on pictures, and [state] is the only way back.
 */
class SampleModel(application: Application) : AndroidViewModel(application) {
    private val worker = Executors.newSingleThreadExecutor()
    private val shown = MutableLiveData<State>()
    private var latest = State() // the worker's; `shown` has it a moment later
    private var environment: Environment? = null
    private var model: ImageModel? = null
    private var shownUri: Uri? = null

    val state: LiveData<State> get() = shown

    init {
        open(gpu = false)
    }

    /** Opens the model, and closes the one that was open. */
    fun open(gpu: Boolean) = work { state ->
        model?.close()
        model = null
        val assets = getApplication<Application>().assets
        val name = assets.list("")?.sorted()?.firstOrNull { it.endsWith(".tflite") }
            ?: throw SampleException(Problem.NO_MODEL)
        val runtime = environment ?: openEnvironment(getApplication()).also { environment = it }
        val opened = ImageModel.open(ModelFile.read(content(assets, name))) {
            Runner.open(gpu) { CompiledModel.create(assets, name, it, runtime) }
        }
        model = opened
        shownUri?.let { classified(opened, it) } ?: state.copy(runner = opened.runner)
    }

    /** Classifies the picture at an address that another app gave. */
    fun show(uri: Uri) = work { state ->
        shownUri = uri
        val opened = model ?: throw state.problem ?: SampleException(Problem.NO_MODEL)
        classified(opened, uri)
    }

    private fun classified(model: ImageModel, uri: Uri): State {
        val picture = decode(read(uri))
        val start = System.nanoTime()
        val result = model.run(picture)
        val milliseconds = (System.nanoTime() - start) / 1e6
        return State(picture.preview(PREVIEW), result, milliseconds, model.runner)
    }

    /** Shows a problem that the screen met. */
    fun fail(problem: Problem) = work { throw SampleException(problem) }

    private fun read(uri: Uri): ByteArray {
        val resolver = getApplication<Application>().contentResolver
        try {
            val stream = resolver.openInputStream(uri) ?: throw FileNotFoundException("$uri")
            return stream.use { it.readBytes() }
        } catch (error: IOException) {
            throw SampleException(Problem.UNREADABLE_PICTURE, error.message ?: "$error")
        } catch (error: SecurityException) {
            throw SampleException(Problem.UNREADABLE_PICTURE, error.message ?: "$error")
        }
    }

    private fun work(step: (State) -> State) {
        worker.execute {
            latest = try {
                step(latest).copy(problem = null)
            } catch (problem: SampleException) {
                latest.copy(problem = problem, runner = model?.runner)
            }
            shown.postValue(latest)
        }
    }

    override fun onCleared() {
        worker.execute {
            model?.close()
            environment?.close()
        }
        worker.shutdown()
    }

    private companion object {
        const val PREVIEW = 1024
    }
}

/** The content of an uncompressed asset, mapped into memory. */
private fun content(assets: AssetManager, name: String): ByteBuffer {
    val file = try {
        assets.openFd(name)
    } catch (_: FileNotFoundException) {
        throw SampleException(Problem.COMPRESSED_MODEL, name)
    }
    try {
        return FileInputStream(file.fileDescriptor).use {
            it.channel.map(FileChannel.MapMode.READ_ONLY, file.startOffset, file.length)
        }
    } finally {
        file.close()
    }
}
