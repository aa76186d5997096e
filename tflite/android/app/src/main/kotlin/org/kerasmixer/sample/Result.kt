package org.kerasmixer.sample

/** A class, a label or a quantity, and its number. */
data class Score(val name: String, val value: Float)

/** What the numbers of a model's output mean. */
sealed interface Result {
    /** One of several classes, best first; [probabilities] add up to 1. */
    data class Classes(val best: List<Score>, val probabilities: Boolean) : Result

    /** Yes or no, each with its probability, from one number. */
    data class YesNo(val yes: Score, val no: Score) : Result

    /** Independent labels with their probabilities, the most probable first. */
    data class Labels(val best: List<Score>) : Result

    /** Numbers that are no scores, in the model's order. */
    data class Quantities(val values: List<Score>) : Result
}

/** Reads the output of a model that gives [1, n] numbers; another task gets a reader beside it. */
class ScoreReader(private val file: ModelFile) {
    private val count: Int

    init {
        val shape = file.output
        if (shape.size != 2 || shape[0] != 1 || shape[1] < 1) {
            throw SampleException(Problem.OTHER_TASK, shape)
        }
        count = shape[1]
        val names = file.names.size
        if (names != 0 && names != count && !(count == 1 && names == 2)) {
            throw SampleException(Problem.WRONG_NAMES, names, count)
        }
    }

    fun read(output: FloatArray): Result {
        if (output.size != count) {
            throw SampleException(Problem.DOES_NOT_RUN, "${output.size} numbers instead of $count")
        }
        if (!output.all(Float::isFinite)) throw SampleException(Problem.NOT_FINITE)
        val scores = List(count) { Score(file.names.getOrElse(it) { i -> "$i" }, output[it]) }
        val best = scores.sortedByDescending(Score::value) // of equal scores the first is first
        return when {
            count == 1 && file.activation == Activation.SIGMOID -> yesNo(output[0])
            file.activation == Activation.SIGMOID -> Result.Labels(best)
            file.activation == Activation.SOFTMAX -> Result.Classes(best, probabilities = true)
            count == 1 || file.names.isEmpty() -> Result.Quantities(scores)
            else -> Result.Classes(best, probabilities = false)
        }
    }

    private fun yesNo(yes: Float): Result {
        val names = when (file.names.size) {
            2 -> file.names
            1 -> listOf("not ${file.names[0]}", file.names[0])
            else -> listOf("0", "1")
        }
        return Result.YesNo(yes = Score(names[1], yes), no = Score(names[0], 1 - yes))
    }
}
