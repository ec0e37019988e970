/**
 * User data of the kind `#cloud-config` as an init without a YAML parser can apply it: read here, on the host, and laid
 * out as files (docs/decisions/0010). Whoever applies them compares `sha256` with the bytes it was given first.
 */

import { createHash } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import { parse } from 'yaml';

export interface UserDataPlan {
  /**
   * `sha256` of the user data that this is the reading of; `notes`, lines for the console; `authorized_keys`; `runcmd`, a script; and for each
   * of write_files a folder `write_files/NNNN` with its `content` and `file`, the lines path, owner, permissions and `append` or `replace`.
   */
  readonly files: ReadonlyMap<string, Buffer>;
  /** What the user data says that the guest's name is. */
  readonly hostname?: string;
}

/** Bytes that all files of one cloud-config may have: the config drive lies in memory, and aliases and gzip multiply. */
const MOST = 2 * 1024 * 1024;

/** Reads user data; a script needs no reading. What cannot be read, or is not known here, is a note and never an error. */
export function readUserData(data: Buffer): UserDataPlan | undefined {
  if (data.length === 0 || data.subarray(0, 2).toString() === '#!') return undefined;
  const reading = new Reading();
  const kind = ignoredKind(data);
  if (kind === undefined) reading.document(data.toString());
  else reading.note(`user data ignored: ${kind}`);
  return reading.plan(data);
}

/** What user data is that nobody here acts on; `undefined` for a cloud-config. */
function ignoredKind(data: Buffer): string | undefined {
  if (data[0] === 0x1f && data[1] === 0x8b) return 'compressed user data is not read here';
  const text = data.subarray(0, 4096).toString().trimStart().toLowerCase();
  if (text.startsWith('#cloud-config')) return undefined;
  if (/^(content-type|mime-version):/m.test(text)) return 'multi-part MIME is not read here; give one script or one #cloud-config';
  return 'it begins neither with #! nor with #cloud-config';
}

/** One cloud-config while it is read. */
class Reading {
  readonly #files = new Map<string, Buffer>();
  readonly #notes: string[] = [];
  #hostname: string | undefined;
  #bytes = 0;

  note(line: string): void {
    // The words are a tenant's: they stay one line of plain characters.
    this.#notes.push(line.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 300));
  }

  document(text: string): void {
    let document: unknown;
    try {
      // As cloud-init's own parser reads it: YAML 1.1 (0644 is octal, `yes` a boolean), and of a key given twice the last.
      document = parse(text, { version: '1.1', uniqueKeys: false, logLevel: 'error' });
    } catch (error) {
      return this.note(`user data ignored: not valid YAML: ${(error as Error).message.split('\n')[0]}`);
    }
    if (document === null) return;
    if (!isMap(document)) return this.note('user data ignored: a #cloud-config must hold NAME: VALUE');
    const unknown: string[] = [];
    for (const [key, value] of Object.entries(document)) {
      if (key === 'write_files') this.#list(key, value).forEach((each, index) => this.#writeFile(each, index));
      else if (key === 'ssh_authorized_keys') this.#put('authorized_keys', Buffer.from(this.#keys(value)));
      else if (key === 'runcmd') this.#put('runcmd', Buffer.from(`#!/bin/sh\n${this.#list(key, value).map((each) => this.#command(each)).join('')}`));
      else if (key === 'hostname') this.#name(value);
      else unknown.push(key);
    }
    if (unknown.length > 0) this.note(`cloud-config: ignored, not known here: ${unknown.join(', ')}`);
  }

  plan(data: Buffer): UserDataPlan {
    this.#files.set('sha256', Buffer.from(`${createHash('sha256').update(data).digest('hex')}\n`));
    this.#files.set('notes', Buffer.from(this.#notes.map((line) => `${line}\n`).join('')));
    return { files: this.#files, ...(this.#hostname === undefined ? {} : { hostname: this.#hostname }) };
  }

  #put(path: string, content: Buffer, name = path): void {
    this.#bytes += content.length;
    if (this.#bytes <= MOST) this.#files.set(path, content);
    else this.note(`cloud-config: ${name} ignored: all together is larger than ${MOST} bytes`);
  }

  #list(key: string, value: unknown): unknown[] {
    if (Array.isArray(value)) return value;
    if (value !== null) this.note(`cloud-config: ${key} ignored: it is no list`);
    return [];
  }

