package org.kerasmixer.sample

/** A model of one image: a picture of any size in, a [Result] out. Call it from one thread. */
class ImageModel private constructor(
    val file: ModelFile,
    val runner: Runner,
    private val preparation: Preparation,
    private val reader: ScoreReader,
) : AutoCloseable {
    fun run(picture: Picture): Result = reader.read(runner.run(preparation.input(picture)))

    override fun close() = runner.close()

    companion object {
        /**
         * @param openRunner Opens the runner, which the model then owns. It is not called for a
         *   file that this app cannot show.
         */
        fun open(file: ModelFile, openRunner: () -> Runner): ImageModel {
            val (preparation, reader) = Preparation(file) to ScoreReader(file)
            return ImageModel(file, openRunner(), preparation, reader)
        }
    }
}
