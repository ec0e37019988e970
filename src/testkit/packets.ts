/** Arbitrary packets, in the words that `ofproto/trace` and the fake switch take, out of few values that meet often. */
import fc from 'fast-check';
import type { Item } from '#hoststate/host-state.ts';
import { VIRTUAL_MAC } from './host-items.ts';

/** Destinations besides the ports' own. */
const GROUP_MACS = ['ff:ff:ff:ff:ff:ff', '01:00:5e:00:00:fb', '33:33:00:00:00:01', '01:80:c2:00:00:0e'];
const STRANGER = '02:aa:aa:aa:aa:aa';
const SERVICES = [0, 22, 53, 67, 68, 79, 80, 81, 546, 547, 5000, 5003, 5004, 8000, 8001, 8049, 8050, 8100, 8101, 9000, 9001, 65535];
const ICMP_TYPES = [0, 3, 5, 8, 9, 13];
const ICMP6_TYPES = [1, 128, 129, 130, 131, 133, 134, 135, 136, 137, 143];

export interface Values {
  readonly macs: readonly string[];
  readonly v4: readonly string[];
  readonly v6: readonly string[];
}

/** MACs and addresses that `items` mention, and some that they do not. */
export function valuesOf(items: readonly Item[]): Values {
  const macs = new Set([STRANGER, VIRTUAL_MAC]);
  const addresses = new Set(['10.0.0.7', '10.0.0.200', '192.168.9.9', '0.0.0.0', 'fd00::99', '::', 'fe80::f816:3eff:fe00:1', 'ff02::1']);
  for (const item of items) {
    if (item.type !== 'port' && item.type !== 'forward') continue;
    macs.add(item.mac_address);
    for (const address of item.ip_addresses) addresses.add(address);
  }
  return { macs: [...macs], v4: [...addresses].filter((a) => !a.includes(':')), v6: [...addresses].filter((a) => a.includes(':')) };
}

/** Everything of a packet but where it comes in. `src` fixes the sender's MAC. */
export function packetArbitrary({ macs, v4, v6 }: Values): fc.Arbitrary<string> {
  const port = fc.constantFrom(...SERVICES);
  const ip4 = fc.constantFrom(...v4);
  const ip6 = fc.constantFrom(...v6);
  const address = fc.constantFrom(...macs);
  const dhcp = fc.constantFrom('tp_src=67,tp_dst=68', 'tp_src=68,tp_dst=67', 'tp_src=547,tp_dst=546', 'tp_src=546,tp_dst=547');
  const ports = fc.oneof({ weight: 6, arbitrary: fc.record({ s: port, d: port }).map(({ s, d }) => `tp_src=${s},tp_dst=${d}`) }, { weight: 1, arbitrary: dhcp });
  const layer4 = (six: string): fc.Arbitrary<string>[] => [
    ports.map((text) => `tcp${six},${text},tcp_flags=0x2`), ports.map((text) => `tcp${six},${text},tcp_flags=0x10`), ports.map((text) => `udp${six},${text}`), ports.map((text) => `sctp${six},${text}`),
  ];
  const ipv4 = fc.tuple(fc.oneof(...layer4(''), fc.constantFrom(...ICMP_TYPES).map((type) => `icmp,icmp_type=${type},icmp_code=0`), fc.constant('ip,nw_proto=47')), ip4, ip4)
    .map(([head, src, dst]) => `${head},nw_src=${src},nw_dst=${dst},nw_ttl=64`);
  const option = fc.oneof(fc.constant(''), address.map((given) => `=${given}`));
  const icmp6 = fc.tuple(fc.constantFrom(...ICMP6_TYPES), ip6, option).map(([type, target, mac]) => {
    const discovery = type === 135 || type === 136 ? `,nd_target=${target}${mac && `,${type === 135 ? 'nd_sll' : 'nd_tll'}${mac}`}` : '';
    return `icmp6,icmp_type=${type},icmp_code=0${discovery}`;
  });
  const ipv6 = fc.tuple(fc.oneof(...layer4('6'), icmp6, icmp6), ip6, ip6).map(([head, src, dst]) => `${head},ipv6_src=${src},ipv6_dst=${dst},nw_ttl=64`);
  const arp = fc.tuple(fc.constantFrom(1, 2), ip4, ip4, address, address).map(([op, spa, tpa, sha, tha]) => `arp,arp_op=${op},arp_spa=${spa},arp_tpa=${tpa},arp_sha=${sha},arp_tha=${tha}`);
  const other = fc.constantFrom('dl_type=0x88cc', 'dl_type=0x8863');
  const body = fc.oneof({ weight: 5, arbitrary: ipv4 }, { weight: 4, arbitrary: ipv6 }, { weight: 3, arbitrary: arp }, { weight: 1, arbitrary: other });
  const dst = fc.oneof({ weight: 3, arbitrary: address }, { weight: 2, arbitrary: fc.constantFrom(...GROUP_MACS) });
  return fc.tuple(body, address, dst).map(([text, src, to]) => `${text},dl_src=${src},dl_dst=${to}`);
}

/** What a well-behaved port sends: its own MAC and one of its own addresses. */
export function ownPacket({ macs, v4, v6 }: Values, own: { readonly mac_address: string; readonly ip_addresses: readonly string[] }): fc.Arbitrary<string> {
  const values: Values = { macs, v4, v6 };
  const mine = own.ip_addresses.filter((a) => !a.includes(':'));
  return packetArbitrary(values).map((text) => text
    .replace(/dl_src=[^,]*/, `dl_src=${own.mac_address}`)
    .replace(/arp_sha=[^,]*/, `arp_sha=${own.mac_address}`)
    .replace(/(nw_src|arp_spa)=[^,]*/, (whole, name) => (mine[0] ? `${name}=${mine[0]}` : whole))
    .replace(/ipv6_src=[^,]*/, (whole) => own.ip_addresses.find((a) => a.includes(':'))?.replace(/^/, 'ipv6_src=') ?? whole));
}

