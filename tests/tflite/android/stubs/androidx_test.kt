// Signatures of AndroidX's test libraries, to compile against: nothing here does anything.
package androidx.test.platform.app

import android.app.Instrumentation

class InstrumentationRegistry {
    companion object {
        @JvmStatic
        fun getInstrumentation(): Instrumentation = TODO()
    }
}
