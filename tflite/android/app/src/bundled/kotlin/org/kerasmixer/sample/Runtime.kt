package org.kerasmixer.sample

import android.content.Context
import com.google.ai.edge.litert.Environment
import com.google.ai.edge.litert.LiteRtException

/** The runtime that comes in the app, `com.google.ai.edge.litert:litert`. */
const val RUNTIME = "LiteRT 2.3.0"

@Suppress("UNUSED_PARAMETER") // the other runtime needs a context
fun openEnvironment(context: Context): Environment = try {
    Environment.create()
} catch (error: LiteRtException) {
    throw SampleException(Problem.NO_RUNTIME, error.message ?: "$error")
}
