/** Cuts a byte stream of JSON values written one behind the other, as OVSDB servers do, into values. */
export class JsonSplitter {
  #chunks: Buffer[] = [];
  #depth = 0;
  #inString = false;
  #escaped = false;

  /** The values that are complete with `chunk`. Throws `SyntaxError` on what is no JSON. */
  push(chunk: Buffer): unknown[] {
    const values: unknown[] = [];
    let start = 0;
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i]!;
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false;
        else if (byte === BACKSLASH) this.#escaped = true;
        else if (byte === QUOTE) this.#inString = false;
      } else if (byte === QUOTE) this.#inString = true;
      else if (byte === BRACE_OPEN || byte === BRACKET_OPEN) this.#depth++;
      else if ((byte === BRACE_CLOSE || byte === BRACKET_CLOSE) && --this.#depth === 0) {
        this.#chunks.push(chunk.subarray(start, i + 1));
        values.push(JSON.parse(Buffer.concat(this.#chunks).toString('utf8')));
        this.#chunks = [];
        start = i + 1;
      }
    }
    if (start < chunk.length) this.#chunks.push(chunk.subarray(start));
    return values;
  }
}

const [QUOTE, BACKSLASH, BRACE_OPEN, BRACE_CLOSE, BRACKET_OPEN, BRACKET_CLOSE] = [0x22, 0x5c, 0x7b, 0x7d, 0x5b, 0x5d];
