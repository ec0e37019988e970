/** One host's state as the tracer asks it: made in one pass when a packet first comes to the host. */
import type { DhcpServerItem } from '#hoststate/dhcp.ts';
import type { HostState } from '#hoststate/host-state.ts';
import type { PortItem, RuleItem } from '#hoststate/port.ts';
import type { FloatingIpItem, PortForwardingItem, RouterItem, RouterPortItem } from '#hoststate/router.ts';
import type { FloodItem, ForwardItem, PhysnetItem, SegmentItem, TunnelItem } from '#hoststate/switching.ts';
import { ROUTER_PORT_OWNERS } from '#model/routers.ts';
import { type Cidr, cidrContains, parseCidr } from '#net/cidr.ts';
import type { Ip } from '#net/ip.ts';

/** A router on this host with all that hangs on it. */
export interface TracedRouter {
  readonly router: RouterItem;
  readonly legs: readonly RouterPortItem[];
  readonly floatingIps: readonly FloatingIpItem[];
  readonly forwardings: readonly PortForwardingItem[];
}

export class HostIndex {
  readonly host: string;
  readonly #state: HostState;
  readonly #portsOfNetwork = new Map<string, PortItem[]>();
  readonly #rulesOfGroup = new Map<string, RuleItem[]>();
  /** Members of sets that are more than one address. */
  readonly #prefixesOfSet = new Map<string, Cidr[]>();
  readonly #forwardsOfNetwork = new Map<string, ForwardItem[]>();
  readonly #floodsOfNetwork = new Map<string, FloodItem[]>();
  readonly #tunnels: TunnelItem[] = [];
  readonly #legOfPort = new Map<string, RouterPortItem>();
  readonly #legsOfRouter = new Map<string, RouterPortItem[]>();
  readonly #floatingIpsOfRouter = new Map<string, FloatingIpItem[]>();
  readonly #forwardingsOfRouter = new Map<string, PortForwardingItem[]>();

  constructor(host: string, state: HostState) {
    this.host = host;
    this.#state = state;
    for (const item of state.values()) {
      switch (item.type) {
        case 'port': push(this.#portsOfNetwork, item.network_id, item); break;
        case 'rule': push(this.#rulesOfGroup, item.security_group_id, item); break;
        case 'member': {
          const cidr = item.address.includes('/') ? parseCidr(item.address) : undefined;
          if (cidr) push(this.#prefixesOfSet, item.set_id, cidr);
          break;
        }
        case 'forward': push(this.#forwardsOfNetwork, item.network_id, item); break;
        case 'flood': push(this.#floodsOfNetwork, item.network_id, item); break;
        case 'tunnel': this.#tunnels.push(item); break;
        case 'router-port': {
          this.#legOfPort.set(item.port_id, item);
          push(this.#legsOfRouter, item.router_id, item);
          break;
        }
        case 'floating-ip': push(this.#floatingIpsOfRouter, item.router_id, item); break;
        case 'port-forwarding': push(this.#forwardingsOfRouter, item.router_id, item); break;
        default:
      }
    }
  }

  port = (id: string): PortItem | undefined => this.#state.get(`port/${id}`) as PortItem | undefined;
  segment = (networkId: string): SegmentItem | undefined => this.#state.get(`segment/${networkId}`) as SegmentItem | undefined;
  physnet = (name: string): PhysnetItem | undefined => this.#state.get(`physnet/${name}`) as PhysnetItem | undefined;
  dhcpServer = (networkId: string): DhcpServerItem | undefined => this.#state.get(`dhcp-server/${networkId}`) as DhcpServerItem | undefined;
  ports = (networkId: string): readonly PortItem[] => this.#portsOfNetwork.get(networkId) ?? [];
  rules = (groupId: string): readonly RuleItem[] => this.#rulesOfGroup.get(groupId) ?? [];
  forwards = (networkId: string): readonly ForwardItem[] => this.#forwardsOfNetwork.get(networkId) ?? [];
  floods = (networkId: string): readonly FloodItem[] => this.#floodsOfNetwork.get(networkId) ?? [];
  leg = (portId: string): RouterPortItem | undefined => this.#legOfPort.get(portId);
  networks = (): Iterable<string> => this.#portsOfNetwork.keys();

  /** The host at the other end of a tunnel, if there is one. */
  tunnelTo(type: string, remoteIp: string): string | undefined {
    return (this.#state.get(`tunnel/${type}/${remoteIp}`) as TunnelItem | undefined)?.host;
  }

  /** Whether this host takes what `host` sends through a tunnel. */
  hasTunnelFrom(type: string, host: string): boolean {
    return this.#tunnels.some((tunnel) => tunnel.network_type === type && tunnel.host === host);
  }

  /** True when the set holds the address, by itself or in a prefix. `ip` is `address` parsed. */
  inSet(setId: string, address: string, ip: Ip): boolean {
    return this.#state.has(`member/${setId}/${address}`) || (this.#prefixesOfSet.get(setId) ?? []).some((cidr) => cidrContains(cidr, ip));
  }

  router(id: string): TracedRouter | undefined {
    const router = this.#state.get(`router/${id}`) as RouterItem | undefined;
    return router && {
      router, legs: this.#legsOfRouter.get(id) ?? [], floatingIps: this.#floatingIpsOfRouter.get(id) ?? [], forwardings: this.#forwardingsOfRouter.get(id) ?? [],
    };
  }

  /** True when frames reach the port: it is switched on, and what stands behind a port of ours is there. */
  isWired(port: PortItem): boolean {
    if (!port.admin_state_up) return false;
    if (isRouterLeg(port)) return this.#legOfPort.has(port.port_id);
    return port.device_owner !== 'network:dhcp' || this.dhcpServer(port.network_id)?.port_id === port.port_id;
  }
}

/** A port whose other end is a router. */
export const isRouterLeg = ({ device_owner }: PortItem): boolean => ROUTER_PORT_OWNERS.has(device_owner);

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}
