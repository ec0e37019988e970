/** The controller alone, from the start of its process to its first answer that needs a token. */
import { BareController } from './bare-controller.ts';
import { defineBenchmark } from './benchmark.ts';
import { round, statisticsOf } from './statistics.ts';

export const benchmark = defineBenchmark({
  figures: {
    start_first: { title: 'controller, very first start (nothing compiled, no store), p50', unit: 'ms', neutron: 21_800 },
    start: { title: 'controller, start to first authenticated answer, p50', unit: 'ms', target: 1000 },
  },
  async run(lab) {
    const [first, later]: [number[], number[]] = [[], []];
    for (let round = 0; round < lab.count(3, 1); round++) {
      for (let start = 0; start < 3; start++) {
        const controller = await BareController.start(lab.path(`start-${round}`), { compileCache: lab.path(`compile-cache-${round}`) });
        (start === 0 ? first : later).push(controller.startTime);
        await controller.stop();
        if (start === 2) controller.remove();
      }
    }
    const bare = await lab.bareServer();
    const limit = { what: 'Node with a bare HTTP server', value: round(bare.startTime) };
    const [firstStart, laterStart] = [statisticsOf(first), statisticsOf(later)];
    return {
      start_first: { value: firstStart.p50, samples: firstStart, limit },
      start: { value: laterStart.p50, samples: laterStart, limit },
    };
  },
});
