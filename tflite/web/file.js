// Reading: what a .tflite file says of itself, in LiteRT's metadata and in keras_mixer's own entries.

import { Table } from "./flatbuffer.js";
import { unzipped } from "./zip.js";

const TYPES = { 0: "float32", 2: "int32", 3: "uint8", 7: "int16", 9: "int8" };
const ACTIVATIONS = { 25: "softmax", 14: "sigmoid" }; // ops of LiteRT's schema
const CONVERSIONS = [6, 114]; // DEQUANTIZE and QUANTIZE
const CROPS = ["resize", "resize_crop", "resmall_crop"];
const PILLOW = ["bicubic", "bilinear", "lanczos3", "nearest"];
const INTERPOLATIONS = {
  pillow: PILLOW,
  tensorflow: [...PILLOW, "area", "lanczos5", "bilinear_from_corners"],
};
const NORMALIZATION = 1; // of the union ProcessUnitOptions
const AXIS_LABELS = 2; // of AssociatedFileType

/**
 * What a .tflite file says of itself.
 *
 * @param name the file's name, for messages.
 * @param bytes Uint8Array, its content.
 * @returns {
 *   name, size: the number of its bytes,
 *   inputs, outputs: [{ name, shape: [numbers], type }],
 *   activation: "softmax", "sigmoid" or null, what the first output comes from,
 *   labels: names of the output's classes, [] without,
 *   title: the model's name,
 *   preprocessing: how pictures are cropped and scaled; null if the file does not say,
 * }
 * @throws Error that names the file and the reason.
 */
export async function readFile(name, bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < 8 || String.fromCharCode(...bytes.subarray(4, 8)) !== "TFL3") {
    throw new Error(`${name} is not a .tflite file: bytes 4 to 8 are not TFL3.`);
  }
  try {
    const model = Table.root(view);
    const buffers = model.children(4).map((buffer) => buffer.bytes(0)); // RangeError if cut short
    const [main] = model.children(2);
    if (!main) throw new RangeError("no subgraph");
    const tensors = main.children(0);
    const [inputs, outputs] = [1, 2].map((field) =>
      main.ints(field).map((i) => tensor(tensors[i])),
    );
    const entries = new Map(
      model.children(6).map((entry) => [entry.text(0), buffers[entry.int(1)]]),
    );
    const metadata = entries.get("TFLITE_METADATA");
    const about = metadata ? await describe(metadata, bytes) : { labels: [], title: "" };
    return {
      ...{ name, size: bytes.length, inputs, outputs },
      activation: activationOf(model, main),
      title: about.title,
      labels: bothNames(json(entries.get("keras_mixer.Classes")), about.labels),
      preprocessing: preprocessing(
        json(entries.get("keras_mixer.Preprocessing")),
        about.range,
        inputs[0],
      ),
    };
  } catch (error) {
    const damaged =
      error instanceof RangeError || error instanceof TypeError || error instanceof SyntaxError;
    const why = damaged ? "it is damaged or cut short" : error.message;
    throw new Error(`${name} cannot be read: ${why}.`);
  }
}

function tensor(table) {
  const type = TYPES[table.byte(1)] ?? `type ${table.byte(1)}`;
  return { name: table.text(3), shape: table.ints(0), type };
}

/** What the first output comes from, quantised or not. */
function activationOf(model, main) {
  const codes = model.children(1).map((code) => Math.max(code.byte(0), code.int(3)));
  const producers = new Map();
  for (const op of main.children(3)) for (const output of op.ints(2)) producers.set(output, op);
  let [index] = main.ints(2);
  let op;
  do {
    op = producers.get(index);
    producers.delete(index); // in a damaged file ops may form a ring
    index = op?.ints(1)[0];
  } while (op && CONVERSIONS.includes(codes[op.int(0)]));
  return (op && ACTIVATIONS[codes[op.int(0)]]) ?? null;
}

