package org.kerasmixer.sample

import androidx.test.ext.junit.runners.AndroidJUnit4
import androidx.test.platform.app.InstrumentationRegistry
import com.google.ai.edge.litert.CompiledModel
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith

/** On this device the app gives what `keras-mixer export --android` measured where it ran. */
@RunWith(AndroidJUnit4::class)
class GoldenTest {
    private val instrumentation = InstrumentationRegistry.getInstrumentation()
    private val app = instrumentation.targetContext
    private val models = app.assets.list("")!!.filter { it.startsWith("model_") && it.endsWith(".tflite") }

    @Test
    fun theGoldenPictureBecomesTheGoldenInput() {
        val picture = decode(golden("golden.png"))
        for (model in models) {
            assertArrayEquals(model, floats("golden_input.bin"), Preparation(file(model)).input(picture), 1e-6f)
        }
    }

    @Test
    fun everyModelGivesItsGoldenOutput() {
        assertTrue("keras-mixer export --android has put no model into the app", models.isNotEmpty())
        openEnvironment(app).use { environment ->
            for (model in models) {
                Runner.open(gpu = false) { CompiledModel.create(app.assets, model, it, environment) }.use {
                    val expected = floats("golden_output_" + model.removePrefix("model_").replace(".tflite", ".bin"))
                    // Other processors round otherwise; on ARM the largest difference of 20 images was 0.013.
                    assertArrayEquals(model, expected, it.run(floats("golden_input.bin")), .03f * expected.max())
                }
            }
        }
    }

    private fun file(model: String) = ModelFile.read(ByteBuffer.wrap(app.assets.open(model).use { it.readBytes() }))

    private fun golden(name: String) = instrumentation.context.assets.open(name).use { it.readBytes() }

    private fun floats(name: String): FloatArray {
        val numbers = ByteBuffer.wrap(golden(name)).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer()
        return FloatArray(numbers.remaining()).also { numbers.get(it) }
    }
}
