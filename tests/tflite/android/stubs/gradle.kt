// Signatures of the Android Gradle plugin that the model card uses, to compile against.
@file:Suppress("UNUSED_PARAMETER")

package gradle

class Android {
    fun defaultConfig(set: DefaultConfig.() -> Unit) = Unit

    fun androidResources(set: AndroidResources.() -> Unit) = Unit
}

class DefaultConfig {
    var minSdk: Int? = null
}

class AndroidResources {
    val noCompress = mutableSetOf<String>()
}

class Dependencies {
    fun implementation(notation: Any) = Unit
}

fun android(set: Android.() -> Unit) = Unit

fun dependencies(set: Dependencies.() -> Unit) = Unit
