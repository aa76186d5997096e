package org.kerasmixer.sample

import android.content.Context
import com.google.ai.edge.litert.Environment

/** The runtime that comes in the app, `com.google.ai.edge.litert:litert`. */
const val RUNTIME = "LiteRT 2.3.0"

@Suppress("UNUSED_PARAMETER") // the other runtime needs a context
fun environment(context: Context): Environment = Environment.create()
