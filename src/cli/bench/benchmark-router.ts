/** A router's life in the API: created, its interface, its gateway, and floating IPs through it. */
import { API, createNetwork, createPort, deleteNetwork } from './api-objects.ts';
import { defineBenchmark } from './benchmark.ts';
import { statisticsOf } from './statistics.ts';

export const benchmark = defineBenchmark({
  figures: {
    router_create: { title: 'router create, p50', unit: 'ms', neutron: 35, target: 3 },
    add_interface: { title: 'router add interface, p50', unit: 'ms', neutron: 672, target: 3 },
    set_gateway: { title: 'router set gateway, p50', unit: 'ms', neutron: 853, target: 3 },
    floatingip_create: { title: 'floating IP create, p50', unit: 'ms', neutron: 354, target: 3 },
    floatingip_associate: { title: 'floating IP associate, p50', unit: 'ms', neutron: 476, target: 3 },
  },
  async run(lab) {
    const client = await lab.client();
    const { network: external } = await client.json('POST', `${API}/networks`, { network: { name: 'bench-external', 'router:external': true } });
    await client.json('POST', `${API}/subnets`, { subnet: { network_id: external.id, ip_version: 4, cidr: '10.251.0.0/20', enable_dhcp: false } });
    const network = await createNetwork(client, 'bench-router');
    const port = await createPort(client, { network_id: network.id });
    const samples: Record<string, number[]> = { router_create: [], add_interface: [], set_gateway: [], floatingip_create: [], floatingip_associate: [] };
    const timed = async (figure: string, method: string, path: string, body: unknown) => {
      const start = performance.now();
      const answer = await client.json(method, `${API}/${path}`, body);
      samples[figure]!.push(performance.now() - start);
      return answer;
    };
    const life = async () => {
      const { router } = await timed('router_create', 'POST', 'routers', { router: { name: 'bench' } });
      await timed('add_interface', 'PUT', `routers/${router.id}/add_router_interface`, { subnet_id: network.subnetId });
      await timed('set_gateway', 'PUT', `routers/${router.id}`, { router: { external_gateway_info: { network_id: external.id } } });
      const { floatingip } = await timed('floatingip_create', 'POST', 'floatingips', { floatingip: { floating_network_id: external.id } });
      await timed('floatingip_associate', 'PUT', `floatingips/${floatingip.id}`, { floatingip: { port_id: port } });
      await client.call('DELETE', `${API}/floatingips/${floatingip.id}`);
      await client.json('PUT', `${API}/routers/${router.id}/remove_router_interface`, { subnet_id: network.subnetId });
      await client.call('DELETE', `${API}/routers/${router.id}`);
    };
    // The first calls compile the code; what a running cloud does is measured after them.
    for (let index = lab.count(50, 2); index > 0; index--) await life();
    for (const taken of Object.values(samples)) taken.length = 0;
    for (let index = lab.count(200, 5); index > 0; index--) await life();
    await deleteNetwork(client, network);
    await client.call('DELETE', `${API}/networks/${external.id}`);

    const commit = await lab.commitLimit();
    const figure = (name: string) => {
      const taken = statisticsOf(samples[name]!);
      return { value: taken.p50, samples: taken, limit: commit };
    };
    return {
      router_create: figure('router_create'), add_interface: figure('add_interface'), set_gateway: figure('set_gateway'),
      floatingip_create: figure('floatingip_create'), floatingip_associate: figure('floatingip_associate'),
    };
  },
});
