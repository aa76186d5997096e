// Signatures of AndroidX that the sample uses, to compile against: nothing here does anything.
package androidx.core.content

import android.content.Context
import android.net.Uri
import java.io.File

class FileProvider {
    companion object {
        @JvmStatic
        fun getUriForFile(context: Context, authority: String, file: File): Uri = TODO("$context $authority $file")
    }
}
