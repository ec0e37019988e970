/** What a new or vanishing subnet does to the ports that are on its network already. */
import { type FixedIp, type Port, port, type Subnet, subnet } from '#model/networks.ts';
import { dropPool } from '#store/number-pool.ts';
import type { Reader, Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import { changeAddresses, isAutoAddress, lockNetwork, resetSubnetPool, ROUTER_INTERFACES, subnetPool } from './ipam.ts';

const subnets = new Table(subnet);
const ports = new Table(port);

/** Opens a new subnet, its row inserted: its addresses become free, and where hosts make their own, the network's ports get theirs. */
export async function openSubnet(tx: Tx, added: Subnet): Promise<void> {
  await lockNetwork(tx, added.network_id);
  await resetSubnetPool(tx, added);
  if (!isAutoAddress(added)) return;
  const all = await subnets.list(tx, { filters: { network_id: [added.network_id] } });
  for (const one of await ports.list(tx, { filters: { network_id: [added.network_id] } })) {
    // A port without any address was made so on purpose.
    if (one.fixed_ips.length === 0) continue;
    const held = one.fixed_ips as FixedIp[];
    const now = await changeAddresses(tx, added.network_id, all, held, { port_id: one.id, mac_address: one.mac_address, device_owner: one.device_owner, fixed_ips: held });
    if (now.length > held.length) await ports.update(tx, one, { fixed_ips: now });
  }
}

/** The ports that keep a subnet from being deleted: those with an address there that they asked for. */
export async function portsInWay(reader: Reader, going: Subnet): Promise<Pick<Port, 'id' | 'device_owner'>[]> {
  const holders = reader.db.selectFrom('ip_allocations').innerJoin('ports', 'ports.id', 'ip_allocations.port_id').select(['ports.id', 'ports.device_owner']).where('ip_allocations.subnet_id', '=', going.id);
  const asked = isAutoAddress(going) ? holders.where('ports.device_owner', 'in', ROUTER_INTERFACES) : holders.where('ports.device_owner', '!=', 'network:dhcp');
  return (await asked.execute()) as Pick<Port, 'id' | 'device_owner'>[];
}

/** Closes a subnet that is being deleted: no port has an address there any more, and none is free. */
export async function closeSubnet(tx: Tx, going: Subnet): Promise<void> {
  await lockNetwork(tx, going.network_id);
  const held = await tx.db.deleteFrom('ip_allocations').where('subnet_id', '=', going.id).returning('port_id').execute();
  for (const one of await ports.getMany(tx, [...new Set(held.map(({ port_id }) => port_id))])) {
    await ports.update(tx, one, { fixed_ips: one.fixed_ips.filter((ip) => ip.subnet_id !== going.id) });
  }
  await dropPool(tx, subnetPool(going.id));
}
