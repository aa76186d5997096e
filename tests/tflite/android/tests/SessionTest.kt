package org.kerasmixer.sample

import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.Environment
import com.google.ai.edge.litert.JniHandle
import java.io.File
import java.nio.ByteBuffer
import java.util.concurrent.CountDownLatch
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test

class SessionTest {
    private class Folder(private val folder: File) : Models {
        val closed = CountDownLatch(1)
        private val environment = Environment.create()

        override fun names() = folder.list()!!.toList()

        override fun content(name: String): ByteBuffer = ByteBuffer.wrap(File(folder, name).readBytes())

        override fun compile(name: String, options: CompiledModel.Options) =
            CompiledModel.create(File(folder, name).path, options, environment)

        override fun close() {
            environment.close()
            closed.countDown()
        }
    }

    private val states = LinkedBlockingQueue<State>()
    private val threads = mutableSetOf<Thread>()
    private val picture = File(FIXTURES, "noise.png").readBytes()

    private fun next(): State = checkNotNull(states.poll(60, TimeUnit.SECONDS)) { "no state came" }

    private fun within(folder: String, use: (Session) -> Unit) {
        val models = Folder(File(FIXTURES, folder))
        val session = Session(models) {
            threads += Thread.currentThread()
            states += it
        }
        session.use(use)
        assertTrue(models.closed.await(60, TimeUnit.SECONDS))
        assertEquals(0, JniHandle.open)
        assertEquals(1, threads.size)
    }

    @Test
    fun aPictureIsClassifiedAgainWhenTheModelIsOpenedAgain() = within("classes") {
        it.open(gpu = false)
        assertNull(next().result)
        val open = JniHandle.open
        it.classify { picture }
        val first = next()
        assertNotNull(first.result)
        it.open(gpu = true) // which is not there
        val second = next()
        assertEquals(first.result, second.result)
        assertNotNull(second.runner!!.fallback)
        assertEquals(open, JniHandle.open)
    }

    @Test
    fun aProblemIsShownInPlaceOfTheResultAndTheNextPictureIsClassified() = within("classes") {
        it.open(gpu = false)
        it.classify { ByteArray(0) }
        it.fail(Problem.NO_CAMERA)
        it.classify { picture }
        assertNull(next().problem)
        for (problem in listOf(Problem.EMPTY_PICTURE, Problem.NO_CAMERA)) {
            val state = next()
            assertEquals(problem, state.problem!!.problem)
            assertNull(state.result)
            assertNotNull(state.runner)
        }
        assertNotNull(next().result)
    }

    @Test
    fun whateverTheAppThatOffersThePictureThrowsIsAProblem() = within("classes") {
        val errors = listOf(java.io.IOException("gone"), IllegalStateException("odd"), OutOfMemoryError("heap"))
        it.open(gpu = false)
        for (error in errors) it.classify { reading { throw error } }
        assertNull(next().problem)
        for (error in errors) {
            val problem = next().problem!!
            assertEquals(Problem.UNREADABLE_PICTURE, problem.problem)
            assertEquals(listOf(error.message), problem.arguments.toList())
        }
    }

    @Test
    fun withoutAModelThatItCanShowTheAppSaysSoEachTime() {
        for ((folder, problem) in listOf("." to Problem.NOT_TFLITE, "none" to Problem.NO_MODEL)) {
            File(FIXTURES, "none").mkdir()
            threads.clear()
            within(folder) {
                it.open(gpu = false)
                it.classify { picture }
                repeat(2) { assertEquals(problem, next().problem!!.problem) }
            }
        }
    }

    @Test
    fun whatWasAskedForIsDoneBeforeTheSessionCloses() {
        within("labels") {
            it.open(gpu = false)
            repeat(5) { _ -> it.classify { picture } }
        }
        assertEquals(6, states.size)
        assertTrue(states.drop(1).all { it.result is Result.Labels })
    }
}
