/**
 * What may stand in a command line or file of dnsmasq. The API checks its input too; here a value that slipped through costs its own
 * entry and nobody else's.
 */

/** Ids become paths, tags and names of namespaces. */
export function isPlainId(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9-]{0,63}$/.test(text);
}

/** The name of a network device. */
export function isDeviceName(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$/.test(text);
}

/** A host or domain name of letters, digits and inner hyphens (RFC 1123), up to 253 characters. */
export function isDomainName(text: string): boolean {
  return text.length <= 253 && /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/i.test(text);
}

/** Control characters would end a line of a file and begin another. */
export function hasControlCharacter(text: string): boolean {
  return /[\u0000-\u001f\u007f\u0085\u2028\u2029]/.test(text);
}

/** A text of a user's as it may stand in a message. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
