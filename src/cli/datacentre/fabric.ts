/**
 * The wires between simulated hosts, in a network namespace of their own: `physnet`, one L2 segment; `mgmt`, another; and the underlay,
 * one point-to-point link per host with a router between them, so that tunnel endpoints share no segment (N-NN-3).
 * Links are born in the namespaces they belong to: the machine's own never sees one.
 */
import type { HostPlan } from './plan.ts';

export const UNDERLAY_GATEWAY = '192.168.2.1';
export const OUTSIDE_ADDRESS = '172.16.0.1/24';
/** Stands for the Internet. */
export const INTERNET_ADDRESS = '203.0.113.1/24';
const MGMT_ADDRESS = '192.168.1.1/24';
/** A tunnelled packet of the physical MTU fits with VXLAN's 50, GENEVE's or IPv6's overhead. */
const TUNNEL_ROOM = 100;

/** `ip -batch` lines that make the two segments, inside the fabric's namespace. */
export function segmentLines(mtu: number): string[] {
  return [
    // No snooping: a dumb wire passes all multicast. No ARP: the bridge device is not a station.
    `link add physnet mtu ${mtu} type bridge mcast_snooping 0`,
    'link set physnet arp off up',
    'link add mgmt type bridge mcast_snooping 0',
    `address add ${MGMT_ADDRESS} dev mgmt`,
    'link set mgmt up',
  ];
}

/** `ip -batch` lines that wire a host, inside the fabric's namespace; `pid` is the host's init. */
export function hostWireLines(host: HostPlan, pid: number, mtu: number): string[] {
  const [phys, underlay, mgmt] = wireNames(host);
  const underlayMtu = mtu + TUNNEL_ROOM;
  return [
    ...vethLines(phys, { name: 'phys', mtu, pid }),
    `link set ${phys} master physnet up`,
    ...vethLines(mgmt, { name: 'mgmt', mtu: 1500, pid }),
    `link set ${mgmt} master mgmt up`,
    ...vethLines(underlay, { name: 'underlay', mtu: underlayMtu, pid }),
    `address add ${UNDERLAY_GATEWAY}/32 dev ${underlay}`,
    `link set ${underlay} up`,
    `route add ${host.local_ip}/32 dev ${underlay} src ${UNDERLAY_GATEWAY}`,
  ];
}

/** The fabric's ends of a host's NICs phys, underlay and mgmt, in this order. */
export function wireNames(host: HostPlan): [phys: string, underlay: string, mgmt: string] {
  return [`${host.name}-phys`, `${host.name}-ul`, `${host.name}-mgmt`];
}

/** `ip -batch` lines that put the outside on the physical segment. */
export function outsideWireLines(pid: number, mtu: number): string[] {
  return [...vethLines('outside-phys', { name: 'phys', mtu, pid }), 'link set outside-phys master physnet up'];
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
export function wireScript(hosts: readonly HostPlan[]): string {
  const ends = hosts.flatMap((host) => wireNames(host).slice(0, 2));
  return [
    ...hosts.map((host) => `echo 1 >/proc/sys/net/ipv4/conf/${wireNames(host)[1]}/forwarding`),
    `for end in ${['outside-phys', ...ends].join(' ')}; do ethtool -K $end tx off >/dev/null; done`,
  ].join('\n');
}

/** A shell script for the kernel's side of a compute host. */
export function hostLinkScript(host: HostPlan): string {
  return `
ethtool -K phys tx off >/dev/null
ethtool -K underlay tx off >/dev/null
ip -batch - <<'BATCH'
link set phys up
link set underlay up
address replace ${host.mgmt_ip}/24 dev mgmt
link set mgmt up
BATCH
`;
}

/** A shell script for the outside: its leg on the segment, and the Internet on a stub interface. */
export const OUTSIDE_LINK_SCRIPT = `
ethtool -K phys tx off >/dev/null
ip -batch - <<'BATCH'
address add ${OUTSIDE_ADDRESS} dev phys
link set phys up
link add internet type bridge
address add ${INTERNET_ADDRESS} dev internet
link set internet up
BATCH
`;
