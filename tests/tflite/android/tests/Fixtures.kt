package org.kerasmixer.sample

import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.json.JSONArray
import org.json.JSONObject
import org.junit.Assert.fail

/** The folder that test_android.py made: models, pictures, and what Python gives for them. */
val FIXTURES = File(System.getProperty("fixtures"))

fun floats(file: File): FloatArray {
    val numbers = ByteBuffer.wrap(file.readBytes()).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer()
    return FloatArray(numbers.remaining()).also { numbers.get(it) }
}

fun modelFile(file: File) = ModelFile.read(ByteBuffer.wrap(file.readBytes()))

fun cases(name: String): List<JSONObject> {
    val all = JSONArray(File(FIXTURES, name).readText())
    check(all.length() > 0)
    return List(all.length()) { all.getJSONObject(it) }
}

fun problemOf(work: () -> Unit): SampleException {
    try {
        work()
    } catch (found: SampleException) {
        return found
    }
    fail("nothing was refused")
    error("unreachable")
}
