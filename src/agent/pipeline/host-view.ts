/** HostState as the pipeline reads it: items with the indexes that tell what else a change concerns. */
import { type Item, type ItemOf, type ItemType, keyOf } from '#hoststate/host-state.ts';
import type { LogItem } from '#hoststate/log.ts';
import { type PortItem, remoteSet, type RuleItem } from '#hoststate/port.ts';
import type { FloodItem, ForwardItem } from '#hoststate/switching.ts';

/** Where things are plugged into the bridges right now: OVS decides, the agent reads. */
export interface OfPorts {
  /** br-int: by Neutron port id. */
  readonly port: (portId: string) => number | undefined;
  /** Patch ports by name and bridge side: `int-br-phys`, `phy-br-phys`, `patch-tun`, `patch-int`. */
  readonly patch: (name: string) => number | undefined;
  /** br-tun: by type and remote endpoint. */
  readonly tunnel: (type: string, remoteIp: string) => number | undefined;
}

export class HostView {
  readonly #items = new Map<string, Item>();
  readonly #ofType = new Map<string, Map<string, Item>>();
  readonly #portsOfNetwork = new Map<string, Map<string, PortItem>>();
  readonly #portsOfGroup = new Map<string, Map<string, PortItem>>();
  readonly #rulesOfGroup = new Map<string, Map<string, RuleItem>>();
  readonly #rulesOfSet = new Map<string, Map<string, RuleItem>>();
  readonly #setsOfAddress = new Map<string, Set<string>>();
  readonly #addressesOfSet = new Map<string, Set<string>>();
  readonly #logsOfPort = new Map<string, Map<string, LogItem>>();
  readonly #floodsOfNetwork = new Map<string, Map<string, FloodItem>>();
  readonly #forwardsOfNetwork = new Map<string, Map<string, ForwardItem>>();
  readonly #behindPeer = new Map<string, Map<string, FloodItem | ForwardItem>>();

  get<T extends ItemType>(type: T, ...parts: string[]): ItemOf<T> | undefined {
    return this.#items.get(`${type}/${parts.join('/')}`) as ItemOf<T> | undefined;
  }

  items(): ReadonlyMap<string, Item> {
    return this.#items;
  }

  /** Costs nothing for items of other types: what is asked at every change must not pass over all members of all groups. */
  all<T extends ItemType>(type: T): Iterable<ItemOf<T>> {
    return (this.#ofType.get(type)?.values() ?? []) as Iterable<ItemOf<T>>;
  }

  portsOfNetwork(id: string): PortItem[] {
    return sorted(this.#portsOfNetwork.get(id));
  }
  portsOfGroup(id: string): Iterable<PortItem> {
    return this.#portsOfGroup.get(id)?.values() ?? [];
  }
  rulesOfGroup(id: string): Iterable<RuleItem> {
    return this.#rulesOfGroup.get(id)?.values() ?? [];
  }
  rulesOfSet(id: string): RuleItem[] {
    return sorted(this.#rulesOfSet.get(id));
  }
  setsOfAddress(address: string): Iterable<string> {
    return this.#setsOfAddress.get(address) ?? [];
  }
  addressesOfSet(id: string): Iterable<string> {
    return this.#addressesOfSet.get(id) ?? [];
  }
  logsOfPort(id: string): LogItem[] {
    return sorted(this.#logsOfPort.get(id));
  }
  floodsOfNetwork(id: string): FloodItem[] {
    return sorted(this.#floodsOfNetwork.get(id));
  }
  forwardsOfNetwork(id: string): Iterable<ForwardItem> {
    return this.#forwardsOfNetwork.get(id)?.values() ?? [];
  }

  /** What leads through the tunnels to a host. */
  behindPeer(remoteIp: string): Iterable<FloodItem | ForwardItem> {
    return this.#behindPeer.get(remoteIp)?.values() ?? [];
  }

  put(item: Item): Item | undefined {
    const key = keyOf(item);
    const before = this.remove(key);
    this.#items.set(key, item);
    this.#index(item, key, true);
    return before;
  }

  remove(key: string): Item | undefined {
    const item = this.#items.get(key);
    if (!item) return undefined;
    this.#index(item, key, false);
    this.#items.delete(key);
    return item;
  }

  #index(item: Item, key: string, add: boolean): void {
    enter(this.#ofType, item.type, key, item, add);
    if (item.type === 'flood' || item.type === 'forward') enter(this.#behindPeer, item.remote_ip, key, item, add);
    switch (item.type) {
      case 'port':
        enter(this.#portsOfNetwork, item.network_id, key, item, add);
        for (const group of item.security_groups) enter(this.#portsOfGroup, group, key, item, add);
        return;
      case 'rule': {
        enter(this.#rulesOfGroup, item.security_group_id, key, item, add);
        const set = remoteSet(item);
        if (set !== null) enter(this.#rulesOfSet, set, key, item, add);
        return;
      }
      case 'member':
        include(this.#setsOfAddress, item.address, item.set_id, add);
        include(this.#addressesOfSet, item.set_id, item.address, add);
        return;
      case 'log': return enter(this.#logsOfPort, item.port_id, key, item, add);
      case 'flood': return enter(this.#floodsOfNetwork, item.network_id, key, item, add);
      case 'forward': return enter(this.#forwardsOfNetwork, item.network_id, key, item, add);
      default:
    }
  }
}

function enter<T>(index: Map<string, Map<string, T>>, at: string, key: string, item: T, add: boolean): void {
  let row = index.get(at);
  if (add) {
    if (!row) index.set(at, (row = new Map()));
    row.set(key, item);
  } else if (row?.delete(key) && row.size === 0) index.delete(at);
}

function include(index: Map<string, Set<string>>, at: string, value: string, add: boolean): void {
  let row = index.get(at);
  if (add) {
    if (!row) index.set(at, (row = new Set()));
    row.add(value);
  } else if (row?.delete(value) && row.size === 0) index.delete(at);
}

/** By key: lists inside one flow must not depend on the order of events. */
function sorted<T>(row: Map<string, T> | undefined): T[] {
  return row ? [...row.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, item]) => item) : [];
}
