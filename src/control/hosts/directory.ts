/** The hosts as Compute sees them: who is for instances and has reported, and how large they are. */
import { agent as agentResource } from '#model/agents.ts';
import type { Config } from '#model/config.ts';
import type { HostResources } from '#protocol/messages.ts';
import type { Store } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { HostDirectory } from '../compute/hosts.ts';
import { aliveSince } from '../network/agents.ts';
import { rolesOf } from '../network/host-agents.ts';

const agents = new Table(agentResource);

export function hostDirectory(store: Store, config: Config): HostDirectory {
  return {
    async hosts() {
      const limit = aliveSince(config);
      const rows = await agents.list(store.reader, { filters: { agent_type: ['Open vSwitch agent'] }, sort: [{ key: 'host', dir: 'asc' }] });
      return rows.filter((row) => rolesOf(row.configurations).includes('compute')).map((row) => {
        const { resources, tunneling_ip } = row.configurations as { resources?: HostResources; tunneling_ip?: string | null };
        return {
          host: row.host, zone: row.availability_zone ?? 'nova', alive: row.heartbeat_timestamp >= limit, updated_at: row.heartbeat_timestamp,
          ...(resources ?? { vcpus: 0, memory_mb: 0, local_gb: 0 }), host_ip: tunneling_ip ?? '',
        };
      });
    },
  };
}