/** The model's name, its class names and its values of black and white, from LiteRT's metadata. */
async function describe(metadata, bytes) {
  const view = new DataView(metadata.buffer, metadata.byteOffset, metadata.length);
  if (String.fromCharCode(...metadata.subarray(4, 8)) !== "M001") {
    throw new Error("its metadata do not begin with M001");
  }
  const root = Table.root(view);
  const [main] = root.children(3);
  const files = (main?.children(3) ?? []).flatMap((output) => output.children(6));
  const file = files.find((each) => each.byte(2) === AXIS_LABELS)?.text(0);
  const labels = file ? lines(await unzipped(bytes, file), file) : [];
  const units = (main?.children(2) ?? []).flatMap((input) => input.children(4));
  const options = units.find((unit) => unit.byte(0) === NORMALIZATION)?.child(1);
  return { title: root.text(0), labels, range: options && blackAndWhite(options) };
}

function lines(content, file) {
  if (!content) throw new Error(`its metadata name ${file}, which is missing; it may be cut short`);
  const found = new TextDecoder("utf-8", { fatal: true })
    .decode(content)
    .split("\n")
    .map((line) => line.replace(/\r$/, ""));
  while (found.length > 1 && !found.at(-1).trim()) found.pop();
  return found;
}

/** The values of black and of white by channel; six digits, because float32 rounds the seventh. */
function blackAndWhite(options) {
  const [means, stds] = [options.floats(0), options.floats(1)];
  const count = Math.max(means.length, stds.length);
  const ends = [0, 255].map((pixel) =>
    Array.from({ length: count }, (_, i) => {
      const [mean, std] = [means, stds].map((values) => values[values.length === 1 ? 0 : i]);
      return Number(((pixel - mean) / std).toPrecision(6));
    }),
  );
  const good = ends[0].every(
    (black, i) => Number.isFinite(black) && Math.abs(ends[1][i] - black) >= 1e-6,
  );
  if (!count || !good)
    throw new Error("its metadata normalise pixels by numbers that make no sense");
  return ends;
}

/** How pictures are cropped, and the factor and the term of each channel's pixels, float32. */
function preprocessing(own, range, input) {
  if ((!own && !range) || input?.shape.length !== 4) return null;
  const { crop = "resize", library = "tensorflow", crop_share: cropShare = 224 / 256 } = own ?? {};
  const { interpolation = "bilinear", antialias = false } = own ?? {};
  const [, height, width, channels] = input.shape;
  if (!CROPS.includes(crop) || !INTERPOLATIONS[library]?.includes(interpolation)) {
    throw new Error(
      `it crops pictures by ${crop}, ${interpolation} of ${library}, which this page cannot`,
    );
  }
  if (!(cropShare >= 0.05 && cropShare <= 1)) throw new Error(`its crop_share is ${cropShare}`);
  const each = (value) =>
    Array.from({ length: channels }, (_, i) => [value].flat()[[value].flat().length === 1 ? 0 : i]);
  let [mean, std] = [each(own?.mean ?? 0.5), each(own?.std ?? 0.5)];
  if (range) {
    const [black, white] = range.map(each);
    std = black.map((value, i) => 1 / (white[i] - value));
    mean = black.map((value, i) => -value * std[i]);
  }
  const scale = std.map((value) => Math.fround(1 / (255 * value)));
  const offset = std.map((value, i) => Math.fround(-mean[i] / value));
  if (![...scale, ...offset].every(Number.isFinite))
    throw new Error("its mean and std make no sense");
  return {
    crop,
    library,
    cropShare,
    interpolation,
    antialias,
    height,
    width,
    channels,
    scale,
    offset,
  };
}

/** Of one score labels.txt has the name of class 1 alone, keras_mixer's own entry those of both. */
function bothNames(both, labels) {
  return both?.length === 2 && labels.length === 1 && both[1] === labels[0]
    ? both.map(String)
    : labels;
}

function json(entry) {
  return entry && JSON.parse(new TextDecoder().decode(entry));
}
