/** From the call that creates a server to its first answered ping, and what traffic over the tunnel is like then. */
import { setTimeout as delay } from 'node:timers/promises';
import { admitPing, API, createNetwork, deleteNetwork } from './api-objects.ts';
import { defineBenchmark } from './benchmark.ts';
import { run } from '../datacentre/run.ts';
import { round, statisticsOf } from './statistics.ts';
import { firstPing, type Inside, pingTimes, tcpRate } from './traffic.ts';

const RUNNING = '10.250.0.10';

export const benchmark = defineBenchmark({
  figures: {
    first_ping: { title: 'server create (API) to first answered ping over VXLAN, p50', unit: 'ms', target: 700 },
    server_active: { title: 'server create (API) to ACTIVE, p50', unit: 'ms' },
    server_answer: { title: 'server create, API answer, p50', unit: 'ms' },
    vxlan_ping: { title: 'ping between hosts, VXLAN and security groups, p50', unit: 'ms' },
    vxlan_tcp: { title: 'TCP between hosts, VXLAN and security groups', unit: 'Mbit/s', higher: true },
  },
  async run(lab) {
    const dataCentre = await lab.dataCentre();
    const { client } = dataCentre;
    const network = await createNetwork(client, 'bench-servers');
    const rule = await admitPing(client);
    const servers: string[] = [];
    try {
      const running = await dataCentre.createServer('bench-running', 'compute1', network.id, RUNNING);
      servers.push(running);
      await dataCentre.active(running);
      await dataCentre.leased('compute1', running, RUNNING);
      await dataCentre.settled();
      const here: Inside = (argv) => dataCentre.inInstance('compute1', running, argv);
      // The kernel asks for a neighbour once a second; a probe that waits for that measures the kernel's patience.
      await run(here(['sh', '-c', 'echo 10 > /proc/sys/net/ipv4/neigh/eth0/retrans_time_ms']));
      const idle_ports = await dataCentre.idlePorts();
      const [pings, actives, answers]: number[][] = [[], [], []];
      const count = lab.count(12, 2);
      let last = '';
      for (let index = 0; index < count; index++) {
        const address = `10.250.1.${index + 10}`;
        const answered = firstPing(here, address);
        answered.catch(() => {}); // looked at below
        // Its start is not what is measured.
        await delay(200);
        const start = performance.timeOrigin + performance.now();
        const since = () => performance.timeOrigin + performance.now() - start;
        last = await dataCentre.createServer(`bench-${index}`, 'compute2', network.id, address);
        answers!.push(since());
        servers.push(last);
        await Promise.all([
          dataCentre.active(last).then(() => actives!.push(since())),
          answered.then((time) => pings!.push(time - start)),
        ]);
        if (index < count - 1) await dataCentre.deleteServers([servers.pop()!]);
      }
      const there: Inside = (argv) => dataCentre.inInstance('compute2', last, argv);
      const address = `10.250.1.${count + 9}`;
      const options = lab.wireOptions();
      const trips = await pingTimes(here, address, options.pings);
      const rate = await tcpRate(here, there, address, options.seconds);
      const [first, active, answer] = [pings, actives, answers].map((samples) => statisticsOf(samples!));
      const [veth, normal] = [await lab.vethLimit(), await lab.switchLimit()];
      return {
        first_ping: { value: first!.p50, samples: first, limit: { what: 'ping over a veth pair', value: veth.ping }, idle_ports },
        server_active: { value: active!.p50, samples: active, idle_ports },
        server_answer: { value: answer!.p50, samples: answer, limit: await lab.commitLimit() },
        vxlan_ping: { value: trips.p50, samples: trips, limit: { what: `OVS with one NORMAL flow; a veth pair ${round(veth.ping)}`, value: normal.ping }, idle_ports },
        vxlan_tcp: { value: rate, limit: { what: `OVS with one NORMAL flow; a veth pair ${veth.tcp}`, value: normal.tcp }, idle_ports },
      };
    } finally {
      await dataCentre.deleteServers(servers);
      for (const id of rule) await client.call('DELETE', `${API}/security-group-rules/${id}`);
      await deleteNetwork(client, network);
    }
  },
});
