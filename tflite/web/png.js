// Decodes PNG by hand, because a browser multiplies colours by alpha, manages colours and rounds 16
// bits. As in `keras_mixer.data.pictures`: alpha is dropped and the colours below it are used, of 16
// bits the upper 8; grey and palettes become RGB; the picture is rotated upright.

import { orientationIn, upright } from "./exif.js";
import { inflated } from "./inflate.js";

const SAMPLES = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }; // a pixel, by colour type
const DEPTHS = { 0: [1, 2, 4, 8, 16], 2: [8, 16], 3: [1, 2, 4, 8], 4: [8, 16], 6: [8, 16] };
const PALETTE = 3;
const WHOLE = [[0, 0, 1, 1]]; // left, top, and the steps to the right and down
const ADAM7 = [
  ...[
    [0, 0, 8, 8],
    [4, 0, 8, 8],
    [0, 4, 4, 8],
    [2, 0, 4, 4],
  ],
  ...[
    [0, 2, 2, 4],
    [1, 0, 2, 2],
    [0, 1, 1, 2],
  ],
];
const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

/**
 * A PNG's pixels.
 *
 * @param bytes Uint8Array, the file.
 * @param most the largest number of pixels that a picture may have.
 * @returns { data: Uint8Array, width, height, channels: 3 }
 * @throws Error with the reason why it cannot be read, to follow the file's name and a colon.
 */
export async function decodePng(bytes, most) {
  const { header, palette, packed, orientation } = chunks(bytes);
  const view = new DataView(header.buffer, header.byteOffset, header.length);
  const png = {
    width: view.getUint32(0),
    height: view.getUint32(4),
    depth: header[8],
    colour: header[9],
    samples: SAMPLES[header[9]],
    palette,
  };
  const known = DEPTHS[png.colour]?.includes(png.depth) && header[10] === 0 && header[11] === 0;
  if (!known || header[12] > 1 || !png.width || !png.height) throw new Error("it is damaged");
  if (png.width * png.height > most) throw new Error(`it has more than ${most} pixels`);
  const bits = png.depth * png.samples;
  const passes = (header[12] ? ADAM7 : WHOLE)
    .map(([left, top, right, down]) => {
      const width = Math.ceil((png.width - left) / right);
      const height = Math.ceil((png.height - top) / down);
      return { left, top, right, down, width, height, length: Math.ceil((width * bits) / 8) };
    })
    .filter(({ width, height }) => width > 0 && height > 0);
  const size = passes.reduce((sum, { length, height }) => sum + (length + 1) * height, 0);
  const lines = await inflated(packed, "deflate", size);
  if (lines.length < size) throw new Error("it is cut short");
  const data = new Uint8Array(png.width * png.height * 3);
  let at = 0;
  for (const { left, top, right, down, width, height, length } of passes) {
    let above = new Uint8Array(length);
    for (let y = 0; y < height; y++, at += length + 1) {
      const line = lines.subarray(at + 1, at + 1 + length);
      unfilter(lines[at], line, above, Math.max(bits >> 3, 1));
      put(png, line, width, data, ((top + y * down) * png.width + left) * 3, right * 3);
      above = line;
    }
  }
  return upright({ data, width: png.width, height: png.height, channels: 3 }, orientation);
}

function chunks(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const found = { palette: null, packed: [], orientation: 1 };
  for (let at = 8; ;) {
    const length = at + 12 <= bytes.length ? view.getUint32(at) : Infinity;
    if (at + length + 12 > bytes.length) throw new Error("it is cut short");
    const name = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const data = bytes.subarray(at + 8, at + 8 + length);
    const needed = ["IHDR", "PLTE", "IDAT", "IEND"].includes(name);
    const wrong =
      needed && crc(bytes.subarray(at + 4, at + 8 + length)) !== view.getUint32(at + 8 + length);
    if (wrong || (!needed && !/^[a-z][a-zA-Z]{3}$/.test(name))) throw new Error("it is damaged");
    if (name === "IHDR") found.header = data;
    if (name === "PLTE") found.palette = data;
    if (name === "IDAT") found.packed.push(data);
    if (name === "eXIf") found.orientation = orientationIn(data);
    if (name === "IEND") break;
    at += length + 12;
  }
  if (found.header?.length !== 13 || !found.packed.length) throw new Error("it is damaged");
  return found;
}

function crc(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = CRC[(value ^ byte) & 255] ^ (value >>> 8);
  return ~value >>> 0;
}

/** Undoes the filter of a line in place; `step` is the distance to the pixel on the left. */
function unfilter(filter, line, above, step) {
  const { length } = line;
  if (filter > 4) throw new Error("it is damaged");
  if (filter === 1) for (let i = step; i < length; i++) line[i] += line[i - step];
  if (filter === 2) for (let i = 0; i < length; i++) line[i] += above[i];
  if (filter === 3) {
    for (let i = 0; i < step; i++) line[i] += above[i] >> 1;
    for (let i = step; i < length; i++) line[i] += (line[i - step] + above[i]) >> 1;
  }
  if (filter === 4) {
    for (let i = 0; i < step; i++) line[i] += above[i];
    for (let i = step; i < length; i++) {
      line[i] += paeth(line[i - step], above[i], above[i - step]);
    }
  }
}

function paeth(left, up, corner) {
  const guess = left + up - corner;
  const a = Math.abs(guess - left);
  const b = Math.abs(guess - up);
  const c = Math.abs(guess - corner);
  return a <= b && a <= c ? left : b <= c ? up : corner;
}

/** Writes the pixels of a line as RGB, from a place in `data` and so many bytes apart. */
function put({ depth, colour, samples, palette }, line, width, data, at, apart) {
  if (depth >= 8 && colour !== PALETTE) {
    const size = depth >> 3;
    const [green, blue] = samples < 3 ? [0, 0] : [size, 2 * size];
    for (let x = 0, i = 0; x < width; x++, i += samples * size, at += apart) {
      data[at] = line[i];
      data[at + 1] = line[i + green];
      data[at + 2] = line[i + blue];
    }
    return;
  }
  const most = 2 ** depth - 1;
  for (let x = 0; x < width; x++, at += apart) {
    const bit = x * depth; // of one sample a pixel
    const value = (line[bit >> 3] >> (8 - depth - (bit & 7))) & most;
    if (colour !== PALETTE) {
      data.fill((value * 255) / most, at, at + 3);
    } else if (palette && 3 * value + 2 < palette.length) {
      for (let c = 0; c < 3; c++) data[at + c] = palette[3 * value + c];
    } else {
      throw new Error("it is damaged");
    }
  }
}
