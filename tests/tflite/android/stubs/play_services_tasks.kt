// Signatures of Google Play services that the sample uses, to compile against: nothing here does anything.
package com.google.android.gms.tasks

abstract class Task<T>

class Tasks {
    companion object {
        @JvmStatic
        fun <T> await(task: Task<T>): T = TODO("$task")
    }
}
