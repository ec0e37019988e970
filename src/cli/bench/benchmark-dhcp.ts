/** From plugging a bound port into br-int, by the port contract, to the first DHCP offer that the guest sees. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { addPortOps, delPortOps } from '#openflow/vswitch-operations.ts';
import type { Vswitch } from '#openflow/vswitch.ts';
import { API, type BenchNetwork, createNetwork, deleteNetwork } from './api-objects.ts';
import { defineBenchmark } from './benchmark.ts';
import type { DataCentre } from './data-centre.ts';
import { Namespace } from './namespace.ts';
import { statisticsOf } from './statistics.ts';

const HOST = 'compute1';
const PROBE = fileURLToPath(new URL('dhcp-probe.ts', import.meta.url));

export const benchmark = defineBenchmark({
  figures: {
    dhcp_offer: { title: 'plug of a bound port to DHCP offer, p50', unit: 'ms', neutron: 1600 },
  },
  async run(lab) {
    const dataCentre = await lab.dataCentre();
    const network = await createNetwork(dataCentre.client, 'bench-dhcp');
    const vswitch = await dataCentre.vswitch(HOST);
    try {
      await dataCentre.settled();
      const idle_ports = await dataCentre.idlePorts();
      const [offers, answers]: [number[], number[]] = [[], []];
      for (let index = 0; index < lab.count(12, 2); index++) {
        const { offer, answer } = await plugAndAsk(dataCentre, vswitch, network, `bench${index}`);
        offers.push(offer);
        answers.push(answer);
      }
      const samples = statisticsOf(offers);
      return { dhcp_offer: { value: samples.p50, samples, limit: { what: 'offer to a guest long since plugged', value: statisticsOf(answers).p50 }, idle_ports } };
    } finally {
      vswitch.close();
      await deleteNetwork(dataCentre.client, network);
    }
  },
});

/** Milliseconds from the plug to the offer, and of a later question to its offer. */
async function plugAndAsk(dataCentre: DataCentre, vswitch: Vswitch, network: BenchNetwork, device: string): Promise<{ offer: number; answer: number }> {
  const { client } = dataCentre;
  const { port } = await client.json('POST', `${API}/ports`, { port: { network_id: network.id, name: device, 'binding:host_id': HOST, device_owner: 'compute:bench' } });
  await dataCentre.settled();
  const guest = await Namespace.make();
  try {
    await guest.wire(dataCentre.hostPid(HOST), device, { mac: port.mac_address, offload: false });
    await guest.ip('route add 255.255.255.255 dev eth0');
    const probe = await startProbe(guest, port.mac_address);
    const plugged = performance.timeOrigin + performance.now();
    const first = probe.ask();
    // A port without its filter must be dead: the contract lets the plug say so in the same transaction.
    await vswitch.transact(addPortOps({ bridge: 'br-int', name: device, tag: 4095, external_ids: { 'iface-id': port.id, 'attached-mac': port.mac_address } }));
    const offer = (await first) - plugged;
    const asked = performance.timeOrigin + performance.now();
    const answer = (await probe.ask()) - asked;
    probe.end();
    return { offer, answer };
  } finally {
    const row = vswitch.find('Port', device);
    if (row) await vswitch.transactAndWait(delPortOps(row));
    guest.end();
    await client.call('DELETE', `${API}/ports/${port.id}`);
  }
}

interface Probe {
  /** Asks until it gets an offer; the time of that. */
  ask(): Promise<number>;
  end(): void;
}

async function startProbe(guest: Namespace, mac: string): Promise<Probe> {
  const [command = '', ...args] = guest.inside([process.execPath, PROBE, mac]);
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout });
  const next = () => new Promise<string>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('no DHCP offer within 30 s')), 30_000);
    lines.once('line', (line) => (clearTimeout(timer), resolve(line)));
  });
  await next();
  return {
    ask() {
      const answer = next();
      child.stdin.write('\n');
      return answer.then(Number);
    },
    end: () => void child.stdin.end(),
  };
}
