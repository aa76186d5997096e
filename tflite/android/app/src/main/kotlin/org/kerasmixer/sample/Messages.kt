package org.kerasmixer.sample

import android.content.res.Resources
import com.google.ai.edge.litert.Accelerator

/** The text of each problem, with the placeholders for its arguments. */
val Problem.text: Int
    get() = when (this) {
        Problem.NO_MODEL -> R.string.no_model
        Problem.COMPRESSED_MODEL -> R.string.compressed_model
        Problem.NOT_TFLITE -> R.string.not_tflite
        Problem.DAMAGED_MODEL -> R.string.damaged_model
        Problem.OTHER_INPUT -> R.string.other_input
        Problem.OTHER_TASK -> R.string.other_task
        Problem.NOT_FLOAT -> R.string.not_float
        Problem.UNKNOWN_RANGE -> R.string.unknown_range
        Problem.WRONG_NAMES -> R.string.wrong_names
        Problem.NO_RUNTIME -> R.string.no_runtime
        Problem.DOES_NOT_RUN -> R.string.does_not_run
        Problem.NOT_FINITE -> R.string.not_finite
        Problem.NO_CAMERA -> R.string.no_camera
        Problem.NO_PICKER -> R.string.no_picker
        Problem.UNREADABLE_PICTURE -> R.string.unreadable_picture
        Problem.EMPTY_PICTURE -> R.string.empty_picture
        Problem.NOT_A_PICTURE -> R.string.not_a_picture
        Problem.TOO_LARGE_PICTURE -> R.string.too_large_picture
    }

/** Texts for the screen, from the app's resources. */
class Messages(private val resources: Resources) {
    fun of(error: SampleException): String =
        resources.getString(error.problem.text, *error.arguments)

    /** What the model runs on and, if that is not what was asked for, why. */
    fun of(runner: Runner): String {
        runner.fallback?.let { return resources.getString(R.string.runs_on_cpu_instead, RUNTIME, it) }
        val gpu = runner.accelerator == Accelerator.GPU
        return resources.getString(if (gpu) R.string.runs_on_gpu else R.string.runs_on_cpu, RUNTIME)
    }

    fun of(result: Result): String = when (result) {
        is Result.Classes -> lines(result.best, result.probabilities)
        is Result.YesNo -> lines(listOf(result.yes, result.no).sortedByDescending(Score::value), true)
        is Result.Labels -> lines(result.best, true)
        is Result.Quantities -> lines(result.values, false)
    }

    private fun lines(scores: List<Score>, probabilities: Boolean) =
        scores.take(LINES).joinToString("\n") {
            if (probabilities) resources.getString(R.string.probability, it.name, it.value * 100)
            else resources.getString(R.string.number, it.name, it.value)
        }

    private companion object {
        const val LINES = 5
    }
}
