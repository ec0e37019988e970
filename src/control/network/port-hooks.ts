/** What changes of networks and subnets do to ports: DHCP servers come and go, autoconfigured subnets give addresses. */
import type { Config } from '#model/config.ts';
import { type FixedIp, network, port, type Subnet, subnet } from '#model/networks.ts';
import type { Store, Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import { aliveHosts } from './agents.ts';
import { ensureDhcp, networksWithoutDhcp } from './dhcp-scheduling.ts';
import { changeAddresses, isAutoAddress } from './ipam.ts';
import type { NetworkHooks } from './network-hooks.ts';
import { deletePorts } from './port-update.ts';
import { addGatewayAddresses } from './router-gateway.ts';

const networks = new Table(network);
const subnets = new Table(subnet);
const ports = new Table(port);

export function portHooks(config: Config): NetworkHooks {
  return {
    removePort: (tx, _context, gone) => deletePorts(tx, [gone]),
    async onSubnetChanged(tx, _context, home, changed, op) {
      if (op === 'create' && isAutoAddress(changed)) await addAutoAddresses(tx, changed);
      if (op === 'create') await addGatewayAddresses(tx, home, changed);
      await ensureDhcp(tx, config, home, await aliveHosts(tx, config, 'DHCP agent'));
    },
  };
}

/**
 * Gives every network that waits for a DHCP server one, now that there are hosts: called when a host's first report
 * comes. One transaction each, so that no other write waits for all of them.
 */
export async function scheduleWaitingDhcp(store: Store, config: Config): Promise<void> {
  for (const id of await networksWithoutDhcp(store.reader, config)) {
    await store.write(async (tx) => {
      const home = await networks.get(tx, id);
      if (home) await ensureDhcp(tx, config, home, await aliveHosts(tx, config, 'DHCP agent'));
    });
  }
}

/** Hosts on a new autoconfigured subnet make their own addresses, so the ports that are there already get theirs. */
async function addAutoAddresses(tx: Tx, added: Subnet): Promise<void> {
  const all = await subnets.list(tx, { filters: { network_id: [added.network_id] } });
  for (const one of await ports.list(tx, { filters: { network_id: [added.network_id] } })) {
    // A port without any address was made so on purpose.
    if (one.fixed_ips.length === 0) continue;
    const held = one.fixed_ips as FixedIp[];
    const now = await changeAddresses(tx, added.network_id, all, held, { port_id: one.id, mac_address: one.mac_address, device_owner: one.device_owner, fixed_ips: held });
    if (now.length > held.length) await ports.update(tx, one, { fixed_ips: now });
  }
}
