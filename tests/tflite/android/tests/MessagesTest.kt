package org.kerasmixer.sample

import java.io.File
import javax.xml.parsers.DocumentBuilderFactory
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

class MessagesTest {
    private val texts: Map<String, String> = run {
        val nodes = DocumentBuilderFactory.newInstance().newDocumentBuilder()
            .parse(File(System.getProperty("strings"))).getElementsByTagName("string")
        (0 until nodes.length).associate { nodes.item(it).attributes.getNamedItem("name").nodeValue to shown(nodes.item(it).textContent) }
    }

    /** As Android shows it: spaces are one space, quotation marks are none, unless they are escaped. */
    private fun shown(text: String) = text.replace(Regex("\\s+"), " ").replace(Regex("(?<!\\\\)\""), "")
        .replace("\\\"", "\"").replace("\\u0020", " ")

    private val numbers = R.string::class.java.fields.associate { it.getInt(null) to it.name }

    @Test
    fun everyProblemHasATextOfItsOwnWithPlacesForItsArguments() {
        val arguments = mapOf(
            Problem.OTHER_INPUT to arrayOf<Any>(listOf(1, 64)),
            Problem.OTHER_TASK to arrayOf<Any>(listOf(1, 4, 8, 24)),
            Problem.WRONG_NAMES to arrayOf<Any>(3, 7),
            Problem.TOO_LARGE_PICTURE to arrayOf<Any>(20000, 10000),
        )
        for (problem in Problem.entries) {
            val name = numbers.getValue(problem.text)
            assertEquals(problem.name.lowercase(), name)
            val text = texts.getValue(name)
            val given = arguments[problem] ?: arrayOf("because")
            val written = text.format(*given)
            if ("%" in text) for (argument in given) assertTrue(written, "$argument" in written)
            assertTrue(written, written.endsWith(".") || "%1\$s" in text)
        }
    }

    @Test
    fun scoresAreFormattedByTheirKind() {
        assertEquals("cat  97.3 %", texts.getValue("probability").format(java.util.Locale.ROOT, "cat", 97.32f))
        assertEquals("0  12.50", texts.getValue("number").format(java.util.Locale.ROOT, "0", 12.5f))
        assertTrue("noCompress += \"tflite\"" in texts.getValue("compressed_model"))
        assertTrue("the GPU" in texts.getValue("runs_on_cpu_instead").format("LiteRT", "no GPU"))
    }
}
