/** The status of routers and floating IPs, as the host that carries them reports it: ACTIVE, or ERROR with the reason. */
import { router } from '#model/routers.ts';
import type { ItemReport } from '#protocol/messages.ts';
import { Table } from '#store/table.ts';
import type { Tx } from '#store/store.ts';
import { setFloatingIpStatus } from './floating-ips.ts';

const routers = new Table(router);

/** Takes the report of an item `router/<id>` or `floating-ip/<router>/<id>`; nothing is written when it says what is known. */
export async function setObjectStatus(tx: Tx, { key, ok, partly = false, reason = '' }: ItemReport): Promise<void> {
  const [type, routerId = '', id = ''] = key.split('/');
  if (type === 'floating-ip') return setFloatingIpStatus(tx, id, ok || partly, reason, routerId);
  const next = { status: ok || partly ? 'ACTIVE' : 'ERROR', status_reason: ok ? null : reason };
  const current = await routers.get(tx, routerId);
  if (current && (current.status !== next.status || current.status_reason !== next.status_reason)) await routers.update(tx, current, next as typeof current);
}
