// Signatures of AndroidX that the sample uses, to compile against: nothing here does anything.
@file:Suppress("UNUSED_PARAMETER")

package androidx.lifecycle

import android.app.Application

interface LifecycleOwner

interface ViewModelStoreOwner

abstract class ViewModel {
    protected open fun onCleared() = Unit
}

open class AndroidViewModel(private val application: Application) : ViewModel() {
    @Suppress("UNCHECKED_CAST")
    open fun <T : Application> getApplication(): T = application as T
}

class ViewModelProvider(owner: ViewModelStoreOwner) {
    operator fun <T : ViewModel> get(modelClass: Class<T>): T = TODO()
}

fun interface Observer<T> {
    fun onChanged(value: T)
}

abstract class LiveData<T> {
    open val value: T? get() = TODO()

    fun observe(owner: LifecycleOwner, observer: Observer<in T>): Unit = TODO()
}

class MutableLiveData<T> : LiveData<T>() {
    fun postValue(value: T): Unit = TODO()
}
