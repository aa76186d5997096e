// Preparing: from a picture to the numbers of a model's input, as `keras_mixer.Preprocessing` says.

import { resize, resizeAsPillow, roundHalfToEven } from "./resize.js";

const f = Math.fround;

/**
 * Crops and scales a picture for a model.
 *
 * @param picture { data, width, height, channels } with pixels from 0 to 255.
 * @param preprocessing from `readFile`.
 * @returns { image, values }: the image that the model sees, with pixels from 0 to 255, and the
 *     model's input, a Float32Array.
 */
export function prepare(picture, preprocessing) {
  const image = fitted(picture, preprocessing);
  const { scale, offset } = preprocessing;
  const values = new Float32Array(image.data.length);
  for (let i = 0; i < values.length; i++) {
    const channel = i % image.channels;
    values[i] = f(f(image.data[i] * scale[channel]) + offset[channel]);
  }
  return { image, values };
}

/** A picture resized and cropped to the model's size; pixels stay from 0 to 255. */
function fitted(picture, p) {
  const size = [p.height, p.width];
  if (p.crop === "resize") {
    const fits = picture.height === p.height && picture.width === p.width;
    return fits ? picture : resized(picture, size, p);
  }
  const larger = enlarged(size, p);
  const sides = p.crop === "resize_crop" ? larger : covering(picture, larger, p);
  const whole = resized(picture, sides, p);
  for (let i = 0; i < whole.data.length; i++) {
    whole.data[i] = Math.trunc(Math.min(255, Math.max(0, whole.data[i])));
  }
  return center(whole, size, p);
}

function resized(picture, [height, width], p) {
  return p.library === "pillow"
    ? resizeAsPillow(picture, height, width, p.interpolation)
    : resize(picture, height, width, p.interpolation, p.antialias);
}

function enlarged(size, p) {
  const round = p.library === "pillow" ? Math.floor : roundHalfToEven;
  return size.map((side) => round(side / p.cropShare));
}

/** Height and width of a picture that just covers `larger`, its proportions kept. */
function covering(picture, larger, p) {
  const sides = [picture.height, picture.width];
  if (p.library !== "pillow") {
    const ratio = Math.max(...sides.map((side, axis) => f(larger[axis] / side)));
    return sides.map((side) => roundHalfToEven(f(side * ratio)));
  }
  if (larger[0] === larger[1]) {
    const shorter = Math.min(...sides);
    return sides.map((side) => Math.floor((larger[0] * side) / shorter));
  }
  const ratio = Math.min(...sides.map((side, axis) => side / larger[axis]));
  return sides.map((side) => roundHalfToEven(side / ratio));
}

function center({ data, width, height, channels }, [toHeight, toWidth], p) {
  const round = p.library === "pillow" ? roundHalfToEven : Math.floor;
  const [top, left] = [round((height - toHeight) / 2), round((width - toWidth) / 2)];
  const out = new Float32Array(toHeight * toWidth * channels);
  const row = toWidth * channels;
  for (let y = 0; y < toHeight; y++) {
    const start = ((top + y) * width + left) * channels;
    out.set(data.subarray(start, start + row), y * row);
  }
  return { data: out, width: toWidth, height: toHeight, channels };
}
