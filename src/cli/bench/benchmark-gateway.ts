/** Routers, floating IPs and metadata on hosts: how long until packets pass that could not before. */
import { setTimeout as delay } from 'node:timers/promises';
import { onHost } from '../datacentre/host.ts';
import { run } from '../datacentre/run.ts';
import type { ApiClient } from './api-client.ts';
import { admitPing, API, type BenchNetwork, createNetwork, deleteNetwork } from './api-objects.ts';
import { defineBenchmark } from './benchmark.ts';
import { statisticsOf } from './statistics.ts';
import { firstPing, type Inside } from './traffic.ts';

const GUEST = '10.250.0.10';
const GATEWAY = '10.250.0.1';

export const benchmark = defineBenchmark({
  figures: {
    gateway_ping: { title: 'router create (API) to first answered ping of its gateway from inside, p50', unit: 'ms', neutron: 8_400, target: 300 },
    outside_ping: { title: 'floating IP associate (API) to first answered ping from outside, p50', unit: 'ms', neutron: 1_080, target: 150 },
    metadata: { title: 'metadata request inside an instance, p50', unit: 'ms', target: 5 },
  },
  async run(lab) {
    const dataCentre = await lab.dataCentre();
    const { client } = dataCentre;
    const network = await createNetwork(client, 'bench-gateway');
    const rules = await admitPing(client, '0.0.0.0/0');
    const { networks: [external] } = await client.json('GET', `${API}/networks?router:external=true`);
    const servers: string[] = [];
    const [gatewayPings, outsidePings]: [number[], number[]] = [[], []];
    let router = '';
    try {
      const guest = await dataCentre.createServer('bench-guest', 'compute2', network.id, GUEST);
      servers.push(guest);
      await dataCentre.active(guest);
      const { ports: [port] } = await client.json('GET', `${API}/ports?device_id=${guest}`);
      const inside: Inside = (argv) => dataCentre.inInstance('compute2', guest, argv);
      await dataCentre.leased('compute2', guest, GUEST);
      // Before there is a router: the lease says that metadata is at the DHCP server, which a router takes over.
      const metadata = await metadataTimes(inside, lab.count(60, 5));
      const idle_ports = await dataCentre.idlePorts();
      const outside: Inside = (argv) => onHost(dataCentre.state, 'outside', argv);
      // The kernel asks for a neighbour once a second; a probe that waits for that measures the kernel's patience.
      for (const [from, device] of [[inside, 'eth0'], [outside, 'phys']] as const) await run(from(['sh', '-c', `echo 10 > /proc/sys/net/ipv4/neigh/${device}/retrans_time_ms`]));
      for (let index = lab.count(12, 2); index > 0; index--) {
        // Nobody has yet seen the new router's address: what a guest remembers of the last one's MAC is the kernel's matter.
        await run(inside(['ip', 'neighbour', 'flush', 'dev', 'eth0']));
        gatewayPings.push(await since(inside, GATEWAY, async () => {
          router = (await client.json('POST', `${API}/routers`, { router: { name: 'bench-gateway' } })).router.id;
          await client.json('PUT', `${API}/routers/${router}/add_router_interface`, { subnet_id: network.subnetId });
        }));
        await client.json('PUT', `${API}/routers/${router}`, { router: { external_gateway_info: { network_id: external.id } } });
        await dataCentre.settled();
        const { floatingip } = await client.json('POST', `${API}/floatingips`, { floatingip: { floating_network_id: external.id } });
        outsidePings.push(await since(outside, floatingip.floating_ip_address, () => client.json('PUT', `${API}/floatingips/${floatingip.id}`, { floatingip: { port_id: port.id } })));
        await client.call('DELETE', `${API}/floatingips/${floatingip.id}`);
        router = await removeRouter(client, router, network);
        await dataCentre.settled();
      }
      const { ping } = await lab.switchLimit();
      const limit = { what: 'ping through OVS with one NORMAL flow', value: ping };
      const [gateway, outsider] = [statisticsOf(gatewayPings), statisticsOf(outsidePings)];
      return {
        gateway_ping: { value: gateway.p50, samples: gateway, limit, idle_ports },
        outside_ping: { value: outsider.p50, samples: outsider, limit, idle_ports },
        metadata: { value: metadata.p50, samples: metadata, limit, idle_ports },
      };
    } finally {
      if (router) await removeRouter(client, router, network);
      await dataCentre.deleteServers(servers);
      for (const id of rules) await client.call('DELETE', `${API}/security-group-rules/${id}`);
      await deleteNetwork(client, network);
    }
  },
});

/** Milliseconds from the begin of `change` to the first answered ping of `address`; a ping is under way all the time. */
async function since(from: Inside, address: string, change: () => Promise<unknown>): Promise<number> {
  const answered = firstPing(from, address);
  answered.catch(() => {}); // looked at below
  // Its start is not what is measured.
  await delay(200);
  const start = performance.timeOrigin + performance.now();
  await change();
  return (await answered) - start;
}

/** Milliseconds of each of `count` requests, each over a connection of its own, as cloud-init asks. */
async function metadataTimes(inside: Inside, count: number) {
  const urls = Array.from({ length: count }, () => ['-o', '/dev/null', 'http://169.254.169.254/openstack/latest/meta_data.json']).flat();
  const request = ['curl', '-sf', '--max-time', '5', '--retry', '20', '--retry-delay', '1', '--retry-all-errors', '-H', 'Connection: close', '-w', '%{time_total}\\n', ...urls];
  return statisticsOf((await run(inside(request), { timeout: 60_000 })).trim().split('\n').map((seconds) => Number(seconds) * 1000));
}

/** Takes the router away with its legs; answers that there is none. */
async function removeRouter(client: ApiClient, id: string, network: BenchNetwork): Promise<string> {
  await client.json('PUT', `${API}/routers/${id}`, { router: { external_gateway_info: null } });
  await client.json('PUT', `${API}/routers/${id}/remove_router_interface`, { subnet_id: network.subnetId });
  await client.call('DELETE', `${API}/routers/${id}`);
  return '';
}
