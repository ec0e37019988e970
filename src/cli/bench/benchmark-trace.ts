/** One packet through the tracer, with the cloud compiled as a controller that leads both hosts holds it. */
import { tracedCloud } from '#control/trace/traced-cloud.ts';
import { trace } from '#trace/trace.ts';
import { defineBenchmark } from './benchmark.ts';
import { HERE, largeCloud, portAddress, portId, THERE } from './large-cloud.ts';
import { statisticsOf, timeEach } from './statistics.ts';

const [PORTS, MEMBERS] = [2_000, 10_000];

export const benchmark = defineBenchmark({
  figures: {
    trace: { title: `trace between two hosts, ${PORTS} ports on one, a group of ${MEMBERS} members, p50`, unit: 'ms', target: 20 },
  },
  async run(lab) {
    const [here, there] = [lab.count(PORTS), lab.count(MEMBERS - PORTS)];
    const compiler = largeCloud(here, there);
    for (const host of [HERE!, THERE!]) compiler.follow(host);
    const samples = statisticsOf(await timeEach(lab.count(50, 5), async (n) => {
      const { verdict } = trace(tracedCloud(compiler), { from: { port_id: portId(n % here) }, destination_ip: portAddress(here + (n % there)), protocol: 6, destination_port: 80 });
      if (verdict !== 'deliver') throw new Error(`the traced packet is not delivered: ${verdict}`);
    }));
    return { trace: { value: samples.p50, samples } };
  },
});
