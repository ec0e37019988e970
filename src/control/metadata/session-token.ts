/**
 * Session tokens of the metadata service, as in AWS's IMDSv2: a guest asks for one by PUT, which no forged GET of a proxy
 * in it can do, and shows it with each request. They are kept nowhere: a token is its own end and a signature over it.
 */
import { createHmac } from 'node:crypto';
import { sameSecretText } from './signature.ts';

/** Seconds that a token may live. */
export const TOKEN_LIFE = { least: 1, most: 21_600 };

/** A token of this instance alone; `now` and `life` in seconds. */
export function sessionToken(secret: string, instanceId: string, now: number, life: number): string {
  const end = Math.floor(now) + life;
  return `${end.toString(36)}.${mac(secret, instanceId, end)}`;
}

/** True while a token of this instance is good. */
export function isSessionToken(secret: string, instanceId: string, token: string, now: number): boolean {
  const dot = token.indexOf('.');
  const end = /^[0-9a-z]{1,11}$/.test(token.slice(0, Math.max(dot, 0))) ? Number.parseInt(token.slice(0, dot), 36) : 0;
  return end > now && sameSecretText(mac(secret, instanceId, end), token.slice(dot + 1));
}

function mac(secret: string, instanceId: string, end: number): string {
  return createHmac('sha256', secret).update(`session token ${instanceId} ${end}`).digest('base64url');
}
