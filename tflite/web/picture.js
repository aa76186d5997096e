// Decoding: from a file, or a frame of the camera, to pixels. The content decides, not the suffix.

import { orientationIn, upright } from "./exif.js";
import { decodePng } from "./png.js";

const PIXELS = 178_956_970; // as many as `keras_mixer` reads
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
    const decoded = kind === "PNG" ? await decodePng(bytes, PIXELS) : await byBrowser(kind, bytes);
    return withChannels(decoded, channels);
  } catch (error) {
    const name = file.name || "The picture";
    throw new Error(`${name} is not a picture that can be read: ${error.message}.`);
  }
}

/** The pixels of a video's current frame, or of anything else that a canvas can draw. */
export function readFrame(source, width, height, channels) {
  return withChannels(drawn(source, width, height), channels);
}

function kindOf(bytes) {
  if (!bytes.length) throw new Error("it is empty");
  const start = String.fromCharCode(...bytes.subarray(0, 16));
  const kind = KINDS.find(([pattern]) => pattern.test(start))?.[1];
  if (!kind) throw new Error(`it is not among ${FORMATS}`);
  if (kind === "TIFF") throw new Error("browsers do not decode TIFF; save it as PNG");
  return kind;
}

async function byBrowser(kind, bytes) {
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
  const image = drawn(bitmap, bitmap.width, bitmap.height);
  bitmap.close();
  for (let i = 3; i < image.data.length; i += 4) {
    if (image.data[i] !== 255) {
      throw new Error(
        `it has transparent parts, below which browsers lose the colours of a ${kind}; save it as PNG`,
      );
    }
  }
  return upright(image, orientation);
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

function drawn(source, width, height) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  context.drawImage(source, 0, 0, width, height);
  return { data: context.getImageData(0, 0, width, height).data, width, height, channels: 4 };
}

/** RGB or RGBA as RGB, or as grey by Pillow's weights. */
function withChannels({ data, width, height, channels }, to) {
  if (channels === to) return { data, width, height, channels };
  const out = new Uint8Array(width * height * to);
  for (let i = 0, o = 0; o < out.length; i += channels) {
    if (to === 1) {
      out[o++] = (data[i] * 19595 + data[i + 1] * 38470 + data[i + 2] * 7471 + 0x8000) >> 16;
    } else {
      for (let c = 0; c < 3; c++) out[o++] = data[i + c];
    }
  }
  return { data: out, width, height, channels: to };
}
