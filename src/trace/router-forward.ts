/** Between which legs of a router new connections pass: address scopes, and nothing new from outside behind source NAT (N-L3-6, N-L3-13, decision 15). */
import type { RouterPortItem } from '#hoststate/router.ts';
import type { TracedRouter } from './host-index.ts';

/** Why a new connection that was not translated does not pass from one leg to another; undefined when it does. */
export function mayForward(traced: TracedRouter, from: RouterPortItem, to: RouterPortItem, version: 4 | 6): string | undefined {
  const [here, there] = [scopeOf(from, version), scopeOf(to, version)];
  // Source NAT hides the inside: nobody outside can mean an address there, and what leaves gets the router's name.
  const hidden = version === 4 && snatAddress(traced) !== undefined;
  if (hidden && to.role === 'gateway') return from.role === 'gateway' ? 'it would go back outside' : undefined;
  if (hidden && from.role === 'gateway' && here === null) return 'nothing new comes in behind source NAT; only floating IPs and forwarded ports lead inside';
  if (here === there) return to.role === 'gateway' && from.role === 'gateway' ? 'it would go back outside' : undefined;
  return `the two networks lie in different address scopes (${here ?? 'none'} and ${there ?? 'none'})`;
}

/** True when source and outside share an address scope: then nobody is translated. */
export function mayKeepSource(from: RouterPortItem, to: RouterPortItem): boolean {
  const scope = scopeOf(to, 4);
  return to.role === 'gateway' && scope !== null && scope === scopeOf(from, 4);
}

/** The address that the inside leaves under; undefined without source NAT. */
export function snatAddress({ router, legs }: TracedRouter): string | undefined {
  const gateway = legs.find((leg) => leg.role === 'gateway');
  return router.enable_snat ? gateway?.addresses.map((text) => text.split('/')[0]!).find((address) => !address.includes(':')) : undefined;
}

function scopeOf(leg: RouterPortItem, version: 4 | 6): string | null {
  return version === 4 ? leg.address_scopes.ipv4 : leg.address_scopes.ipv6;
}
