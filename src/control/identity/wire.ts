/** How Identity shows things: times, links, references. */
import type { Domain, Project, User } from './identity-tables.ts';

/** Seconds since 1970 as Keystone shows times of tokens: `2026-11-23T15:53:12.000000Z`. */
export function tokenTime(seconds: number): string {
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}.000000Z`;
}

/** `name` below a `domain`, in a token or a list with names. */
export function inDomain(object: Project | User, domain: Domain | undefined): { id: string; name: string; domain: { id: string; name: string } } {
  return { id: object.id, name: object.name, domain: { id: object.domain_id ?? '', name: domain?.name ?? '' } };
}

/** The links of a list; lists come in one piece. */
export function listLinks(base: string, path: string): { self: string; previous: null; next: null } {
  return { self: `${base}/v3${path}`, previous: null, next: null };
}
