/** The floors of packets: a bare veth pair, and Open vSwitch with a single flow. */
import { OpenFlowClient } from '#openflow/openflow-client.ts';
import { parseFlow } from '#openflow/flow.ts';
import { addBridgeOps, addPortOps, delBridgeOps } from '#openflow/vswitch-operations.ts';
import type { DataCentre } from '../data-centre.ts';
import { Namespace } from '../namespace.ts';
import { pingTimes, tcpRate } from '../traffic.ts';

export interface Wire {
  /** Milliseconds, p50. */
  readonly ping: number;
  /** Mbit/s of one TCP stream. */
  readonly tcp: number;
}

export interface WireOptions {
  readonly pings: number;
  readonly seconds: number;
}

/** Two namespaces and a veth pair between them. */
export async function measureVeth(options: WireOptions): Promise<Wire> {
  const [left, right] = [await Namespace.make(), await Namespace.make()];
  try {
    await left.wire(right.pid, 'eth0');
    return await measure(left, right, options);
  } finally {
    left.end();
    right.end();
  }
}

export const BENCH_BRIDGE = 'br-bench';

/** A bridge of its own in the switch of a running host, with one NORMAL flow and two veth ports. */
export async function measureSwitch(dataCentre: DataCentre, host: string, options: WireOptions): Promise<Wire> {
  const ends = [await Namespace.make(), await Namespace.make()] as const;
  const devices = ['bench0', 'bench1'] as const;
  try {
    for (const [index, end] of ends.entries()) await end.wire(dataCentre.hostPid(host), devices[index]!, { offload: false });
    return await withBridge(dataCentre, host, devices, async (client) => {
      await client.bundle([{ command: 'add', flow: parseFlow('actions=NORMAL') }]);
      return measure(...ends, options);
    });
  } finally {
    for (const end of ends) end.end();
  }
}

/** A fail-secure bridge with `devices`, gone afterwards. */
export async function withBridge<T>(dataCentre: DataCentre, host: string, devices: readonly string[], use: (client: OpenFlowClient) => Promise<T>): Promise<T> {
  const vswitch = await dataCentre.vswitch(host);
  try {
    await vswitch.transactAndWait([
      ...addBridgeOps({ name: BENCH_BRIDGE, datapath_type: 'netdev', fail_mode: 'secure' }),
      ...devices.flatMap((name) => addPortOps({ bridge: BENCH_BRIDGE, name })),
    ]);
    const client = await OpenFlowClient.connect(dataCentre.hostFile(host, `/run/openvswitch/${BENCH_BRIDGE}.mgmt`));
    try {
      return await use(client);
    } finally {
      client.close();
    }
  } finally {
    const bridge = vswitch.find('Bridge', BENCH_BRIDGE);
    if (bridge) await vswitch.transactAndWait(delBridgeOps(bridge));
    vswitch.close();
  }
}

async function measure(left: Namespace, right: Namespace, { pings, seconds }: WireOptions): Promise<Wire> {
  await left.ip('address add 192.0.2.1/24 dev eth0');
  await right.ip('address add 192.0.2.2/24 dev eth0');
  const [from, to] = [left.inside.bind(left), right.inside.bind(right)];
  const { p50 } = await pingTimes(from, '192.0.2.2', pings);
  return { ping: p50, tcp: await tcpRate(from, to, '192.0.2.2', seconds) };
}
