/** Translation of addresses in a router: floating IPs, forwarded ports, the router's own address (N-L3-10, N-L3-16…19). */
import type { PortForwardingItem, RouterPortItem } from '#hoststate/router.ts';
import type { TracedRouter } from './host-index.ts';
import { type Packet, protocolName, versionOf } from './packet.ts';
import { mayKeepSource, snatAddress } from './router-forward.ts';
import type { NatStep } from './step.ts';
import { nameText, type Walk } from './walk.ts';

interface Translated {
  readonly packet: Packet;
  readonly step: NatStep;
}

/** Single forwarded ports come before the whole floating IP. */
export function translateDestination(walk: Walk, host: string, { floatingIps, forwardings }: TracedRouter, packet: Packet): Translated | undefined {
  const forwarding = forwardings.find((item) => forwards(item, packet));
  if (forwarding) {
    const port = internalPort(forwarding, packet.destination_port!);
    const object = walk.named('port_forwarding', forwarding.port_forwarding_id);
    const [before, after] = [`${packet.destination_ip}:${packet.destination_port}`, `${forwarding.internal_ip_address}:${port}`];
    return {
      packet: { ...packet, destination_ip: forwarding.internal_ip_address, destination_port: port },
      step: { type: 'nat', kind: 'destination', host, object, before, after, text: `${nameText(object)} leads ${before} to ${after}` },
    };
  }
  const floating = floatingIps.find((item) => item.fixed_ip_address !== null && item.floating_ip_address === packet.destination_ip);
  if (!floating) return undefined;
  const object = walk.named('floatingip', floating.floatingip_id);
  const after = floating.fixed_ip_address!;
  return {
    packet: { ...packet, destination_ip: after },
    step: { type: 'nat', kind: 'destination', host, object, before: packet.destination_ip, after, text: `${nameText(object)} leads ${packet.destination_ip} to ${after}` },
  };
}

/** Under which name a connection leaves, in the order of the chain `postrouting`. */
export function translateSource(walk: Walk, host: string, traced: TracedRouter, from: RouterPortItem, to: RouterPortItem, packet: Packet, translated: boolean): Translated | undefined {
  const gateway = traced.legs.find((leg) => leg.role === 'gateway');
  if (!gateway || versionOf(packet.source_ip) === 6 || from === gateway || (to !== gateway && !translated)) return undefined;
  const floating = traced.floatingIps.find((item) => item.fixed_ip_address === packet.source_ip);
  const leavesAs = (object: ReturnType<Walk['named']>, after: string, why: string): Translated => ({
    packet: { ...packet, source_ip: after },
    step: { type: 'nat', kind: 'source', host, object, before: packet.source_ip, after, text: `${packet.source_ip} leaves as ${after}: ${why}` },
  });
  if (floating) {
    const object = walk.named('floatingip', floating.floatingip_id);
    return leavesAs(object, floating.floating_ip_address, `its ${nameText(object)}`);
  }
  const own = snatAddress(traced);
  if (own === undefined || mayKeepSource(from, to)) return undefined;
  const object = walk.named('router', traced.router.router_id);
  return leavesAs(object, own, `the address of ${nameText(object)} outside`);
}

function forwards(item: PortForwardingItem, packet: Packet): boolean {
  return item.floating_ip_address === packet.destination_ip && item.protocol === protocolName(packet.protocol)
    && packet.destination_port !== null && packet.destination_port >= item.external_first && packet.destination_port <= item.external_last;
}

function internalPort(item: PortForwardingItem, port: number): number {
  return item.internal_first === item.internal_last ? item.internal_first : port - item.external_first + item.internal_first;
}
