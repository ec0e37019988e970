/**
 * The nftables table of a router's namespace, as a function of its items: who may pass to whom, and what is translated
 * (N-L3-6, N-L3-10, N-L3-13, N-L3-17…19, N-L3-21). Floating IPs and forwardings are elements of maps: one more is one
 * element more. docs/design/routers.md explains it chain by chain.
 */
import type { FloatingIpItem, PortForwardingItem, RouterItem, RouterPortItem } from '#hoststate/router.ts';
import type { NftSet, NftTable } from '#agent/drivers/nft/table.ts';
import { METADATA_IPV4, METADATA_IPV6 } from '#agent/drivers/link/address.ts';

/** Where the metadata proxy of a namespace listens. */
export const PROXY_PORT = 9697;
/** Marks of packets: where they come from, as an address scope. A leg without a scope has Neutron's mark for that. */
const NO_SCOPE = '0x04000000';
/** From outside, where the external network shares no address scope with us. */
const FROM_OUTSIDE = '0x00000002';

export interface RouterView {
  readonly router: RouterItem;
  readonly ports: readonly RouterPortItem[];
  readonly floatingIps: readonly FloatingIpItem[];
  readonly forwardings: readonly PortForwardingItem[];
}

export function routerTable({ router, ports, floatingIps, forwardings }: RouterView): NftTable {
  const gateway = ports.find((port) => port.role === 'gateway');
  const external = gateway?.addresses.map((text) => text.split('/')[0]!).find((address) => !address.includes(':'));
  const snat = router.enable_snat ? external : undefined;
  const translated = floatingIps.filter((item) => item.fixed_ip_address !== null);
  return {
    family: 'inet', name: 'patchbay',
    sets: [
      ...scopeSets(ports, gateway, snat !== undefined),
      { name: 'floating', type: 'type ipv4_addr : ipv4_addr', elements: translated.map((item) => `${item.floating_ip_address} : ${item.fixed_ip_address}`).sort() },
      { name: 'fixed', type: 'type ipv4_addr : ipv4_addr', elements: translated.map((item) => `${item.fixed_ip_address} : ${item.floating_ip_address}`).sort() },
      ...forwardingSets(forwardings),
    ],
    chains: [
      {
        name: 'scope', hook: 'type filter hook prerouting priority mangle; policy accept;',
        rules: ['meta nfproto ipv4 meta mark set iifname map @scope4', 'meta nfproto ipv6 meta mark set iifname map @scope6'],
      },
      {
        name: 'prerouting', hook: 'type nat hook prerouting priority dstnat; policy accept;',
        rules: [
          ...(router.metadata ? [`iifname "qr-*" ip daddr ${METADATA_IPV4} tcp dport 80 redirect to :${PROXY_PORT}`, `iifname "qr-*" ip6 daddr ${METADATA_IPV6} tcp dport 80 redirect to :${PROXY_PORT}`] : []),
          'dnat ip addr . port to meta l4proto . ip daddr . th dport map @forwarding',
          'dnat ip to meta l4proto . ip daddr . th dport map @forwarding_range',
          'dnat ip to ip daddr map @floating',
        ],
      },
      {
        // The proxy hears nobody but those who asked for the metadata address.
        name: 'input', hook: 'type filter hook input priority filter; policy accept;',
        rules: [`tcp dport ${PROXY_PORT} ct status dnat accept`, `tcp dport ${PROXY_PORT} drop`],
      },
      {
        name: 'forward', hook: 'type filter hook forward priority filter; policy drop;',
        rules: [
          // Untracked leftovers of a connection would leave with an inner address.
          ...(snat !== undefined ? [`meta nfproto ipv4 oifname "${gateway!.device}" ct state invalid drop`] : []),
          'ct state established,related accept',
          'ct status dnat accept',
          'meta nfproto ipv4 oifname . meta mark @reach4 accept',
          'meta nfproto ipv6 oifname . meta mark @reach6 accept',
        ],
      },
      { name: 'postrouting', hook: 'type nat hook postrouting priority srcnat; policy accept;', rules: gateway ? sourceRules(gateway, snat) : [] },
    ],
  };
}

/** From which leg a packet comes (its mark), and to which leg which marks may go on. */
function scopeSets(ports: readonly RouterPortItem[], gateway: RouterPortItem | undefined, snat: boolean): NftSet[] {
  return ([4, 6] as const).flatMap((version) => {
    const inner = ports.filter((port) => port !== gateway).map((port) => [port.device, markOf(scopeOf(port, version))] as const);
    const marks = new Map(inner);
    const reach = new Set(inner.map(([device, mark]) => `"${device}" . ${mark}`));
    if (gateway) {
      const scope = scopeOf(gateway, version);
      // Behind source NAT nobody outside can mean an address of ours, unless one routing domain goes through (N-L3-6).
      const hidden = snat && version === 4;
      marks.set(gateway.device, hidden && scope === null ? FROM_OUTSIDE : markOf(scope));
      for (const [, mark] of inner) if (hidden || mark === markOf(scope)) reach.add(`"${gateway.device}" . ${mark}`);
    }
    return [
      { name: `scope${version}`, type: 'type ifname : mark', elements: [...marks].map(([device, mark]) => `"${device}" : ${mark}`).sort() },
      { name: `reach${version}`, type: 'type ifname . mark', elements: [...reach].sort() },
    ];
  });
}

/** Who leaves under which name: asked once for each connection, in this order. */
function sourceRules(gateway: RouterPortItem, snat: string | undefined): string[] {
  const { device } = gateway;
  const scope = scopeOf(gateway, 4);
  return [
    // What comes from outside keeps its source.
    `iifname "${device}" accept`,
    `oifname != "${device}" ct status & dnat != dnat accept`,
    'snat ip to ip saddr map @fixed',
    ...(scope === null ? [] : [`oifname "${device}" meta mark ${markOf(scope)} accept`]),
    // To the outside; and to a floating IP of this very router, so that the answer comes back through it.
    ...(snat === undefined ? [] : [`meta nfproto ipv4 snat ip to ${snat}`]),
  ];
}

/** Ranges that keep their numbers are one element each; others one for each port. */
function forwardingSets(forwardings: readonly PortForwardingItem[]): NftSet[] {
  const single: string[] = [];
  const ranges: string[] = [];
  for (const item of forwardings) {
    const from = `${item.protocol} . ${item.floating_ip_address}`;
    const internal = (port: number) => (item.internal_first === item.internal_last ? item.internal_first : port - item.external_first + item.internal_first);
    if (item.external_first !== item.external_last && item.external_first === item.internal_first && item.external_last === item.internal_last) ranges.push(`${from} . ${item.external_first}-${item.external_last} : ${item.internal_ip_address}`);
    else for (let port = item.external_first; port <= item.external_last; port++) single.push(`${from} . ${port} : ${item.internal_ip_address} . ${internal(port)}`);
  }
  return [
    { name: 'forwarding', type: 'type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service', elements: single.sort() },
    { name: 'forwarding_range', type: 'type inet_proto . ipv4_addr . inet_service : ipv4_addr', interval: true, elements: ranges.sort() },
  ];
}

function scopeOf(port: RouterPortItem, version: 4 | 6): string | null {
  return version === 4 ? port.address_scopes.ipv4 : port.address_scopes.ipv6;
}

/** Of the scope's own id, so that it is the same on every host and in every life of an agent. */
function markOf(scope: string | null): string {
  return scope === null ? NO_SCOPE : `0x${((Number.parseInt(scope.slice(0, 8), 16) | 0x80000000) >>> 0).toString(16)}`;
}
