package org.kerasmixer.sample

import android.content.Context
import com.google.ai.edge.litert.Environment
import com.google.android.gms.litert.LiteRt
import com.google.android.gms.tasks.Tasks
import java.util.concurrent.ExecutionException

/** The runtime of Google Play services, `com.google.android.gms:play-services-litert`. */
const val RUNTIME = "LiteRT of Google Play services"

/** Waits until Play services have loaded the runtime; not to be called on the main thread. */
fun openEnvironment(context: Context): Environment = try {
    Tasks.await(LiteRt.initialize(context))
} catch (error: ExecutionException) {
    throw SampleException(Problem.NO_RUNTIME, error.cause?.message ?: "$error")
}
