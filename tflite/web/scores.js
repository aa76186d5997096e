// Showing: one output of scores, [1, classes], as bars with names.

const TOP = 5;

/** Whether this module can show a file's output. */
export function shows(file) {
  const [{ shape }, ...others] = file.outputs;
  return !others.length && shape.length === 2 && shape[0] === 1;
}

/**
 * What the scores are, by the rules of `keras_mixer.tasks`.
 *
 * @param file from `readFile`, which `shows`.
 * @returns { kind, names, note }
 * @throws Error if labels do not fit.
 */
export function taskOf(file) {
  const [{ shape }] = file.outputs;
  const [, count] = shape;
  const yesOrNo = count === 1 && file.activation === "sigmoid";
  const names = yesOrNo ? pair(file.labels) : file.labels;
  const expected = yesOrNo ? 2 : count;
  if (names.length && names.length !== expected && !(count === 1 && names.length <= 2)) {
    throw new Error(`${file.name} gives ${count} scores; it has ${names.length} labels.`);
  }
  if (yesOrNo) return { kind: "binary", names, note: "" };
  if (count === 1) {
    if (file.activation === "softmax") {
      throw new Error(`${file.name} gives one score from a softmax, which is always 1.`);
    }
    const what = names.length ? ` of ${names.at(-1)}` : "";
    return {
      kind: "number",
      names,
      note: `One number${what} that is no probability: a quantity, or a logit.`,
    };
  }
  const notes = {
    softmax: ["classes", ""],
    sigmoid: ["labels", "Each label has a score of its own; they do not add up to 100 %."],
  };
  const [kind, note] = notes[file.activation] ?? [
    "scores",
    "These scores are no probabilities; the highest is best.",
  ];
  return { kind, names, note };
}

function pair(names) {
  if (names.length === 1) return [`not ${names[0]}`, names[0]];
  return names.length === 2 ? names : ["class 0", "class 1"];
}

/**
 * Scores as rows, best first.
 *
 * @returns [{ index, name, score, text, share }]; share is the length of the bar, from 0 to 1.
 * @throws Error if a score is not finite.
 */
export function rowsOf(task, output, top = TOP) {
  if (!output.every(Number.isFinite)) {
    throw new Error(
      "The model gives scores that are not finite, so there is no best class. Its weights are damaged.",
    );
  }
  const scores = task.kind === "binary" ? [1 - output[0], output[0]] : [...output];
  const probable = ["binary", "classes", "labels"].includes(task.kind);
  const best = scores
    .map((_, i) => i)
    .sort((a, b) => scores[b] - scores[a] || a - b)
    .slice(0, top);
  const [high, low] = [Math.max(...scores), Math.min(...scores)];
  return best.map((index) => ({
    index,
    name: task.kind === "number" ? "value" : (task.names[index] ?? `class ${index}`),
    score: scores[index],
    text: probable ? `${(100 * scores[index]).toFixed(1)} %` : scores[index].toPrecision(4),
    share: probable ? scores[index] : high > low ? (scores[index] - low) / (high - low) : 0,
  }));
}

/** Shows the scores in an element, and returns the best one in words. */
export function show(element, file, [output]) {
  const task = taskOf(file);
  const rows = rowsOf(task, output);
  const list = document.createElement("ol");
  list.className = "scores";
  for (const { name, text, share } of rows) {
    const row = document.createElement("li");
    const [label, value, bar] = ["span", "span", "div"].map((tag) => document.createElement(tag));
    label.textContent = name;
    label.className = "name";
    value.textContent = text;
    value.className = "value";
    bar.className = "bar";
    bar.style.setProperty("--share", Math.min(1, Math.max(0, share)));
    row.append(label, value, ...(task.kind === "number" ? [] : [bar]));
    list.append(row);
  }
  const note = document.createElement("p");
  note.className = "note";
  note.textContent = task.note;
  element.replaceChildren(list, ...(task.note ? [note] : []));
  return `${rows[0].name}, ${rows[0].text}`;
}
