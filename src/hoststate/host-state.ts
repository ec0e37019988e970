/**
 * HostState: all that one host shall hold, as a keyed map of items. Compile emits it, the agent realises it, the
 * tracer reads it. Printed in a deterministic order, so that two states can be compared as text.
 */
import type { DhcpHostItem, DhcpServerItem } from './dhcp.ts';
import type { InstanceItem } from './instance.ts';
import type { LogItem } from './log.ts';
import type { MemberItem, PortItem, RuleItem } from './port.ts';
import type { FloatingIpItem, PortForwardingItem, RouterItem, RouterPortItem } from './router.ts';
import type { FloodItem, ForwardItem, PhysnetItem, SegmentItem, TunnelItem } from './switching.ts';

export type Item =
  | PhysnetItem | SegmentItem | TunnelItem | FloodItem | ForwardItem
  | PortItem | RuleItem | MemberItem | LogItem
  | DhcpServerItem | DhcpHostItem
  | RouterItem | RouterPortItem | FloatingIpItem | PortForwardingItem
  | InstanceItem;
export type ItemType = Item['type'];
export type ItemOf<T extends ItemType> = Extract<Item, { type: T }>;

export type HostState = ReadonlyMap<string, Item>;

/** The key of an item: its type and what identifies it. Keys of one type sort next to each other. */
export function keyOf(item: Item): string {
  switch (item.type) {
    case 'physnet': return `physnet/${item.physical_network}`;
    case 'segment': return `segment/${item.network_id}`;
    case 'tunnel': return `tunnel/${item.network_type}/${item.remote_ip}`;
    case 'flood': return `flood/${item.network_id}/${item.remote_ip}`;
    case 'forward': return `forward/${item.network_id}/${item.port_id}`;
    case 'port': return `port/${item.port_id}`;
    case 'rule': return `rule/${item.security_group_id}/${item.rule_id}`;
    case 'member': return `member/${item.set_id}/${item.address}`;
    case 'log': return `log/${item.port_id}/${item.log_id}`;
    case 'dhcp-server': return `dhcp-server/${item.network_id}`;
    case 'dhcp-host': return `dhcp-host/${item.network_id}/${item.port_id}`;
    case 'router': return `router/${item.router_id}`;
    case 'router-port': return `router-port/${item.router_id}/${item.port_id}`;
    case 'floating-ip': return `floating-ip/${item.router_id}/${item.floatingip_id}`;
    case 'port-forwarding': return `port-forwarding/${item.router_id}/${item.port_forwarding_id}`;
    case 'instance': return `instance/${item.server_id}`;
  }
}

export interface Delta {
  readonly upserts: readonly Item[];
  /** Keys. */
  readonly removals: readonly string[];
}

/** What turns `before` into `after`; equal items are left out. */
export function diffStates(before: HostState, after: HostState): Delta {
  const upserts: Item[] = [];
  for (const [key, item] of after) if (!sameItem(before.get(key), item)) upserts.push(item);
  const removals = [...before.keys()].filter((key) => !after.has(key));
  return { upserts, removals };
}

export function sameItem(a: Item | undefined, b: Item | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && JSON.stringify(a) === JSON.stringify(b));
}

/** One line an item, sorted by key: `port/… {json}`. */
export function printState(state: HostState): string {
  return [...state.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, item]) => `${key} ${JSON.stringify(item)}`).join('\n');
}
