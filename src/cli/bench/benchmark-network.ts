/** Networks and subnets, created one after the other by one client. */
import { API } from './api-objects.ts';
import { defineBenchmark } from './benchmark.ts';
import { statisticsOf, timeEach } from './statistics.ts';

export const benchmark = defineBenchmark({
  figures: {
    network_create: { title: 'network create, p50', unit: 'ms', neutron: 113 },
    subnet_create: { title: 'subnet create, p50', unit: 'ms', neutron: 122 },
  },
  async run(lab) {
    const client = await lab.client();
    const ids: string[] = [];
    const create = async (name: string) => void ids.push((await client.json('POST', `${API}/networks`, { network: { name } })).network.id);
    const count = lab.count(60, 6);
    const networks = statisticsOf((await timeEach(count, (index) => create(`bench-${index}`))));
    const subnets = statisticsOf(await timeEach(count, (index) => client.call('POST', `${API}/subnets`, { subnet: { network_id: ids[index], ip_version: 4, cidr: `10.${index}.0.0/24` } })));
    for (const id of ids) await client.call('DELETE', `${API}/networks/${id}`);
    const limit = await lab.commitLimit();
    return {
      network_create: { value: networks.p50, samples: networks, limit },
      subnet_create: { value: subnets.p50, samples: subnets, limit },
    };
  },
});
