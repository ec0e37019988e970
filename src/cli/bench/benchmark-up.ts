/** `patchbay up` with two hosts, everything installed, no state yet. */
import { defineBenchmark } from './benchmark.ts';
import { round, statisticsOf } from './statistics.ts';

export const benchmark = defineBenchmark({
  figures: {
    up: { title: 'up with 2 hosts, from nothing until ready, p50', unit: 's', target: 8 },
    memory_data_centre: { title: 'controller, resident, with 2 agents', unit: 'MB' },
    memory_agent: { title: 'agent, resident', unit: 'MB' },
  },
  async run(lab) {
    const dataCentre = await lab.dataCentre();
    const samples = statisticsOf(dataCentre.upTimes);
    const idle_ports = await dataCentre.idlePorts();
    const bare = { what: 'Node with a bare HTTP server', value: round((await lab.bareServer()).memory()) };
    return {
      up: { value: samples.p50, samples, idle_ports },
      memory_data_centre: { value: round(dataCentre.memory('controller')), limit: bare },
      memory_agent: { value: round(dataCentre.memory('compute1-agent')), limit: bare },
    };
  },
});
