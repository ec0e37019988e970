/** What a host costs to compile from nothing: an agent that joins, or asks again. */
import { defineBenchmark } from './benchmark.ts';
import { HERE, largeCloud } from './large-cloud.ts';
import { statisticsOf, timeEach } from './statistics.ts';

const [PORTS, MEMBERS] = [2_000, 10_000];

export const benchmark = defineBenchmark({
  figures: {
    compile_host: { title: `compile of a host with ${PORTS} ports and a group of ${MEMBERS} members, from scratch, p50`, unit: 'ms', target: 1000 },
  },
  async run(lab) {
    const compiler = largeCloud(lab.count(PORTS), lab.count(MEMBERS - PORTS));
    const samples = statisticsOf(await timeEach(lab.count(7, 3), async () => compiler.fromScratch(HERE!)));
    return { compile_host: { value: samples.p50, samples } };
  },
});
