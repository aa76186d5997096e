// Showing: chooses the module that can show what a model gives. A module for another task has the
// same functions, `shows(file)` and `show(element, file, outputs)`, and a place in this list.

import * as scores from "./scores.js";

const VIEWS = [scores];

/**
 * The module that shows a file's output.
 *
 * @param file from `readFile`.
 * @throws Error if this page can neither prepare the file's input nor show its output.
 */
export function viewOf(file) {
  const [input, ...others] = file.inputs;
  const isImage = input && !others.length && input.shape.length === 4 && input.shape[0] === 1;
  if (!isImage || ![1, 3].includes(input.shape[3])) {
    throw new Error(
      `${file.name} takes ${described(file.inputs)}; this page gives it one picture, [1, height, width, 1 or 3].`,
    );
  }
  const view = VIEWS.find((each) => file.outputs.length && each.shows(file));
  if (!view) {
    throw new Error(
      `${file.name} is a file of another task: it gives ${described(file.outputs)}; ` +
        "this page shows scores, [1, classes].",
    );
  }
  if (!file.preprocessing) {
    throw new Error(
      `${file.name} does not say which values black and white pixels have. keras-mixer export writes it into its files.`,
    );
  }
  return view;
}

const described = (tensors) =>
  tensors.map(({ shape }) => `[${shape.join(", ")}]`).join(" and ") || "nothing";
