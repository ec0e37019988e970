/** How a host's metadata agent proves for which instance it speaks: HMAC-SHA256 of the instance's id (RFC 2104, N-MD-8). */
import { createHmac, timingSafeEqual } from 'node:crypto';

/** In hex, as Nova compares it. */
export function instanceSignature(secret: string, instanceId: string): string {
  return createHmac('sha256', secret).update(instanceId).digest('hex');
}

/** Compares in a time that tells nothing of where two texts differ (OSSA-2014-024). */
export function sameSecretText(expected: string, given: string): boolean {
  const [a, b] = [Buffer.from(expected), Buffer.from(given)];
  return a.length === b.length && timingSafeEqual(a, b);
}
