package org.kerasmixer.sample

import android.app.Application
import android.content.Context
import android.net.Uri
import androidx.lifecycle.AndroidViewModel
import androidx.lifecycle.LiveData
import androidx.lifecycle.MutableLiveData
import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.Environment
import java.io.FileInputStream
import java.io.FileNotFoundException
import java.nio.ByteBuffer
import java.nio.channels.FileChannel

/** Keeps the session while the activity comes and goes, as when the phone is turned. */
class SampleModel(application: Application) : AndroidViewModel(application) {
    private val shown = MutableLiveData<State>()
    private val session = Session(Assets(application)) { shown.postValue(it) }

    val state: LiveData<State> get() = shown

    /** Whether the GPU is asked for. */
    var gpu = false
        private set

    init {
        open(gpu)
    }

    fun open(gpu: Boolean) {
        this.gpu = gpu
        session.open(gpu)
    }

    /** Classifies the picture at an address that another app gave. */
    fun classify(uri: Uri) = session.classify { read(uri) }

    fun fail(problem: Problem) = session.fail(problem)

    override fun onCleared() = session.close()

    private fun read(uri: Uri): ByteArray {
        val resolver = getApplication<Application>().contentResolver
        return reading {
            val stream = resolver.openInputStream(uri) ?: throw FileNotFoundException("$uri")
            stream.use { it.readBytes() }
        }
    }
}

/** The models in the app's assets, and the environment that they run in. */
private class Assets(private val context: Context) : Models {
    private var environment: Environment? = null

    override fun names() = context.assets.list("")?.toList() ?: emptyList()

    /** The file in the app, mapped into memory; LiteRT makes a copy for itself. */
    override fun content(name: String): ByteBuffer {
        val file = try {
            context.assets.openFd(name)
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

    override fun compile(name: String, options: CompiledModel.Options): CompiledModel {
        val opened = environment ?: opened().also { environment = it }
        return CompiledModel.create(context.assets, name, options, opened)
    }

    private fun opened() = try {
        openEnvironment(context)
    } catch (error: LinkageError) { // LiteRT has no library for this CPU
        throw SampleException(Problem.NO_RUNTIME, error.message ?: "$error")
    }

    override fun close() {
        environment?.close()
    }
}
