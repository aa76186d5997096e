// Decoding: from a file, or a frame of the camera, to pixels. The content decides, not the suffix.

import { orientationIn, upright } from "./exif.js";
import { decodePng } from "./png.js";

const PIXELS = 178_956_970; // as many as `keras_mixer` reads
const STRIP = 2 ** 20; // pixels of a canvas; phones limit them to 2 ** 24
const FORMATS = "JPEG, PNG, GIF, BMP and WebP";
const KINDS = [
  [/^\xff\xd8\xff/, "JPEG"],
  [/^\x89PNG\r\n\x1a\n/, "PNG"],
  [/^GIF8[79]a/, "GIF"],
  [/^BM/, "BMP"],
  [/^RIFF[^]{4}WEBP/, "WebP"],
  [/^(II\*\0|MM\0\*)/, "TIFF"],
];

/**
 * The pixels of a picture, rotated upright.
 *
 * PNG gives the bytes of `keras_mixer`. Other formats are decoded by the browser, without colour
 * management.
 *
 * @param file a File or Blob.
 * @param channels 1 for grey, 3 for RGB.
 * @returns { data, width, height, channels }, pixels from 0 to 255.
 * @throws Error that names the file and the reason.
 */
export async function readPicture(file, channels) {
  try {
    const bytes = new Uint8Array(await file.arrayBuffer());
    const kind = kindOf(bytes);
    if (kind === "PNG") return withChannels(await decodePng(bytes, PIXELS), channels);
    return await byBrowser(kind, bytes, channels);
  } catch (error) {
    const name = file.name || "The picture";
    throw new Error(`${name} is not a picture that can be read: ${error.message}.`);
  }
}

/** The pixels of a video's current frame, or of anything else that a canvas can draw. */
export function readFrame(source, width, height, channels) {
  return drawn(source, width, height, channels, () => {});
}

function kindOf(bytes) {
  if (!bytes.length) throw new Error("it is empty");
  const start = String.fromCharCode(...bytes.subarray(0, 16));
  const kind = KINDS.find(([pattern]) => pattern.test(start))?.[1];
  if (!kind) throw new Error(`it is not among ${FORMATS}`);
  if (kind === "TIFF") throw new Error("browsers do not decode TIFF; save it as PNG");
  return kind;
}

async function byBrowser(kind, bytes, channels) {
  if (kind === "JPEG") checkComplete(bytes);
  const orientation = kind === "WebP" ? takeOrientation(bytes) : 1;
  let bitmap;
  try {
    // Of an animation this is the first picture; a JPEG is rotated by its EXIF data.
    bitmap = await createImageBitmap(new Blob([bytes]), { colorSpaceConversion: "none" });
  } catch {
    throw new Error(
      `this browser cannot decode the ${kind}; it is damaged, cut short or too large`,
    );
  }
  if (bitmap.width * bitmap.height > PIXELS) throw new Error(`it has more than ${PIXELS} pixels`);
  try {
    const check = kind === "JPEG" ? () => {} : (pixels) => checkOpaque(kind, pixels);
    return upright(drawn(bitmap, bitmap.width, bitmap.height, channels, check), orientation);
  } finally {
    bitmap.close();
  }
}

function checkOpaque(kind, pixels) {
  for (let i = 3; i < pixels.length; i += 4) {
    if (pixels[i] !== 255) {
      throw new Error(
        `it has transparent parts, below which browsers lose the colours of a ${kind}; save it as PNG`,
      );
    }
  }
}

/** The EXIF orientation of a WebP, by which some browsers rotate it and others do not: it is hidden. */
function takeOrientation(bytes) {
  const view = new DataView(bytes.buffer);
  for (let at = 12; at + 8 <= bytes.length;) {
    const length = view.getUint32(at + 4, true);
    if (view.getUint32(at) === 0x45584946) {
      bytes.set([0x58, 0x58, 0x58, 0x58], at);
      const data = bytes.subarray(at + 8, at + 8 + length);
      return orientationIn(data.subarray(data[0] === 0x45 ? 6 : 0)); // some begin with Exif, 0, 0
    }
    at += 8 + length + (length % 2);
  }
  return 1;
}

/** Browsers show the upper part of a JPEG that is cut short; `keras_mixer` refuses it. */
function checkComplete(bytes) {
  for (let at = 2; ;) {
    while (bytes[at] === 0xff && bytes[at + 1] === 0xff) at++;
    if (at + 4 > bytes.length) throw new Error("it is cut short");
    if (bytes[at + 1] === 0xda) {
      for (let end = bytes.length - 2; end > at; end--) {
        if (bytes[end] === 0xff && bytes[end + 1] === 0xd9) return;
      }
      throw new Error("it is cut short");
    }
    const length = bytes[at + 2] * 256 + bytes[at + 3];
    if (bytes[at] === 0xff && length < 2) throw new Error("it is damaged");
    at += bytes[at] === 0xff ? 2 + length : 1;
  }
}

let context;

/** The pixels of what a canvas can draw, strip by strip; `check` sees the RGBA of each. */
function drawn(source, width, height, channels, check) {
  context ??= document
    .createElement("canvas")
    .getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  const most = Math.min(height, Math.ceil(STRIP / width));
  Object.assign(context.canvas, { width, height: most }); // and clears it
  context.globalCompositeOperation = "copy"; // a transparent strip replaces the one before
  const data = new Uint8Array(width * height * channels);
  for (let y = 0; y < height; y += most) {
    const rows = Math.min(most, height - y);
    context.drawImage(source, 0, y, width, rows, 0, 0, width, rows);
    const pixels = context.getImageData(0, 0, width, rows).data;
    check(pixels);
    convert(pixels, 4, data.subarray(y * width * channels), channels);
  }
  return { data, width, height, channels };
}

function withChannels({ data, width, height, channels }, to) {
  if (channels === to) return { data, width, height, channels };
  const out = new Uint8Array(width * height * to);
  convert(data, channels, out, to);
  return { data: out, width, height, channels: to };
}

/** RGB or RGBA to RGB, or to grey by Pillow's weights. */
function convert(data, channels, out, to) {
  for (let i = 0, o = 0; i < data.length; i += channels) {
    if (to === 1) {
      out[o++] = (data[i] * 19595 + data[i + 1] * 38470 + data[i + 2] * 7471 + 0x8000) >> 16;
    } else {
      for (let c = 0; c < 3; c++) out[o++] = data[i + c];
    }
  }
}
