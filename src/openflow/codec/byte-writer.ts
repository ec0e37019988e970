/** A growing buffer that is written in network byte order. */
export class ByteWriter {
  #bytes = Buffer.allocUnsafe(256);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  #reserve(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.#length, this.#bytes.length * 2));
      this.#bytes.copy(grown, 0, 0, at);
      this.#bytes = grown;
    }
    return at;
  }

  u8(value: number): this {
    const at = this.#reserve(1);
    this.#bytes.writeUInt8(value, at);
    return this;
  }

  u16(value: number): this {
    const at = this.#reserve(2);
    this.#bytes.writeUInt16BE(value, at);
    return this;
  }

  u32(value: number): this {
    const at = this.#reserve(4);
    this.#bytes.writeUInt32BE(value >>> 0, at);
    return this;
  }

  u64(value: bigint): this {
    const at = this.#reserve(8);
    this.#bytes.writeBigUInt64BE(value, at);
    return this;
  }

  zeros(count: number): this {
    const at = this.#reserve(count);
    this.#bytes.fill(0, at, at + count);
    return this;
  }

  /** `value` as an unsigned number of `count` bytes. */
  number(value: bigint, count: number): this {
    if (count === 4) return this.u32(Number(value));
    if (count === 2) return this.u16(Number(value));
    if (count === 1) return this.u8(Number(value));
    const at = this.#reserve(count);
    for (let i = at + count - 1; i >= at; i--) {
      this.#bytes[i] = Number(value & 0xffn);
      value >>= 8n;
    }
    return this;
  }

  bytes(value: Uint8Array): this {
    const at = this.#reserve(value.length);
    this.#bytes.set(value, at);
    return this;
  }

  /** Writes a length field of 16 bits that was left open at `at`. */
  setU16(at: number, value: number): void {
    this.#bytes.writeUInt16BE(value, at);
  }

  /** Zeros up to a multiple of 8 bytes counted from `start`. */
  padTo8(start: number): this {
    return this.zeros((8 - ((this.#length - start) % 8)) % 8);
  }

  /** A copy of what was written. */
  take(): Buffer {
    return Buffer.from(this.#bytes.subarray(0, this.#length));
  }
}

/** The unsigned number in `bytes`. */
export function numberOf(bytes: Uint8Array): bigint {
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return value;
}
