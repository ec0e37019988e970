/**
 * Owners of flows: each item or group of items that flows stand for. Says which owners a change concerns, and what
 * lines an owner wants on each bridge. Both are functions of the view, so an agent without memory wants the same.
 */
import type { Item } from '#hoststate/host-state.ts';
import { type PortItem, remoteSet } from '#hoststate/port.ts';
import { intBridgeBase, physBridgeBase, physPatchFlows, tunBridgeBase, tunnelFlows } from './base-flows.ts';
import { forwardFlows, networkFloodFlows } from './forward-flows.ts';
import type { HostView, OfPorts } from './host-view.ts';
import { logFlows } from './log-flows.ts';
import { portFlows } from './port-flows.ts';
import { conjunctionFlows, memberFlows } from './rule-flows.ts';
import { type BridgeLines, segmentFlows } from './segment-flows.ts';

/** The owners whose lines may differ once `item` has come, changed or gone. Ask with the old and with the new item. */
export function* ownersOf(view: HostView, item: Item): Iterable<string> {
  switch (item.type) {
    case 'physnet':
      yield `physnet/${item.physical_network}`;
      for (const segment of view.all('segment')) if (segment.physical_network === item.physical_network) yield `segment/${segment.network_id}`;
      return;
    case 'segment':
      yield `segment/${item.network_id}`;
      yield `flood/${item.network_id}`;
      for (const port of view.portsOfNetwork(item.network_id)) yield* portOwners(port.port_id);
      for (const forward of view.forwardsOfNetwork(item.network_id)) yield `forward/${item.network_id}/${forward.port_id}`;
      return;
    case 'tunnel':
      yield* tunnelOwners(view, item.network_type, item.remote_ip);
      return;
    case 'flood': return yield `flood/${item.network_id}`;
    case 'forward': return yield `forward/${item.network_id}/${item.port_id}`;
    case 'port':
      yield* portOwners(item.port_id);
      yield `segment/${item.network_id}`;
      if (view.logsOfPort(item.port_id).length > 0) yield* remoteRules(view, item);
      return;
    case 'rule': {
      yield `rule/${item.security_group_id}/${item.rule_id}`;
      for (const port of view.portsOfGroup(item.security_group_id)) yield `port/${port.port_id}`;
      const set = remoteSet(item);
      if (set !== null) for (const address of view.addressesOfSet(set)) yield `member/${address}`;
      return;
    }
    case 'log': {
      yield* portOwners(item.port_id);
      const port = view.get('port', item.port_id);
      if (port) yield* remoteRules(view, port);
      return;
    }
    case 'member': return yield `member/${item.address}`;
    default:
  }
}

/** A port itself. */
export function* portOwners(portId: string): Iterable<string> {
  yield `port/${portId}`;
  yield `log/${portId}`;
}

/** The rules whose own flow says which of them admits, where a port that has their group is logged. */
function* remoteRules(view: HostView, port: PortItem): Iterable<string> {
  for (const group of port.security_groups) for (const rule of view.rulesOfGroup(group)) if (remoteSet(rule) !== null) yield `rule/${group}/${rule.rule_id}`;
}

/** What depends on the tunnel port of a peer. */
export function* tunnelOwners(view: HostView, type: string, remoteIp: string): Iterable<string> {
  yield `tunnel/${type}/${remoteIp}`;
  for (const item of view.behindPeer(remoteIp)) yield item.type === 'flood' ? `flood/${item.network_id}` : `forward/${item.network_id}/${item.port_id}`;
}

/** Every owner there is: after the patches of the bridges have changed. */
export function* allOwners(view: HostView): Iterable<string> {
  yield 'base';
  for (const item of view.items().values()) yield* ownersOf(view, item);
}

/** What `owner` wants, bridge by bridge. */
export function linesOf(view: HostView, ofports: OfPorts, owner: string): BridgeLines[] {
  const [kind = '', ...parts] = owner.split('/');
  const [a = '', b = ''] = parts;
  const on = (bridge: string, lines: string[]): BridgeLines[] => [{ bridge, lines }];
  switch (kind) {
    case 'base': return [...on('br-int', intBridgeBase()), ...on('br-tun', tunBridgeBase(ofports))];
    case 'physnet': {
      const bridge = view.get('physnet', a)?.bridge;
      return bridge === undefined ? [] : [...on(bridge, physBridgeBase(bridge, ofports)), ...on('br-int', physPatchFlows(bridge, ofports))];
    }
    case 'segment': return segmentFlows(view, ofports, a);
    case 'tunnel': return view.get('tunnel', a, b) ? on('br-tun', tunnelFlows(a, ofports.tunnel(a, b))) : [];
    case 'flood': return on('br-tun', networkFloodFlows(view, ofports, a));
    case 'forward': return on('br-tun', forwardFlows(view, ofports, a, b));
    case 'port': return on('br-int', portFlows(view, ofports, a));
    case 'log': return on('br-int', logFlows(view, ofports, a));
    case 'rule': return on('br-int', conjunctionFlows(view, a, b));
    case 'member': return on('br-int', memberFlows(view, parts.join('/')));
    default: return [];
  }
}
