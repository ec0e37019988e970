/** Networking's commands as Compute needs them, by this cloud's own Networking service. */
import type { Config } from '#model/config.ts';
import { network as networkResource, type Port, port as portResource } from '#model/networks.ts';
import { securityGroup as securityGroupResource } from '#model/security-groups.ts';
import { Table } from '#store/table.ts';
import { visibleNetworks } from '../network/network-visibility.ts';
import { hasDnsIntegration } from '../network/dns-names.ts';
import { createPorts } from '../network/port-create.ts';
import { deletePorts, updatePort } from '../network/port-update.ts';
import { sharedWith } from '../network/rbac-visibility.ts';
import { ensureDefaultGroup, visibleGroups } from '../network/security-groups.ts';
import type { NetworkCommands } from './network-port.ts';

const networks = new Table(networkResource);
const ports = new Table(portResource);
const groups = new Table(securityGroupResource);

export function neutronCommands(config: Config): NetworkCommands {
  const namesPorts = hasDnsIntegration(config);
  const named = (dns_name: string): { dns_name?: string } => (namesPorts ? { dns_name } : {});
  return {
    namesPorts,
    async networks(reader, context, ids) {
      if (ids?.length === 0) return [];
      const found = await networks.list(reader, { filters: ids ? { id: ids } : {}, where: (query) => (context.is_admin ? query : visibleNetworks(query, context)) });
      const shared = await sharedWith(reader, networkResource, found.map(({ id }) => id), context.project_id);
      return found.map((each) => ({ ...each, shared: shared.has(each.id) }));
    },
    // A network's owner sees others' ports on it, but may not put servers of its own on them.
    port: async (reader, context, id) => {
      const found = await ports.get(reader, id);
      return found && (context.is_admin || found.project_id === context.project_id) ? found : undefined;
    },
    securityGroups: async (tx, context, idOrName) => {
      if (context.project_id === null) return [];
      await ensureDefaultGroup(tx, context.project_id);
      const byId = await groups.list(tx, { filters: { id: [idOrName] }, where: (query) => visibleGroups(query, context) });
      if (byId.length > 0) return byId;
      const own = await groups.list(tx, { filters: { project_id: [context.project_id], name: [idOrName] } });
      return own.length > 0 ? own : groups.list(tx, { filters: { name: [idOrName] }, where: (query) => visibleGroups(query, context) });
    },
    createPorts: (tx, context, wanted) => createPorts(tx, config, context, wanted.map(({ host, fixed_ips, security_groups, dns_name, ...rest }) => ({
      ...rest, ...named(dns_name), 'binding:host_id': host, ...(fixed_ips ? { fixed_ips: [...fixed_ips] } : {}), ...(security_groups ? { security_groups: [...security_groups] } : {}),
    }))),
    bindPort: (tx, context, port, { device_id, device_owner, host, dns_name }) => updatePort(tx, config, context, port, { device_id, device_owner, 'binding:host_id': host, ...named(dns_name) }),
    releasePort: async (tx, context, port) => void (await updatePort(tx, config, context, port, { device_id: '', device_owner: '', 'binding:host_id': '', ...named('') })),
    changePort: (tx, context, port, { fixed_ips, security_groups }) => updatePort(tx, config, context, port, {
      ...(fixed_ips ? { fixed_ips: [...fixed_ips] } : {}), ...(security_groups ? { security_groups: [...security_groups] } : {}),
    } as Partial<Port>),
    deletePorts: (tx, _context, gone) => deletePorts(tx, gone),
  };
}
