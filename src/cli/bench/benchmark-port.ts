/** A port's life: created alone, by 8 clients at once and in bulk; shown, changed, deleted. */
import { ApiClient } from './api-client.ts';
import { API, type BenchNetwork, createNetwork, createPort, createPorts, deleteNetwork } from './api-objects.ts';
import { defineBenchmark, type Limit } from './benchmark.ts';
import type { Lab } from './lab.ts';
import { round, statisticsOf, timeEach } from './statistics.ts';

const CLIENTS = 8;

export const benchmark = defineBenchmark({
  figures: {
    port_create: { title: 'port create, 1 client, p50', unit: 'ms', target: 2, neutron: 214 },
    port_create_rate: { title: `port create, ${CLIENTS} clients`, unit: '1/s', target: 1000, higher: true, neutron: 4.2 },
    port_create_bulk: { title: '100 ports in one request, p50', unit: 'ms', target: 40, neutron: 20_477 },
    port_show: { title: 'port show, p50', unit: 'ms', neutron: 17 },
    port_update: { title: 'port update, p50', unit: 'ms', neutron: 138 },
    port_delete: { title: 'port delete, p50', unit: 'ms', neutron: 188 },
  },
  async run(lab) {
    const client = await lab.client();
    const network = await createNetwork(client, 'bench-ports');
    // The first calls compile the code; what a running cloud does is measured after them.
    const warm = await createPorts(client, network, lab.count(50, 10));
    for (const id of warm) await client.call('DELETE', `${API}/ports/${id}`);

    const ids: string[] = [];
    const attributes = (index: number) => ({ network_id: network.id, name: `bench-${index}` });
    const create = async (index: number) => void ids.push(await createPort(client, attributes(index)));
    await timeEach(lab.count(50, 10), create);
    const created = statisticsOf(await timeEach(lab.count(300, 20), create));
    const rate = await createRate(lab, client, network);
    const bulk = statisticsOf(await timeEach(lab.count(8, 3), () => client.call('POST', `${API}/ports`, { ports: Array.from({ length: 100 }, (_, index) => attributes(index)) })));
    const one = (index: number) => `${API}/ports/${ids[index % ids.length]}`;
    const shown = statisticsOf(await timeEach(lab.count(300, 20), (index) => client.call('GET', one(index))));
    const updated = statisticsOf(await timeEach(lab.count(200, 20), (index) => client.call('PUT', one(index), { port: { name: `changed-${index}` } })));
    const deleted = statisticsOf(await timeEach(ids.length, (index) => client.call('DELETE', one(index))));
    await deleteNetwork(client, network);

    const commit = await lab.commitLimit();
    const perSecond: Limit = { what: 'SQLite commits with fsync, one by one', value: round(1000 / commit.value) };
    return {
      port_create: { value: created.p50, samples: created, limit: commit },
      port_create_rate: { value: rate, limit: perSecond },
      port_create_bulk: { value: bulk.p50, samples: bulk, limit: commit },
      port_show: { value: shown.p50, samples: shown, limit: await lab.httpLimit() },
      port_update: { value: updated.p50, samples: updated, limit: commit },
      port_delete: { value: deleted.p50, samples: deleted, limit: commit },
    };
  },
});

/** Ports per second, created by `CLIENTS` connections that each send the next request when they have their answer. */
async function createRate(lab: Lab, { token }: ApiClient, network: BenchNetwork): Promise<number> {
  const controller = await lab.controller();
  const total = lab.count(1500, 80);
  let started = 0;
  const clients = Array.from({ length: CLIENTS }, () => new ApiClient(controller.endpoint, token));
  await Promise.all(clients.map((client) => client.call('GET', `${API}/networks`)));
  const start = performance.now();
  await Promise.all(clients.map(async (client) => {
    while (started < total) await client.call('POST', `${API}/ports`, { port: { network_id: network.id, name: `bench-${started++}` } });
    client.close();
  }));
  return round(total / ((performance.now() - start) / 1000));
}
