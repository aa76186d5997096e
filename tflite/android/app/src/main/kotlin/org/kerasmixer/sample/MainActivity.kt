package org.kerasmixer.sample

import android.content.ActivityNotFoundException
import android.graphics.Bitmap
import android.os.Bundle
import android.view.View
import android.widget.CheckBox
import android.widget.ImageView
import android.widget.TextView
import androidx.activity.ComponentActivity
import androidx.activity.result.PickVisualMediaRequest
import androidx.activity.result.contract.ActivityResultContracts.PickVisualMedia
import androidx.activity.result.contract.ActivityResultContracts.TakePicture
import androidx.core.content.FileProvider
import androidx.lifecycle.ViewModelProvider
import java.io.File

/** Shows a picture from the photo picker or the camera, and what the model says of it. */
class MainActivity : ComponentActivity() {
    private val model by lazy { ViewModelProvider(this)[SampleModel::class.java] }
    private val messages by lazy { Messages(resources) }

    private val photograph by lazy { // the camera's app writes to it
        val folder = File(cacheDir, "photographs").apply { mkdirs() } // as in xml/photographs.xml
        FileProvider.getUriForFile(this, "$packageName.photographs", File(folder, "photograph.jpg"))
    }
    private val picker = registerForActivityResult(PickVisualMedia()) { uri ->
        if (uri != null) model.classify(uri)
    }
    private val camera = registerForActivityResult(TakePicture()) { taken ->
        if (taken) model.classify(photograph)
    }

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.main)
        val gpu = view<CheckBox>(R.id.gpu)
        gpu.isSaveEnabled = false // the model, which a new process opens on the CPU, says what it is
        gpu.isChecked = model.gpu
        view<View>(R.id.pick).setOnClickListener { pick() }
        view<View>(R.id.take).setOnClickListener { take() }
        gpu.setOnClickListener { model.open(gpu.isChecked) }
        model.state.observe(this, ::show)
    }

    private fun pick() = try {
        picker.launch(PickVisualMediaRequest(PickVisualMedia.ImageOnly))
    } catch (_: ActivityNotFoundException) {
        model.fail(Problem.NO_PICKER)
    }

    private fun take() = try {
        camera.launch(photograph)
    } catch (_: ActivityNotFoundException) {
        model.fail(Problem.NO_CAMERA)
    }

    private fun show(state: State) {
        view<TextView>(R.id.runtime).text = state.runner?.let(messages::of)
        view<TextView>(R.id.problem).text = state.problem?.let(messages::of)
        view<TextView>(R.id.time).text = state.milliseconds?.let { getString(R.string.time, it) }
        view<TextView>(R.id.result).text = state.result?.let(messages::of)
        val bitmap = state.preview?.let {
            Bitmap.createBitmap(it.toArgb(), it.width, it.height, Bitmap.Config.ARGB_8888)
        }
        view<ImageView>(R.id.picture).setImageBitmap(bitmap)
    }

    @Suppress("UNCHECKED_CAST")
    private fun <T : View> view(id: Int): T = findViewById(id) as View as T
}
