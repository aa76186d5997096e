package org.kerasmixer.sample

import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.Environment
import com.google.ai.edge.litert.JniHandle
import java.io.File
import java.nio.ByteBuffer
import org.json.JSONObject
import org.junit.After
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test

class ModelTest {
    private val golden = File(FIXTURES, "export")
    private val recipes = golden.list()!!.filter { it.endsWith(".tflite") }.sorted()

    private fun open(file: File, gpu: Boolean = false) = Runner.open(gpu) { CompiledModel.create(file.path, it) }

    @After
    fun everythingIsClosed() {
        JniHandle.buffersUntilFailure = Int.MAX_VALUE
        assertEquals(0, JniHandle.open)
    }

    @Test
    fun everyRecipeGivesItsGoldenOutput() {
        assertEquals(7, recipes.size)
        val picture = decode(File(golden, "golden.png").readBytes())
        for (recipe in recipes) {
            val file = modelFile(File(golden, recipe))
            val input = Preparation(file).input(picture)
            assertArrayEquals(floats(File(golden, "golden_input.bin")), input, 0f)
            open(File(golden, recipe)).use {
                val expected = floats(File(golden, recipe.replace("model_", "golden_output_").replace(".tflite", ".bin")))
                assertArrayEquals(recipe, expected, it.run(input), 1e-6f) // the same library on the same machine
            }
        }
    }

    @Test
    fun theGoldenPictureIsTheGoldenInputWhateverTheCropOfPhotographs() {
        for (case in cases("models.json")) {
            val path = File(FIXTURES, case.getString("model"))
            val file = modelFile(path)
            val whole = file.copy(preprocessing = file.preprocessing!!.copy(crop = Crop.RESIZE))
            val input = Preparation(whole).input(decode(path.resolveSibling("golden.png").readBytes()))
            assertArrayEquals(path.path, floats(path.resolveSibling("golden_input.bin")), input, 1e-6f)
        }
    }

    @Test
    fun everyFileSaysWhatPythonReadsInIt() {
        for (case in cases("models.json")) {
            val file = modelFile(File(FIXTURES, case.getString("model")))
            assertEquals(case.getString("model"), case.getString("name"), file.name)
            val names = case.getJSONArray("names")
            assertEquals(List(names.length()) { names.getString(it) }, file.names)
            assertEquals(case.getString("activation"), file.activation.name)
        }
    }

    @Test
    fun everyTaskIsAnsweredAsByPython() {
        val seen = mutableSetOf<String>()
        for (case in cases("models.json")) {
            val path = File(FIXTURES, case.getString("model"))
            val picture = decode(File(FIXTURES, case.getString("picture")).readBytes())
            ImageModel.open(modelFile(path)) { open(path) }.use {
                val (kind, scores) = when (val result = it.run(picture)) {
                    is Result.Classes -> (if (result.probabilities) "classes" else "scores") to result.best
                    is Result.Labels -> "labels" to result.best
                    is Result.YesNo -> "yes or no" to listOf(result.yes, result.no)
                    is Result.Quantities -> "quantities" to result.values
                }
                assertEquals(path.name, case.getString("kind"), kind)
                val expected = case.getJSONObject("scores")
                assertEquals(path.name, expected.length(), scores.size)
                for (score in scores) assertEquals(path.name, expected.getDouble(score.name), score.value.toDouble(), 1e-6)
                seen += kind
            }
        }
        assertEquals(setOf("classes", "scores", "labels", "yes or no", "quantities"), seen)
    }

    @Test
    fun theBestClassIsFirst() {
        val file = ModelFile("", listOf(1, 1, 1, 1), listOf(1, 3), Activation.SOFTMAX, listOf("a", "b", "c"), Preprocessing())
        val read = ScoreReader(file).read(floatArrayOf(.25f, .5f, .25f)) as Result.Classes
        assertEquals(listOf("b", "a", "c"), read.best.map { it.name })
        assertEquals(Problem.NOT_FINITE, problemOf { ScoreReader(file).read(floatArrayOf(1f, Float.NaN, 0f)) }.problem)
    }

    @Test
    fun filesOfAnotherKindAreRefusedBeforeTheyAreOpened() {
        for (case in cases("wrong.json")) {
            val found = problemOf {
                ImageModel.open(modelFile(File(FIXTURES, case.getString("file")))) { error("it was opened") }
            }
            assertEquals(case.getString("file"), case.getString("problem"), found.problem.name)
            assertTrue("${found.message}", case.getString("says") in "${found.message}")
        }
    }

    @Test
    fun aDamagedFileIsRefusedOrRead() {
        val content = File(golden, "model_dynamic_int8.tflite").readBytes()
        for (size in listOf(0, 3, 8, 100, 5_000, content.size / 2, content.size - 30)) {
            val problem = problemOf { ModelFile.read(ByteBuffer.wrap(content.copyOf(size))) }.problem
            assertTrue("$size", problem in listOf(Problem.NOT_TFLITE, Problem.DAMAGED_MODEL))
        }
        val random = java.util.Random(0)
        repeat(2000) { // the tables are at the beginning
            val changed = content.copyOf()
            repeat(4) { changed[8 + random.nextInt(6000)] = random.nextInt().toByte() }
            try {
                ModelFile.read(ByteBuffer.wrap(changed))
            } catch (_: SampleException) {
                // what else would come out is an error of this test
            }
        }
    }

    @Test
    fun withoutAGpuTheCpuRunsAndTheAppKnowsWhy() {
        val path = File(golden, "model_float32.tflite")
        open(path, gpu = true).use {
            assertEquals(Accelerator.CPU, it.accelerator)
            assertNotNull(it.fallback)
            val expected = floats(File(golden, "golden_output_float32.bin"))
            assertArrayEquals(expected, it.run(floats(File(golden, "golden_input.bin"))), 1e-6f)
        }
        open(path).use { assertNull(it.fallback) }
    }

    @Test
    fun whatWasOpenedIsClosedWhenTheRestFails() {
        val path = File(golden, "model_float32.tflite")
        for (buffers in 0..1) {
            JniHandle.buffersUntilFailure = buffers
            assertEquals(Problem.DOES_NOT_RUN, problemOf { open(path) }.problem)
            assertEquals(0, JniHandle.open)
        }
        JniHandle.buffersUntilFailure = Int.MAX_VALUE
        assertEquals(Problem.DOES_NOT_RUN, problemOf { open(File(FIXTURES, "noise.png")) }.problem)
    }

    @Test
    fun anInputOfAnotherSizeIsRefused() = open(File(golden, "model_float32.tflite")).use {
        assertEquals(Problem.DOES_NOT_RUN, problemOf { it.run(FloatArray(7)) }.problem)
    }

    @Test
    fun oneEnvironmentServesModelsOneAfterTheOther() = Environment.create().use { environment ->
        for (recipe in recipes) {
            Runner.open(gpu = false) { CompiledModel.create(File(golden, recipe).path, it, environment) }.close()
        }
    }
}
