// Signatures of Google Play services that the sample uses, to compile against: nothing here does anything.
package com.google.android.gms.litert

import android.content.Context
import com.google.ai.edge.litert.Environment
import com.google.android.gms.tasks.Task

class LiteRt {
    companion object {
        @JvmStatic
        fun initialize(context: Context): Task<Environment> = TODO("$context")
    }
}
