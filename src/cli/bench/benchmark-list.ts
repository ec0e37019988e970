/** 2,000 ports: what they cost in memory, and lists of them. */
import { API, createNetwork, createPorts } from './api-objects.ts';
import { BareController } from './bare-controller.ts';
import { defineBenchmark } from './benchmark.ts';
import { round, statisticsOf, timeEach } from './statistics.ts';
import { setTimeout as delay } from 'node:timers/promises';

const PORTS = 2000;

export const benchmark = defineBenchmark({
  figures: {
    memory_before: { title: 'controller, resident, before the ports', unit: 'MB', target: 150 },
    memory_with_ports: { title: `controller, resident, with ${PORTS} ports`, unit: 'MB', target: 200 },
    port_list: { title: `list of ${PORTS} ports, all fields, p50`, unit: 'ms', target: 30, neutron: 914 },
    port_list_id: { title: `list of ${PORTS} ports, fields=id, p50`, unit: 'ms', neutron: 676 },
    port_page: { title: 'page of 100 ports, p50', unit: 'ms', neutron: 48 },
    memory_after_lists: { title: 'controller, resident, after the lists', unit: 'MB', target: 200 },
  },
  async run(lab) {
    const bare = await lab.bareServer();
    const limit = { what: 'Node with a bare HTTP server', value: round(bare.memory()) };
    // One of its own: memory says something only of a process whose history is known.
    const controller = await BareController.start(lab.path('list'));
    try {
      await delay(500);
      const memory_before = { value: round(controller.memory()), limit };
      const client = await controller.client();
      const network = await createNetwork(client, 'bench-list');
      await createPorts(client, network, lab.count(PORTS));
      await delay(500);
      const memory_with_ports = { value: round(controller.memory()), limit };

      const list = `${API}/ports?network_id=${network.id}`;
      const measure = async (path: string) => {
        const { body } = await client.call('GET', path);
        await timeEach(2, () => client.call('GET', path));
        const samples = statisticsOf(await timeEach(lab.count(20, 3), () => client.call('GET', path)));
        return { value: samples.p50, samples, limit: await lab.httpLimit(Buffer.byteLength(body)) };
      };
      const port_list = await measure(list);
      const port_list_id = await measure(`${list}&fields=id`);
      const port_page = await measure(`${list}&limit=100`);
      await delay(500);
      client.close();
      return { memory_before, memory_with_ports, port_list, port_list_id, port_page, memory_after_lists: { value: round(controller.memory()), limit } };
    } finally {
      await controller.stop();
      controller.remove();
    }
  },
});
