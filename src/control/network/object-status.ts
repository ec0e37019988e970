/** The status of routers and floating IPs, as the host that carries them reports it: ACTIVE, or ERROR with the reason. */
import { floatingIp, router } from '#model/routers.ts';
import type { ItemReport } from '#protocol/messages.ts';
import { Table } from '#store/table.ts';
import type { Tx } from '#store/store.ts';

const routers = new Table(router);
const floatingIps = new Table(floatingIp);

/** Takes the report of an item `router/<id>` or `floating-ip/<router>/<id>`; nothing is written when it says what is known. */
export async function setObjectStatus(tx: Tx, { key, ok, reason }: ItemReport): Promise<void> {
  const [type, routerId = '', id = ''] = key.split('/');
  const next = ok ? { status: 'ACTIVE', status_reason: null } : { status: 'ERROR', status_reason: reason ?? null };
  const same = (current: { status: string; status_reason: string | null }): boolean => current.status === next.status && current.status_reason === next.status_reason;
  if (type === 'router') {
    const current = await routers.get(tx, routerId);
    if (current && !same(current)) await routers.update(tx, current, next);
    return;
  }
  const current = await floatingIps.get(tx, id);
  // One that has been taken off this router meanwhile is DOWN, whatever its host still says.
  if (current?.router_id === routerId && !same(current)) await floatingIps.update(tx, current, next);
}
