/** Changes of a bridge's flows over the persistent OpenFlow connection, on a bridge of its own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { FlowMod } from '#openflow/codec/flow-codec.ts';
import { formatFlow, parseFlow } from '#openflow/flow.ts';
import { onHost } from '../datacentre/host.ts';
import { defineBenchmark } from './benchmark.ts';
import type { DataCentre } from './data-centre.ts';
import { BENCH_BRIDGE, withBridge } from './limits/wire.ts';
import { statisticsOf, timeEach } from './statistics.ts';

const HOST = 'compute2';
const MANY = 10_000;

export const benchmark = defineBenchmark({
  figures: {
    flow_bundle_one: { title: 'bundle of 1 flow, p50', unit: 'ms' },
    flow_bundle_many: { title: `bundle of ${MANY} flows, p50`, unit: 'ms' },
  },
  async run(lab) {
    const dataCentre = await lab.dataCentre();
    const idle_ports = await dataCentre.idlePorts();
    return withBridge(dataCentre, HOST, [], async (client) => {
      const mods = Array.from({ length: MANY }, (_, index) => add(index, 0));
      const rounds = lab.count(6, 2);
      const many = statisticsOf(await timeEach(rounds, async () => client.bundle(mods)));
      const asked = statisticsOf(await timeEach(lab.count(300, 20), () => client.portDesc()));
      const one = statisticsOf(await timeEach(lab.count(300, 20), (index) => client.bundle([add(index % MANY, index + 1)])));
      const flows = mods.map((mod) => formatFlow((mod as Extract<FlowMod, { command: 'add' }>).flow)).join('\n');
      const tool = statisticsOf(await timeEach(2, () => addByTool(dataCentre, flows)));
      return {
        flow_bundle_one: { value: one.p50, samples: one, limit: { what: 'one question on that connection', value: asked.p50 }, idle_ports },
        flow_bundle_many: { value: many.p50, samples: many, limit: { what: 'ovs-ofctl --bundle add-flows of the same', value: tool.min }, idle_ports },
      };
    });
  },
});

function add(index: number, cookie: number): FlowMod {
  const address = `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`;
  return { command: 'add', flow: parseFlow(`cookie=${cookie},table=72,priority=77,ct_state=+est-rel-rpl,ip,reg5=0x9,nw_src=${address},actions=output:7`) };
}

async function addByTool({ state }: DataCentre, flows: string): Promise<void> {
  const [command = '', ...args] = onHost(state, HOST, ['ovs-ofctl', '--bundle', 'add-flows', BENCH_BRIDGE, '-']);
  const tool = spawn(command, args, { stdio: ['pipe', 'ignore', 'inherit'] });
  tool.stdin.end(flows);
  const [code] = await once(tool, 'exit');
  if (code !== 0) throw new Error(`ovs-ofctl --bundle add-flows ended with ${code}`);
}
