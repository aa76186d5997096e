// Resizes pixels exactly as TensorFlow's kernels do, which `keras_mixer` reads pictures with.
// All arithmetic is in float32, in the kernels' order: every operation is rounded by `f`.
//
// An image is { data, width, height, channels }; data has [height][width][channels] numbers.
// Sources: tensorflow/core/kernels/image/{resize_bilinear,resize_bicubic,resize_area,
// resize_nearest_neighbor,scale_and_translate}_op.cc and sampling_kernels.h.

const f = Math.fround;

/**
 * Resizes an image as `tf.image.resize(image, [height, width], method, antialias=antialias)`.
 *
 * @param method "bilinear", "bicubic", "area", "nearest", "lanczos3", "lanczos5", or
 *     "bilinear_from_corners", the bilinear kernel of TensorFlow 1.
 * @returns an image of float32 numbers.
 */
export function resize(image, height, width, method, antialias = false) {
  const kernel = KERNELS[method];
  if (kernel && (antialias || method.startsWith("lanczos"))) {
    return scaled(image, height, width, kernel, antialias);
  }
  return {
    bilinear: (i) => bilinear(i, height, width, 0.5),
    bilinear_from_corners: (i) => bilinear(i, height, width, 0),
    bicubic: (i) => bicubic(i, height, width),
    area: (i) => area(i, height, width),
    nearest: (i) => nearest(i, height, width),
  }[method](image);
}

/**
 * Resizes an image by the rules of Pillow: one axis after the other, each rounded to whole numbers.
 */
export function resizeAsPillow(image, height, width, method) {
  for (const [h, w] of [
    [image.height, width],
    [height, width],
  ]) {
    const before = image;
    image = resize(image, h, w, method, true);
    if (image === before) continue;
    const { data } = image;
    for (let i = 0; i < data.length; i++) {
      data[i] = Math.min(255, Math.max(0, Math.floor(f(data[i] + 0.5))));
    }
  }
  return image;
}

function empty({ channels }, height, width) {
  return { data: new Float32Array(height * width * channels), width, height, channels };
}

const clamp = (value, size) => Math.min(size - 1, Math.max(0, value));

// ---------------------------------------------------------------------------- with antialiasing
const PI = f(Math.PI);

function lanczos(radius) {
  return {
    radius,
    at(x) {
      if (x > radius) return 0;
      if (x <= 1e-3) return 1;
      const angle = f(PI * x);
      const sines = f(f(radius * f(Math.sin(angle))) * f(Math.sin(f(angle / radius))));
      return f(sines / f(f(f(PI * PI) * x) * x));
    },
  };
}

function cubic(x) {
  if (x >= 2) return 0;
  if (x >= 1) return f(f(f(f(f(f(-0.5 * x) + 2.5) * x) - 4) * x) + 2);
  return f(f(f(f(f(1.5 * x) - 2.5) * x) * x) + 1);
}

const KERNELS = {
  bilinear: { radius: 1, at: (x) => (x < 1 ? f(1 - x) : 0) },
  bicubic: { radius: 2, at: cubic },
  lanczos3: lanczos(3),
  lanczos5: lanczos(5),
};

/** Of each output pixel the first input pixel that counts, and the weights from there on. */
function spans(from, to, { radius, at }, antialias) {
  const inverse = f(1 / f(to / from));
  const scale = antialias ? Math.max(inverse, 1) : 1;
  const oneOverScale = f(1 / scale);
  const reach = f(radius * scale);
  return Array.from({ length: to }, (_, i) => {
    const center = f(f(i + 0.5) * inverse);
    if (center > from) return { start: 0, weights: [] };
    const start = clamp(Math.ceil(f(f(center - reach) - 0.5)), from);
    const end = clamp(Math.floor(f(f(center + reach) - 0.5)), from) + 1;
    const weights = new Float32Array(end - start);
    let sum = 0;
    for (let x = start; x < end; x++) {
      const weight = at(Math.abs(f(f(f(x + 0.5) - center) * oneOverScale)));
      sum = f(sum + weight);
      weights[x - start] = weight;
    }
    const oneOverSum = f(1 / sum);
    return trimmed(
      start,
      weights.map((weight) => weight * oneOverSum),
    );
  });
}

/** Without weights of 0 at the ends, which change no sum. */
function trimmed(start, weights) {
  const first = weights.findIndex((weight) => weight !== 0);
  const last = weights.findLastIndex((weight) => weight !== 0);
  return { start: start + first, weights: weights.subarray(first, last + 1) };
}

function scaled(image, height, width, kernel, antialias) {
  const columns = spans(image.width, width, kernel, antialias);
  return gatherColumns(gatherRows(image, spans(image.height, height, kernel, antialias)), columns);
}

const identical = (spans) =>
  spans.every(({ start, weights }, i) => start === i && weights.length === 1 && weights[0] === 1);

function gatherRows(image, rows) {
  if (rows.length === image.height && identical(rows)) return image;
  const out = empty(image, rows.length, image.width);
  const size = image.width * image.channels;
  rows.forEach(({ start, weights }, y) => {
    const sums = out.data.subarray(y * size, (y + 1) * size);
    weights.forEach((weight, k) => {
      const row = image.data.subarray((start + k) * size, (start + k + 1) * size);
      for (let i = 0; i < size; i++) sums[i] = f(sums[i] + f(weight * row[i]));
    });
  });
  return out;
}

