/** OpenSSH keys: reading a public one, making a new pair (PROTOCOL.key of OpenSSH, RFC 4253 section 6.6). */
import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';

export interface SshPublicKey {
  /** One line of `authorized_keys`: type, base64, comment. */
  readonly line: string;
  /** MD5 in pairs with colons. */
  readonly fingerprint: string;
}

const TYPES = new Set([
  'ssh-rsa', 'ssh-dss', 'ssh-ed25519', 'ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp521',
  'sk-ssh-ed25519@openssh.com', 'sk-ecdsa-sha2-nistp256@openssh.com',
]);

/** Reads a public key of one line, whose blob says the same type as its text; `undefined` for anything else. */
export function parseSshPublicKey(text: string): SshPublicKey | undefined {
  const line = text.trim();
  // A second line would be a second key, or an option, in the guest's authorized_keys.
  if (/[\r\n\0]/.test(line)) return undefined;
  const match = /^(\S+)[ \t]+([A-Za-z0-9+/]+={0,2})(?:[ \t]+(.*))?$/.exec(line);
  const [, type = '', base64 = ''] = match ?? [];
  if (!match || !TYPES.has(type)) return undefined;
  const blob = Buffer.from(base64, 'base64');
  const length = blob.length >= 4 ? blob.readUInt32BE() : 0;
  if (blob.length <= 4 + length || blob.toString('latin1', 4, 4 + length) !== type) return undefined;
  return { line, fingerprint: fingerprintOf(blob) };
}

/** A new ed25519 pair; `comment` goes into both halves. The private half is in OpenSSH's own format, without a password. */
export function generateSshKey(comment: string): SshPublicKey & { readonly privateKey: string } {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const point = Buffer.from(publicKey.export({ format: 'jwk' }).x!, 'base64url');
  const scalar = Buffer.from(privateKey.export({ format: 'jwk' }).d!, 'base64url');
  const blob = Buffer.concat([field('ssh-ed25519'), field(point)]);
  const check = randomBytes(4);
  const secret = Buffer.concat([check, check, blob, field(Buffer.concat([scalar, point])), field(comment)]);
  const padding = Buffer.from(Array.from({ length: (8 - (secret.length % 8)) % 8 }, (_, i) => i + 1));
  const one = Buffer.from([0, 0, 0, 1]);
  const file = Buffer.concat([Buffer.from('openssh-key-v1\0'), field('none'), field('none'), field(''), one, field(blob), field(Buffer.concat([secret, padding]))]);
  return {
    line: `ssh-ed25519 ${blob.toString('base64')} ${comment}`,
    fingerprint: fingerprintOf(blob),
    privateKey: `-----BEGIN OPENSSH PRIVATE KEY-----\n${file.toString('base64').replace(/.{1,70}/g, '$&\n')}-----END OPENSSH PRIVATE KEY-----\n`,
  };
}

/** Bytes behind their length. */
function field(content: string | Buffer): Buffer {
  const bytes = Buffer.from(content);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

function fingerprintOf(blob: Buffer): string {
  return createHash('md5').update(blob).digest('hex').replace(/..(?=.)/g, '$&:');
}
