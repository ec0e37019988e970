/**
 * The wires between simulated hosts, in a network namespace of their own: `physnet`, one L2 segment; `mgmt`, another; and the underlay,
 * one point-to-point link per host with a router between them, so that tunnel endpoints share no segment (N-NN-3). With an external bridge
 * there is no physnet, and `public` leads from the hub to the outside. Links are born in the namespaces they belong to: the machine's own
 * never sees one.
 */
import { PUBLIC_GATEWAY, outsideGatewayScript } from './external-bridge.ts';
import type { DataCentrePlan, HostPlan } from './plan.ts';

const UNDERLAY_GATEWAY = '192.168.2.1';
/** The outside's leg on physnet. */
const OUTSIDE_ADDRESSES = ['172.16.0.1/24', '2001:db8:16::1/64'];
/** Stand for the Internet: a web server, and the resolvers that the labs name. */
const INTERNET_ADDRESSES = ['203.0.113.1/24', '1.1.1.1/32', '8.8.8.8/32', '2001:db8:ffff::1/64'];
const MGMT_ADDRESS = '192.168.1.1/24';
/** A tunnelled packet of the physical MTU fits with VXLAN's 50, GENEVE's or IPv6's overhead. */
const TUNNEL_ROOM = 100;

/** `ip -batch` lines that make the two segments, inside the fabric's namespace. */
export function segmentLines(plan: DataCentrePlan): string[] {
  const { name } = segmentOf(plan);
  return [
    // No snooping: a dumb wire passes all multicast. No ARP: the bridge device is not a station.
    `link add ${name} mtu ${plan.physnet_mtu} type bridge mcast_snooping 0`,
    `link set ${name} arp off up`,
    'link add mgmt type bridge mcast_snooping 0',
    `address add ${MGMT_ADDRESS} dev mgmt`,
    'link set mgmt up',
  ];
}

/** `ip -batch` lines that wire a host, inside the fabric's namespace; `pid` is the host's init. */
export function hostWireLines(plan: DataCentrePlan, host: HostPlan, pid: number): string[] {
  const { segment, underlay, mgmt } = wireNames(plan, host);
  const underlayMtu = plan.physnet_mtu + TUNNEL_ROOM;
  return [
    ...(segment ? segmentWireLines(plan, segment, pid) : []),
    ...vethLines(mgmt, { name: 'mgmt', mtu: 1500, pid }),
    `link set ${mgmt} master mgmt up`,
    ...vethLines(underlay, { name: 'underlay', mtu: underlayMtu, pid }),
    `address add ${UNDERLAY_GATEWAY}/32 dev ${underlay}`,
    `link set ${underlay} up`,
    `route add ${host.local_ip}/32 dev ${underlay} src ${UNDERLAY_GATEWAY}`,
  ];
}

/** The fabric's ends of a host's NICs; `segment` is that of `phys` or `public`, where the host has one. */
export function wireNames(plan: DataCentrePlan, { name }: HostPlan): { segment: string | undefined; underlay: string; mgmt: string } {
  const onSegment = !plan.external_bridge || plan.external_bridge.hub === name;
  return { segment: onSegment ? segmentWire(plan, name) : undefined, underlay: `${name}-ul`, mgmt: `${name}-mgmt` };
}

/** `ip -batch` lines that put the outside on the segment. */
export function outsideWireLines(plan: DataCentrePlan, pid: number): string[] {
  return segmentWireLines(plan, segmentWire(plan, 'outside'), pid);
}

/** Where the outside is, as `up` says it. */
export function outsidePlace({ external_bridge }: DataCentrePlan): string {
  return external_bridge ? PUBLIC_GATEWAY : OUTSIDE_ADDRESSES[0]!.split('/')[0]!;
}

/** The segment that leads to the outside, and the NIC on it: `physnet` joins all hosts, `public` only the hub. */
export function segmentOf({ external_bridge }: DataCentrePlan): { name: string; nic: string; suffix: string } {
  return external_bridge ? { name: 'public', nic: 'public', suffix: 'pub' } : { name: 'physnet', nic: 'phys', suffix: 'phys' };
}

function segmentWire(plan: DataCentrePlan, host: string): string {
  return `${host}-${segmentOf(plan).suffix}`;
}

function segmentWireLines(plan: DataCentrePlan, wire: string, pid: number): string[] {
  const { name, nic } = segmentOf(plan);
  return [...vethLines(wire, { name: nic, mtu: plan.physnet_mtu, pid }), `link set ${wire} master ${name} up`];
}

function vethLines(name: string, peer: { name: string; mtu: number; pid: number }): string[] {
  return [`link add ${name} mtu ${peer.mtu} type veth peer name ${peer.name} mtu ${peer.mtu} netns ${peer.pid}`];
}

/** A shell script that prepares the fabric's own namespace before it has links. */
export const FABRIC_SYSCTLS = `
echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
echo 1 >/proc/sys/net/ipv4/conf/all/rp_filter
for call in iptables ip6tables arptables; do
  ! [ -e /proc/sys/net/bridge/bridge-nf-call-$call ] || echo 0 >/proc/sys/net/bridge/bridge-nf-call-$call
done
`;

/**
 * A shell script for new wires. Only underlay links forward: a guest that sends an IP packet to the MAC of the bridge reaches nothing.
 * Without checksum offload everywhere, TCP through userspace OVS does not even connect (dataplane.md trap 1).
 */
export function wireScript(plan: DataCentrePlan, hosts: readonly HostPlan[]): string {
  const wires = hosts.map((host) => wireNames(plan, host));
  const ends = wires.flatMap(({ segment, underlay }) => (segment ? [segment, underlay] : [underlay]));
  return [
    ...wires.map(({ underlay }) => `echo 1 >/proc/sys/net/ipv4/conf/${underlay}/forwarding`),
    `for end in ${[segmentWire(plan, 'outside'), ...ends].join(' ')}; do ethtool -K $end tx off >/dev/null; done`,
  ].join('\n');
}

/** A shell script for the kernel's side of a host. */
export function hostLinkScript({ external_bridge }: DataCentrePlan, host: HostPlan): string {
  const nics = external_bridge ? ['underlay'] : ['phys', 'underlay'];
  return `
for nic in ${nics.join(' ')}; do ethtool -K $nic tx off >/dev/null; ip link set $nic up; done
ip -batch - <<'BATCH'
address replace ${host.mgmt_ip}/24 dev mgmt
link set mgmt up
BATCH
`;
}

/**
 * A shell script for the outside: its leg on the segment, and the Internet on a stub interface. IPv6 is on for the outside only: it
 * takes no router's word for anything, and is no router itself.
 */
export function outsideLinkScript({ external_bridge }: DataCentrePlan): string {
  if (external_bridge) return outsideGatewayScript(addressLines(INTERNET_ADDRESSES.filter((address) => !address.includes(':')), 'internet'));
  return `
ethtool -K phys tx off >/dev/null
ip link add internet type bridge
for nic in phys internet; do
  echo 0 >/proc/sys/net/ipv6/conf/$nic/accept_ra
  echo 0 >/proc/sys/net/ipv6/conf/$nic/disable_ipv6
done
ip -batch - <<'BATCH'
${addressLines(OUTSIDE_ADDRESSES, 'phys')}
link set phys up
${addressLines(INTERNET_ADDRESSES, 'internet')}
link set internet up
BATCH
`;
}

function addressLines(addresses: readonly string[], device: string): string {
  return addresses.map((address) => `address add ${address} dev ${device}${address.includes(':') ? ' nodad' : ''}`).join('\n');
}