function gatherColumns(image, columns) {
  const { channels, height, width, data } = image;
  if (columns.length === width && identical(columns)) return image;
  const out = empty(image, height, columns.length);
  for (let y = 0, o = 0; y < height; y++) {
    for (const { start, weights } of columns) {
      for (let c = 0; c < channels; c++, o++) {
        let at = (y * width + start) * channels + c;
        let sum = 0;
        for (let k = 0; k < weights.length; k++, at += channels) {
          sum = f(sum + f(weights[k] * data[at]));
        }
        out.data[o] = sum;
      }
    }
  }
  return out;
}

// ------------------------------------------------------------------------- without antialiasing
/** Bilinear; `center` is 0.5 for pixels aligned at their centres, 0 for those at their corners. */
function bilinear(image, height, width, center) {
  const { channels, data } = image;
  const between = (from, to) => {
    const scale = f(from / to);
    return Array.from({ length: to }, (_, i) => {
      const at = f(f(f(i + center) * scale) - center);
      const low = Math.floor(at);
      return {
        low: Math.max(low, 0),
        high: Math.min(Math.ceil(at), from - 1),
        share: f(at - low),
      };
    });
  };
  const xs = between(image.width, width);
  const out = empty(image, height, width);
  let o = 0;
  for (const y of between(image.height, height)) {
    for (const x of xs) {
      for (let c = 0; c < channels; c++, o++) {
        const row = (line) => {
          const left = data[(line * image.width + x.low) * channels + c];
          const right = data[(line * image.width + x.high) * channels + c];
          return f(left + f(f(right - left) * x.share));
        };
        const top = row(y.low);
        out.data[o] = f(top + f(f(row(y.high) - top) * y.share));
      }
    }
  }
  return out;
}

const TABLE = 1024; // entries of the bicubic kernel's table

/** Keys's kernel at a distance of `i / TABLE`, and one pixel further. */
function keys(i) {
  const a = -0.5;
  let x = f(i / TABLE);
  const near = f(((a + 2) * x - (a + 3)) * x * x + 1);
  x = f(x + 1);
  return [near, f(((a * x - 5 * a) * x + 8 * a) * x - 4 * a)];
}

function bicubic(image, height, width) {
  const { channels, data } = image;
  const taps = (from, to) => {
    const scale = f(from / to);
    return Array.from({ length: to }, (_, i) => {
      const at = f(f(f(i + 0.5) * scale) - 0.5);
      const low = Math.floor(at);
      const offset = roundHalfToEven(f(f(at - low) * TABLE));
      const [[near, far], [nearOther, farOther]] = [keys(offset), keys(TABLE - offset)];
      const places = [low - 1, low, low + 1, low + 2];
      const inside = places.map((place) => clamp(place, from));
      const weights = [far, near, nearOther, farOther].map((weight, k) =>
        inside[k] === places[k] ? weight : 0,
      );
      const oneOverSum = f(1 / weights.reduce((sum, weight) => f(sum + weight)));
      return { places: inside, weights: weights.map((weight) => f(weight * oneOverSum)) };
    });
  };
  const sum = (weights, value) => {
    let total = f(value(0) * weights[0]);
    for (let k = 1; k < 4; k++) total = f(total + f(value(k) * weights[k]));
    return total;
  };
  const xs = taps(image.width, width);
  const out = empty(image, height, width);
  let o = 0;
  for (const y of taps(image.height, height)) {
    for (const x of xs) {
      for (let c = 0; c < channels; c++, o++) {
        const column = (k) =>
          sum(y.weights, (j) => data[(y.places[j] * image.width + x.places[k]) * channels + c]);
        out.data[o] = sum(x.weights, column);
      }
    }
  }
  return out;
}

function area(image, height, width) {
  const { channels, data } = image;
  const scaleY = f(image.height / height);
  const scaleX = f(image.width / width);
  const cells = (from, to, scale) =>
    Array.from({ length: to }, (_, i) => {
      const [low, high] = [f(i * scale), f((i + 1) * scale)];
      const covered = [];
      for (let at = Math.floor(low); at < Math.ceil(high); at++) {
        const ends = at + 1 > high;
        const share = at < low ? (ends ? scale : f(at + 1 - low)) : ends ? f(high - at) : 1;
        covered.push({ at: clamp(at, from), share });
      }
      return covered;
    });
  const xs = cells(image.width, width, scaleX);
  const scale = f(1 / f(scaleY * scaleX));
  const out = empty(image, height, width);
  let o = 0;
  for (const y of cells(image.height, height, scaleY)) {
    for (const x of xs) {
      for (let c = 0; c < channels; c++, o++) {
        let sum = 0;
        for (const line of y) {
          let across = 0;
          for (const { at, share } of x) {
            across = f(across + f(data[(line.at * image.width + at) * channels + c] * share));
          }
          sum = f(sum + f(across * line.share));
        }
        out.data[o] = f(sum * scale);
      }
    }
  }
  return out;
}

function nearest(image, height, width) {
  const { channels, data } = image;
  const indices = (from, to) => {
    const scale = f(from / to);
    return Array.from({ length: to }, (_, i) => clamp(Math.floor(f(f(i + 0.5) * scale)), from));
  };
  const xs = indices(image.width, width);
  const out = empty(image, height, width);
  let o = 0;
  for (const y of indices(image.height, height)) {
    for (const x of xs) {
      for (let c = 0; c < channels; c++, o++) {
        out.data[o] = data[(y * image.width + x) * channels + c];
      }
    }
  }
  return out;
}

/** The nearest whole number; of two the even one, as Python, NumPy and C round. */
export function roundHalfToEven(value) {
  const low = Math.floor(value);
  const above = value - low;
  return above > 0.5 || (above === 0.5 && low % 2 !== 0) ? low + 1 : low;
}
