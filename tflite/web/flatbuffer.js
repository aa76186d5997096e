// Reads the tables of a flatbuffer in place. A missing field is an empty value; an offset outside
// the file is a RangeError, which the caller turns into words.

export class Table {
  constructor(view, position) {
    this.view = view;
    this.position = position;
    this.fields = position - view.getInt32(position, true);
  }

  /** The root table of a flatbuffer. */
  static root(view) {
    return new Table(view, view.getUint32(0, true));
  }

  place(field) {
    const at = 4 + 2 * field;
    if (at >= this.view.getUint16(this.fields, true)) return 0;
    const offset = this.view.getUint16(this.fields + at, true);
    return offset && this.position + offset;
  }

  byte(field) {
    const place = this.place(field);
    return place ? this.view.getInt8(place) : 0;
  }

  int(field) {
    const place = this.place(field);
    return place ? this.view.getInt32(place, true) : 0;
  }

  text(field) {
    return new TextDecoder("utf-8", { fatal: true }).decode(this.bytes(field));
  }

  /** A vector of bytes; it is checked to be within the file. */
  bytes(field) {
    const [start, length] = this.vector(field);
    return new Uint8Array(this.view.buffer, this.view.byteOffset + start, length);
  }

  ints(field) {
    return this.each(field, (at) => this.view.getInt32(at, true));
  }

  floats(field) {
    return this.each(field, (at) => this.view.getFloat32(at, true));
  }

  child(field) {
    const place = this.place(field);
    return place ? new Table(this.view, place + this.view.getUint32(place, true)) : null;
  }

  children(field) {
    return this.each(field, (at) => new Table(this.view, at + this.view.getUint32(at, true)));
  }

  /** The items of a vector, each of four bytes. */
  each(field, read) {
    const [start, length] = this.vector(field);
    this.within(start, 4 * length);
    return Array.from({ length }, (_, i) => read(start + 4 * i));
  }

  vector(field) {
    const place = this.place(field);
    if (!place) return [0, 0];
    const start = place + this.view.getUint32(place, true);
    const length = this.view.getUint32(start, true);
    this.within(start + 4, length);
    return [start + 4, length];
  }

  within(start, length) {
    if (start + length > this.view.byteLength) throw new RangeError("outside the file");
  }
}