  #keys(value: unknown): string {
    const lines = this.#list('ssh_authorized_keys', value).filter((key) => typeof key === 'string').flatMap((key) => key.split('\n'));
    return lines.map((line) => line.trim()).filter((line) => line !== '').map((line) => `${line}\n`).join('');
  }

  /** A text is a line of shell; a list is a program and its arguments, which no shell reads again. */
  #command(value: unknown): string {
    if (typeof value === 'string') return `${value}\n`;
    if (Array.isArray(value) && value.length > 0) return `${value.map((word) => `'${String(word).replaceAll("'", "'\\''")}'`).join(' ')}\n`;
    if (value !== null) this.note('cloud-config: a runcmd is ignored: it is neither text nor a list');
    return '';
  }

  #name(value: unknown): void {
    if (typeof value === 'string' && /^[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?$/.test(value)) this.#hostname = value;
    else this.note('cloud-config: hostname ignored: it is no name of letters, digits, hyphens and dots');
  }

  #writeFile(value: unknown, index: number): void {
    const { path, content = '', encoding = 'text/plain', permissions = '0644', owner = 'root:root', append = false, ...rest } = isMap(value) ? value : {};
    if (typeof path !== 'string' || !/^\/[^\0\r\n]*[^\0\r\n/]$/.test(path)) return this.note(`cloud-config: write_files ${index + 1} ignored: its path is not absolute`);
    const refuse = (why: string) => this.note(`cloud-config: write_files ${path} ignored: ${why}`);
    const mode = typeof permissions === 'number' ? permissions.toString(8) : String(permissions).replace(/^0?o/, '');
    if (!/^[0-7]{1,5}$/.test(mode)) return refuse(`permissions ${String(permissions)} are not octal`);
    if (typeof owner !== 'string' || !/^[\w.-]+(:[\w.-]+)?$/.test(owner)) return refuse('owner is not USER:GROUP');
    const bytes = decoded(content, encoding);
    if (typeof bytes === 'string') return refuse(bytes);
    const folder = `write_files/${String(index).padStart(4, '0')}`;
    const lines = [path, owner, mode.padStart(4, '0'), append === true ? 'append' : 'replace'];
    this.#put(`${folder}/content`, bytes, `write_files ${path}`);
    if (!this.#files.has(`${folder}/content`)) return;
    this.#put(`${folder}/file`, Buffer.from(lines.map((line) => `${line}\n`).join('')));
    if (Object.keys(rest).length > 0) this.note(`cloud-config: write_files ${path}: ignored, not known here: ${Object.keys(rest).join(', ')}`);
  }
}

/** The bytes of a file, or why there are none. */
function decoded(content: unknown, encoding: unknown): Buffer | string {
  if (content !== null && typeof content === 'object' && !(content instanceof Uint8Array)) return 'content is no text';
  const given = content instanceof Uint8Array ? Buffer.from(content) : Buffer.from(String(content ?? ''));
  const steps = ENCODINGS.get(String(encoding).toLowerCase());
  if (steps === undefined) return `encoding ${String(encoding)} is not known here`;
  const plain = steps.base64 ? Buffer.from(given.toString(), 'base64') : given;
  if (!steps.gzip) return plain;
  try {
    return gunzipSync(plain, { maxOutputLength: MOST });
  } catch (error) {
    return `its gzip cannot be unpacked: ${(error as Error).message}`;
  }
}

/** The names that cloud-init takes. */
const ENCODINGS: ReadonlyMap<string, { readonly base64?: true; readonly gzip?: true }> = new Map([
  ...['text/plain', 'plain'].map((name) => [name, {}] as const),
  ...['b64', 'base64'].map((name) => [name, { base64: true }] as const),
  ...['gz', 'gzip'].map((name) => [name, { gzip: true }] as const),
  ...['gz+base64', 'gzip+base64', 'gz+b64', 'gzip+b64'].map((name) => [name, { gzip: true, base64: true }] as const),
]);

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date) && !(value instanceof Uint8Array);
}
