/**
 * Hosts that share no segment (lab 10): an external bridge on each, joined by VXLAN around a hub that routes between it and the world.
 * Names, addresses and rules are those of the openstack-labs' roles vxlan_bridge, vxlan_node and router.
 */
import type { ExternalBridge } from '#model/data-centre.ts';
import type { DataCentrePlan, HostPlan } from './plan.ts';

/** The hub's NIC `public`, and the lab host behind it: what VirtualBox gives each of its guests. */
const PUBLIC_ADDRESS = '10.0.2.15/24';
export const PUBLIC_GATEWAY = '10.0.2.2';
/** The lab host's own network, where its cable modem router is the way on. */
const HOME_ADDRESS = '192.168.178.20/24';
const MODEM = '192.168.178.1';
/** The named network namespace of the outside with all that is behind the lab host. */
export const MODEM_NAMESPACE = 'modem';

/** Commands of ovs-vsctl that give br-phys of a host its way out: the NIC, or the external bridge. Idempotent. */
export function uplinkCommands(plan: DataCentrePlan, host: HostPlan): string[] {
  const bridge = plan.external_bridge;
  if (!bridge) return ['--', '--may-exist', 'add-port', 'br-phys', 'phys'];
  const peers = plan.hosts.filter(({ name }) => (host.name === bridge.hub) !== (name === bridge.hub));
  const port = (on: string, name: string, ...settings: string[]) => ['--', '--may-exist', 'add-port', on, name, '--', 'set', 'Interface', name, ...settings];
  return [
    // The mark tells the next boot's host-services.sh what to make anew.
    '--', '--may-exist', 'add-br', bridge.name, '--', 'set', 'Bridge', bridge.name, 'datapath_type=netdev', 'fail_mode=standalone', 'external_ids:patchbay-uplink=true',
    '--', 'set', 'Interface', bridge.name, `mtu_request=${bridge.mtu}`,
    ...port(bridge.name, 'patch-br-phys', 'type=patch', `options:peer=patch-${bridge.name}`),
    ...port('br-phys', `patch-${bridge.name}`, 'type=patch', 'options:peer=patch-br-phys'),
    ...peers.flatMap(({ local_ip }) => port(bridge.name, `vxlan-${local_ip}`, 'type=vxlan', `options:local_ip=${host.local_ip}`, `options:remote_ip=${local_ip}`, `options:key=${bridge.vni}`)),
  ];
}

/**
 * A shell script for the kernel's side of the hub before its switch runs: leg, firewall, then forwarding. The rules are the labs' in nft's
 * words. What instances send must not reach the hosts' own networks, which the hub is on and the labs' FORWARD chain would let it to.
 */
export function gatewayScript({ name }: ExternalBridge): string {
  return `
ethtool -K public tx off >/dev/null
echo 1 >/proc/sys/net/ipv4/conf/public/rp_filter
ip -batch - <<'BATCH'
rule add iif ${name} to 192.168.1.0/24 prohibit
rule add iif ${name} to 192.168.2.0/24 prohibit
address add ${PUBLIC_ADDRESS} dev public
link set public up
route add default via ${PUBLIC_GATEWAY} dev public
BATCH
nft -f - <<'NFT'
${gatewayRules(name)}
NFT
echo 1 >/proc/sys/net/ipv4/ip_forward
`;
}

/** N-NN-7…9. The policy of INPUT stays accept: management and underlay come in there too. */
function gatewayRules(bridge: string): string {
  return `table ip nat {
  chain POSTROUTING {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "public" masquerade
  }
}
table ip filter {
  chain INPUT {
    type filter hook input priority filter; policy accept;
    iifname "public" tcp dport 22 accept
    iifname "public" ct state related,established accept
    iifname "public" drop
    iifname "${bridge}" ct state related,established accept
    iifname "${bridge}" ip protocol icmp accept
    iifname "${bridge}" drop
  }
  chain FORWARD {
    type filter hook forward priority filter; policy drop;
    iifname "${bridge}" accept
    iifname "public" ct state related,established accept
  }
}`;
}

/** A shell script for the hub when its switch runs. Its tap is persistent: the address outlives a killed ovs-vswitchd. */
export function hubAddressScript({ name, address }: ExternalBridge): string {
  return `
echo 1 >/proc/sys/net/ipv4/conf/${name}/rp_filter
ip -batch - <<'BATCH'
address replace ${address} dev ${name}
link set ${name} up
BATCH
`;
}

/**
 * A shell script for the outside as the lab host: between the hub's public leg and its own home network it masquerades once more.
 * Behind its modem is the Internet; `internetAddresses` are `ip -batch` lines for the stub that stands for it.
 */
export function outsideGatewayScript(internetAddresses: string): string {
  return `
ethtool -K public tx off >/dev/null
ip netns add ${MODEM_NAMESPACE}
ip -batch - <<'BATCH'
address add ${PUBLIC_GATEWAY}/24 dev public
link set public up
link add home type veth peer name home netns ${MODEM_NAMESPACE}
address add ${HOME_ADDRESS} dev home
link set home up
route add default via ${MODEM} dev home
BATCH
ip -n ${MODEM_NAMESPACE} -batch - <<'BATCH'
link set lo up
address add ${MODEM}/24 dev home
link set home up
link add internet type bridge
${internetAddresses}
link set internet up
BATCH
nft -f - <<'NFT'
table ip nat {
  chain POSTROUTING {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "home" masquerade
  }
}
NFT
echo 1 >/proc/sys/net/ipv4/ip_forward
`;
}
