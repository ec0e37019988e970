/** What hosts report of their instances, and how a server shows it. */
import type { Server } from '#model/compute.ts';
import type { Tx } from '#store/store.ts';
import { lockServer, servers, updateServer } from './servers.ts';

export interface InstanceReport {
  readonly server_id: string;
  /** `ended` has stopped by itself, as when the guest was powered off from inside. */
  readonly state: 'running' | 'stopped' | 'ended' | 'error' | 'absent';
  /** Of the instance that the report is about; without it the report is taken for the newest. */
  readonly generation?: number;
  /** Why it is in error. */
  readonly reason?: string;
}

/**
 * Takes one report of `host`. A report that changes nothing writes nothing, so hosts may repeat them; one of a host
 * that the server is not on, or of a generation before the newest reboot, is ignored.
 */
export async function reportInstance(tx: Tx, host: string, report: InstanceReport): Promise<void> {
  await lockServer(tx, report.server_id);
  const server = await servers.get(tx, report.server_id);
  if (!server || server.host !== host || (report.generation ?? server.generation) < server.generation) return;
  const changes = consequence(server, report, tx.now);
  if (changes && Object.entries(changes).some(([name, value]) => server[name as keyof Server] !== value)) await updateServer(tx, server, changes);
}

/** What follows from a report; nothing while the host is still on its way to what the server shall be. */
function consequence(server: Server, { state, reason }: InstanceReport, now: string): Partial<Server> | undefined {
  if (state === 'running' && server.power === 'on') return { status: 'ACTIVE', task_state: null, fault: null, launched_at: server.launched_at ?? now };
  if (state === 'stopped' && server.power === 'off') return { status: 'SHUTOFF', task_state: null, fault: null };
  if (state === 'ended' && server.power === 'on') return { power: 'off', status: 'SHUTOFF', task_state: null };
  if (state === 'error') {
    const message = reason ?? 'The host gave no reason.';
    return { status: 'ERROR', task_state: null, fault: server.fault?.message === message ? server.fault : { code: 500, message, created: now } };
  }
  return undefined;
}
