/** Changing and deleting ports. */
import type { Config } from '#model/config.ts';
import { ApiError } from '#model/errors.ts';
import { type FixedIp, type Network, network, type Port, port, subnet } from '#model/networks.ts';
import type { Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { Context } from '../http/context.ts';
import { bindingFor } from './binding.ts';
import { dnsDomain, dnsName } from './dns-names.ts';
import { releaseLostAddresses, releasePorts } from './floating-ip-release.ts';
import { changeAddresses, lockNetwork, releaseAddresses } from './ipam.ts';
import { releaseLogs } from './log-release.ts';
import { macsInUse } from './mac-addresses.ts';
import { addressPairs, checkFixedIps, checkMac, dhcpOptions } from './port-attributes.ts';
import { insertMemberships } from './port-create.ts';
import { isNetworkService, requirePortPolicy } from './port-policy.ts';
import type { Given } from './rule.ts';
import { groupsOf, refuseMixed, requireGroups } from './security-groups.ts';

const networks = new Table(network);
const subnets = new Table(subnet);
const ports = new Table(port);

type Changes = Given<typeof port>;

/** Changes a port. A new host, or the same one after a failure, binds it again; it is DOWN until the host reports. */
export async function updatePort(tx: Tx, config: Config, context: Context, found: Port, asked: Changes): Promise<Port> {
  await lockNetwork(tx, found.network_id);
  const current = await ports.get(tx, found.id);
  const home = await networks.get(tx, found.network_id);
  if (!current || !home) throw new ApiError('PortNotFound', { id: found.id });
  await requirePortPolicy(tx, context, home, 'update', asked);
  // Somebody else has given it to a device meanwhile.
  if (asked.device_id !== undefined && current.device_id !== found.device_id) throw new ApiError('PortInUse', { id: current.id, network_id: current.network_id, device_id: current.device_id });
  const changes: Changes = { ...asked };
  if (asked.extra_dhcp_opts) changes.extra_dhcp_opts = dhcpOptions(asked.extra_dhcp_opts, current.extra_dhcp_opts);
  if (asked.dns_name !== undefined) changes.dns_name = dnsName(config, asked.dns_name);
  if (asked.dns_domain !== undefined) changes.dns_domain = dnsDomain(asked.dns_domain);
  const mac_address = asked.mac_address ?? current.mac_address;
  if (mac_address !== current.mac_address) await checkNewMac(tx, current, mac_address);
  if (asked.allowed_address_pairs) changes.allowed_address_pairs = addressPairs(asked.allowed_address_pairs, mac_address, config.max_allowed_address_pair);
  checkSecurity(current, changes);
  await changeGroups(tx, context, current, asked.security_groups);
  if (asked.fixed_ips || mac_address !== current.mac_address) changes.fixed_ips = await newAddresses(tx, config, current, { ...asked, mac_address });
  if (changes.fixed_ips) await releaseLostAddresses(tx, current, changes.fixed_ips as FixedIp[]);
  Object.assign(changes, await newBinding(tx, config, home, current, asked));
  return ports.update(tx, current, changes);
}

/**
 * Deletes ports with all that hangs on them; their addresses are free at once. Throws ApiError FipAssociated when
 * `context` is given and a floating IP that is not its own leads to one of them.
 */
export async function deletePorts(tx: Tx, gone: readonly Pick<Port, 'id' | 'network_id'>[], context?: Context): Promise<void> {
  for (const [networkId, found] of [...Map.groupBy(gone, (one) => one.network_id)].sort(([a], [b]) => (a < b ? -1 : 1))) {
    await lockNetwork(tx, networkId);
    const own = await subnets.list(tx, { filters: { network_id: [networkId] } });
    for (const { id } of found) {
      const current = await ports.get(tx, id);
      if (!current) continue;
      await releaseAddresses(tx, own, current.fixed_ips as FixedIp[]);
      await tx.db.deleteFrom('port_security_groups').where('port_id', '=', id).execute();
      const served = await tx.db.deleteFrom('network_dhcp_bindings').where('port_id', '=', id).returning('host').execute();
      for (const { host } of served) tx.record('network_dhcp_bindings', `${networkId}/${host}`, 'delete');
      await releaseLogs(tx, 'target_id', id);
      await ports.delete(tx, id);
    }
  }
  await releasePorts(tx, gone.map(({ id }) => id), context);
}

async function newAddresses(tx: Tx, config: Config, current: Port, asked: Changes & { mac_address: string }): Promise<FixedIp[]> {
  const device_owner = asked.device_owner ?? current.device_owner;
  const fixed_ips = asked.fixed_ips ?? current.fixed_ips;
  checkFixedIps(fixed_ips, isNetworkService(device_owner) ? Infinity : config.max_fixed_ips_per_port);
  const own = await subnets.list(tx, { filters: { network_id: [current.network_id] } });
  return changeAddresses(tx, current.network_id, own, current.fixed_ips as FixedIp[], { port_id: current.id, mac_address: asked.mac_address, device_owner, fixed_ips });
}

async function newBinding(tx: Tx, config: Config, home: Network, current: Port, asked: Changes): Promise<Changes> {
  const host = asked['binding:host_id'] ?? current['binding:host_id'];
  const vnicType = asked['binding:vnic_type'] ?? current['binding:vnic_type'];
  const moved = host !== current['binding:host_id'] || vnicType !== current['binding:vnic_type'];
  const again = asked['binding:host_id'] !== undefined && current['binding:vif_type'] === 'binding_failed';
  return moved || again ? { ...(await bindingFor(tx, config, home, host, vnicType)), status: 'DOWN' } : {};
}

async function checkNewMac(tx: Tx, current: Port, mac: string): Promise<void> {
  checkMac(mac);
  if (current['binding:vif_type'] === 'ovs') throw new ApiError('PortBound', { port_id: current.id, vif_type: 'ovs', old_mac: current.mac_address, new_mac: mac });
  if ((await macsInUse(tx, current.network_id, [mac])).size > 0) throw new ApiError('MacAddressInUse', { network_id: current.network_id, mac });
}

/** Without port security neither groups nor address pairs mean anything, so they have to go first or with it (N-SG-2). */
function checkSecurity(current: Port, changes: Changes): void {
  if (changes.port_security_enabled ?? current.port_security_enabled) return;
  if ((changes.allowed_address_pairs ?? current.allowed_address_pairs).length > 0) throw new ApiError('AddressPairAndPortSecurityRequired');
  if ((changes.security_groups ?? []).length > 0) throw new ApiError('PortSecurityAndIPRequiredForSecurityGroups');
  if (!changes.security_groups && current.security_groups.length > 0) throw new ApiError('PortSecurityPortHasSecurityGroup');
}

async function changeGroups(tx: Tx, context: Context, current: Port, wanted: readonly string[] | undefined): Promise<void> {
  if (!wanted) return;
  const added = wanted.filter((id) => !current.security_groups.includes(id));
  const removed = current.security_groups.filter((id) => !wanted.includes(id));
  if (added.length > 0) {
    await requireGroups(tx, context, current.project_id, added);
    refuseMixed(await groupsOf(tx, wanted));
  }
  if (removed.length > 0) await tx.db.deleteFrom('port_security_groups').where('port_id', '=', current.id).where('security_group_id', 'in', removed).execute();
  await insertMemberships(tx, [{ id: current.id, security_groups: added }]);
}
