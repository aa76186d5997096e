// Unpacks deflated data, up to a length: a small file may hold more than memory does.

const PIECE = 2 ** 14; // bytes, of which none become more than 17 million

/**
 * The first `length` bytes of what was packed, or all if there are fewer.
 *
 * @param parts Uint8Arrays that follow one another.
 * @param format of DecompressionStream: "deflate" or "deflate-raw".
 * @throws Error with the reason, to follow the file's name and a colon.
 */
export async function inflated(parts, format, length) {
  const queue = pieces(parts);
  const source = new ReadableStream({
    pull(controller) {
      const { done, value } = queue.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
  });
  const reader = source.pipeThrough(new DecompressionStream(format)).getReader();
  const out = new Uint8Array(length);
  let at = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return out.subarray(0, at);
      const room = value.subarray(0, length - at);
      out.set(room, at);
      at += room.length;
      if (room.length < value.length) break;
    }
  } catch {
    throw new Error("it is damaged");
  }
  reader.cancel().catch(() => {});
  return out;
}

function* pieces(parts) {
  for (const part of parts) {
    for (let at = 0; at < part.length; at += PIECE) yield part.subarray(at, at + PIECE);
  }
}
