// The orientation of a picture in its EXIF data.

const ORIENTATION = 0x112;
const READ = { 1: "getUint8", 3: "getUint16", 4: "getUint32" }; // types of TIFF's numbers

/** The orientation in a TIFF structure, from 1 to 8; 1 if there is none or it is damaged. */
export function orientationIn(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  try {
    const little = view.getUint16(0) === 0x4949;
    if (view.getUint16(2, little) !== 42) return 1;
    const directory = view.getUint32(4, little);
    for (let i = 0; i < view.getUint16(directory, little); i++) {
      const entry = directory + 2 + 12 * i;
      const type = view.getUint16(entry + 2, little);
      const single = view.getUint32(entry + 4, little) === 1;
      if (view.getUint16(entry, little) === ORIENTATION && single && READ[type]) {
        const value = view[READ[type]](entry + 8, little);
        return value >= 1 && value <= 8 ? value : 1;
      }
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return 1;
}

/** An image rotated upright. */
export function upright(image, orientation) {
  if (orientation === 1) return image;
  const { data, width, height, channels } = image;
  const turned = orientation > 4;
  const [toWidth, toHeight] = turned ? [height, width] : [width, height];
  const mirrored = [2, 3, 6, 7].includes(orientation);
  const flipped = [3, 4, 7, 8].includes(orientation);
  const out = new data.constructor(data.length);
  let o = 0;
  for (let y = 0; y < toHeight; y++) {
    for (let x = 0; x < toWidth; x++) {
      const [a, b] = [mirrored ? toWidth - 1 - x : x, flipped ? toHeight - 1 - y : y];
      const from = (turned ? a * width + b : b * width + a) * channels;
      for (let c = 0; c < channels; c++) out[o++] = data[from + c];
    }
  }
  return { data: out, width: toWidth, height: toHeight, channels };
}
