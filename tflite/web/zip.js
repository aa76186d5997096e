// Reads one file from the ZIP at the end of another file.

import { inflated } from "./inflate.js";

const END = 0x06054b50;
const ENTRY = 0x02014b50;
const MOST = 2 ** 24; // bytes of a file in it
const COMMENT = 65_535; // bytes that may follow the ZIP's end

/** The bytes of the file called `name`; null if there is no ZIP or no such file in it. */
export async function unzipped(bytes, name) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let end = bytes.length - 22;
  while (end >= 0 && view.getUint32(end, true) !== END) {
    if (--end < bytes.length - 22 - COMMENT) return null;
  }
  if (end < 0) return null;
  const [size, start] = [view.getUint32(end + 12, true), view.getUint32(end + 16, true)];
  const before = end - size - start; // bytes that offsets do not count, by some writers
  let at = end - size;
  for (let i = 0; i < view.getUint16(end + 10, true); i++) {
    if (view.getUint32(at, true) !== ENTRY) return null;
    const method = view.getUint16(at + 10, true);
    const packed = view.getUint32(at + 20, true);
    const lengths = [28, 30, 32].map((field) => view.getUint16(at + field, true));
    const title = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + lengths[0]));
    if (title === name) {
      const local = before + view.getUint32(at + 42, true);
      const head = 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
      const content = bytes.subarray(local + head, local + head + packed);
      if (method === 0) return content;
      const length = view.getUint32(at + 24, true);
      if (length > MOST) throw new Error(`its ${name} has ${length} bytes, more than ${MOST}`);
      return inflated([content], "deflate-raw", length);
    }
    at += 46 + lengths[0] + lengths[1] + lengths[2];
  }
  return null;
}
