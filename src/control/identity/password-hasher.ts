/** Hashes passwords off the main thread, a few at a time: scrypt takes 60 ms and 16 MB each. */
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { ApiError } from '#model/errors.ts';

const LOG_N = 14;
const KEY_BYTES = 32;
/** libuv has four threads for scrypt, files and DNS together: one always stays free. */
const CONCURRENCY = Math.min(3, availableParallelism());
/** About two seconds of work on two cores; who comes later is told to come back. */
const MAX_WAITING = 64;

/** Checked against when there is no such user, so that the answer takes as long as for a wrong password. */
const NOBODY = `$scrypt$ln=${LOG_N},r=8,p=1$${base64(Buffer.alloc(16))}$${base64(Buffer.alloc(KEY_BYTES))}`;

export class PasswordHasher {
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  /** `$scrypt$ln=14,r=8,p=1$salt$key`, as passlib (and so Keystone) writes it. Throws TooManyPasswordChecks when the queue is full. */
  async hash(password: string): Promise<string> {
    const salt = randomBytes(16);
    return `$scrypt$ln=${LOG_N},r=8,p=1$${base64(salt)}$${base64(await this.#derive(password, salt))}`;
  }

  /** Compares in constant time, and does the same work for `undefined`, which nothing matches. Throws TooManyPasswordChecks when the queue is full. */
  async verify(password: string, hash: string | null | undefined): Promise<boolean> {
    const [, , , salt = '', key = ''] = (hash ?? NOBODY).split('$');
    const derived = await this.#derive(password, Buffer.from(salt, 'base64'));
    const expected = Buffer.from(key, 'base64');
    return expected.length === derived.length && timingSafeEqual(expected, derived) && hash != null;
  }

  async #derive(password: string, salt: Buffer): Promise<Buffer> {
    if (this.#running >= CONCURRENCY) {
      if (this.#waiting.length >= MAX_WAITING) throw new ApiError('TooManyPasswordChecks');
      await new Promise<void>((resume) => this.#waiting.push(resume));
    } else {
      this.#running++;
    }
    try {
      return await new Promise((resolve, reject) => scrypt(password, salt, KEY_BYTES, { N: 2 ** LOG_N, r: 8, p: 1 }, (error, key) => (error ? reject(error) : resolve(key))));
    } finally {
      // The slot goes to the next in line, or is given back.
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running--;
    }
  }
}

function base64(bytes: Buffer): string {
  return bytes.toString('base64').replaceAll('=', '');
}
