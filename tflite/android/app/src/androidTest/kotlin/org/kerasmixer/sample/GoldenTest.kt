package org.kerasmixer.sample

import androidx.test.ext.junit.runners.AndroidJUnit4
import androidx.test.platform.app.InstrumentationRegistry
import com.google.ai.edge.litert.CompiledModel
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.abs
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith

/** On this device the app gives what `keras-mixer export --android` measured where it ran. */
@RunWith(AndroidJUnit4::class)
class GoldenTest {
    private val instrumentation = InstrumentationRegistry.getInstrumentation()
    private val app = instrumentation.targetContext
    private val models = app.assets.list("")!!.filter { it.matches(Regex("model_.*\\.tflite")) }

    @Test
    fun theGoldenPictureBecomesTheGoldenInput() {
        val picture = decode(golden("golden.png"))
        for (model in models) {
            val content = app.assets.open(model).use { it.readBytes() }
            val file = ModelFile.read(ByteBuffer.wrap(content))
            // The picture has the model's own size: it is not cropped.
            val whole = file.copy(preprocessing = file.preprocessing!!.copy(crop = Crop.RESIZE))
            val input = Preparation(whole).input(picture)
            assertArrayEquals(model, floats("golden_input.bin"), input, 1e-6f)
        }
    }

    @Test
    fun everyModelGivesItsGoldenOutput() {
        assertTrue("no model: run keras-mixer export MODEL --android", models.isNotEmpty())
        openEnvironment(app).use { environment ->
            for (model in models) {
                val golden = model.replace("model_", "golden_output_").replace(".tflite", ".bin")
                val expected = floats(golden)
                val runner = Runner.open(gpu = false) {
                    CompiledModel.create(app.assets, model, it, environment)
                }
                val scores = runner.use { it.run(floats("golden_input.bin")) }
                // Other processors round otherwise: on ARM, of 20 images, by 0.013 at most.
                assertArrayEquals(model, expected, scores, .03f * expected.maxOf(::abs))
            }
        }
    }

    private fun golden(name: String) =
        instrumentation.context.assets.open(name).use { it.readBytes() }

    private fun floats(name: String): FloatArray {
        val numbers = ByteBuffer.wrap(golden(name)).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer()
        return FloatArray(numbers.remaining()).also { numbers.get(it) }
    }
}
