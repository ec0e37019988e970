/** Changes what agents have written, behind their backs: they are stopped meanwhile, and mend what is left when they go on. */
import { hostInit } from '#cli/datacentre/host.ts';
import { runningProcess } from '#cli/datacentre/state-folder.ts';
import { agentName } from '#cli/services.ts';
import { OpenFlowClient, OpenFlowError } from '#openflow/openflow-client.ts';
import type { FlowMod } from '#openflow/codec/flow-codec.ts';
import { type Flow, flowKey } from '#openflow/flow.ts';
import { formatMatch } from '#openflow/match.ts';
import { linkLocalOf } from '#net/ip.ts';
import { COOKIE } from '#agent/pipeline/tables.ts';
import type { Cloud } from './cloud.ts';
import { type Mutant, flowMutants, tableMutants } from './mutants.ts';
import type { BuiltTopology } from './topology-build.ts';

const BRIDGES = ['br-int', 'br-tun', 'br-phys'];

export class MutationLab {
  readonly #cloud: Cloud;
  readonly #clients = new Map<string, OpenFlowClient>();

  constructor(cloud: Cloud) {
    this.#cloud = cloud;
  }

  /** Stops every agent where it is. */
  freeze(): void {
    this.#signal('SIGSTOP');
  }

  thaw(): void {
    this.#signal('SIGCONT');
  }

  /** All mutants of all hosts; two runs of one topology give the same keys. */
  async mutants(topology: BuiltTopology): Promise<Mutant[]> {
    const mutants: Mutant[] = [];
    for (const host of this.#cloud.hosts) {
      const flows = new Map<string, Flow[]>();
      const ports = new Map<string, ReadonlyMap<string, number>>();
      for (const bridge of BRIDGES) {
        const client = await this.#client(host, bridge);
        flows.set(bridge, (await client.dumpFlows()).filter(({ cookie }) => cookie === COOKIE));
        ports.set(bridge, await client.portDesc());
      }
      const tags = await this.#tags(host);
      for (const bridge of BRIDGES) {
        const words = wordsOf(topology, ports.get(bridge)!, tags);
        const rules = conjunctionNames(flows.get(bridge)!, words);
        mutants.push(...flowMutants(host, bridge, flows.get(bridge)!, (text) => words(text).replace(/\bconj_id=(\d+)/, (_, id: string) => `conj_id=(${rules.get(Number(id)) ?? '?'})`)));
      }
      for (const router of new Set(topology.legs.map(({ router_id }) => router_id))) {
        const namespace = `qrouter-${router}`;
        const { code, stdout } = await this.#cloud.tryHost(host, 'ip', 'netns', 'exec', namespace, 'nft', '-s', 'list', 'table', 'inet', 'patchbay');
        if (code === 0) mutants.push(...tableMutants(host, namespace, stdout, wordsOf(topology, new Map(), tags)));
      }
    }
    return numbered(mutants);
  }

  /** Resolves with why the switch or nft does not take it, and then nothing is changed. */
  async apply(mutant: Mutant): Promise<string | undefined> {
    try {
      if (mutant.kind === 'table') await this.#load(mutant.host, mutant.namespace, mutant.apply);
      else await this.#bundle(mutant.host, mutant.bridge, mutant.apply);
      return undefined;
    } catch (error) {
      if (!(error instanceof OpenFlowError || mutant.kind === 'table')) throw error;
      return (error as Error).message.split('\n').at(mutant.kind === 'table' ? -1 : 0);
    }
  }

  async restore(mutant: Mutant): Promise<void> {
    if (mutant.kind === 'table') await this.#load(mutant.host, mutant.namespace, mutant.restore);
    else await this.#bundle(mutant.host, mutant.bridge, mutant.restore);
  }

  close(): void {
    for (const client of this.#clients.values()) client.close();
    this.#clients.clear();
  }

  async #bundle(host: string, bridge: string, mods: readonly FlowMod[]): Promise<void> {
    await (await this.#client(host, bridge)).bundle(mods);
    // Open vSwitch 3.1 may keep what it decided before (docs/decisions/0018-decisions-are-made-anew.md): a mutant would be seen after its end.
    await this.#cloud.host(host, 'ovs-appctl', 'revalidator/purge');
  }

  async #load(host: string, namespace: string, text: string): Promise<void> {
    await this.#cloud.host(host, 'sh', '-c', 'printf "%s" "$2" | ip netns exec "$1" nft -f -', 'sh', namespace, text);
  }

  async #client(host: string, bridge: string): Promise<OpenFlowClient> {
    const key = `${host} ${bridge}`;
    const known = this.#clients.get(key);
    if (known) return known;
    const client = await OpenFlowClient.connect(`/proc/${hostInit(this.#cloud.state, host).pid}/root/run/openvswitch/${bridge}.mgmt`);
    this.#clients.set(key, client);
    return client;
  }

  /** Device → local VLAN. */
  async #tags(host: string): Promise<Map<string, number>> {
    const rows = JSON.parse(await this.#cloud.host(host, 'ovs-vsctl', '--format=json', '--columns=name,tag', 'list', 'Port')).data as [string, number | unknown][];
    return new Map(rows.flatMap(([name, tag]) => (typeof tag === 'number' ? [[name, tag] as const] : [])));
  }

  #signal(signal: NodeJS.Signals): void {
    for (const host of this.#cloud.hosts) process.kill(runningProcess(this.#cloud.state, agentName(host))!.pid, signal);
  }
}

/** Conjunction → the first of the flows of its rule for questions: `table=82,tcp6,reg5=e0`. */
function conjunctionNames(flows: readonly Flow[], words: (text: string) => string): Map<number, string> {
  const names = new Map<number, string>();
  for (const flow of flows) {
    const name = words(flowKey(flow)).replace(/priority=\d+,/, '').replace(/ct_state=[^,]*,/, '');
    if (formatMatch(flow.match).includes('+rpl')) continue;
    for (const action of flow.actions) if (action.type === 'conjunction' && action.clause === 2 && (names.get(action.id) ?? name) >= name) names.set(action.id, name);
  }
  return names;
}

/** Two rules may have one name: mutants that read alike are counted. */
function numbered(mutants: readonly Mutant[]): Mutant[] {
  const times = new Map<string, number>();
  return mutants.map((mutant) => {
    const count = (times.get(mutant.key) ?? 0) + 1;
    times.set(mutant.key, count);
    return count === 1 ? mutant : { ...mutant, key: `${mutant.key} (${count})` };
  });
}

/** Puts words in place of numbers that every run gives anew: ports, local VLANs, MACs, VNIs, device names. */
function wordsOf({ endpoints, legs }: BuiltTopology, ports: ReadonlyMap<string, number>, tags: ReadonlyMap<string, number>): (text: string) => string {
  const networks = [...new Set([...endpoints, ...legs].map(({ network_id }) => network_id))];
  const networkName = (id: string): string => endpoints.find(({ network_id }) => network_id === id)?.network ?? `net${networks.indexOf(id)}`;
  const legName = (leg: (typeof legs)[number]): string => `${leg.external ? 'qg' : 'qr'}${leg.addresses.some((address) => address.includes(':')) && !leg.external ? '6' : '4'}-${networkName(leg.network_id)}`;
  const owned = [...endpoints.map((each) => ({ ...each, device: `tap${each.port_id.slice(0, 11)}` })), ...legs.map((leg) => ({ ...leg, name: legName(leg), device: `${leg.external ? 'qg' : 'qr'}-${leg.port_id.slice(0, 11)}` }))];
  const byDevice = new Map(owned.map(({ device, name }) => [device, name]));
  const portName = new Map([...ports].map(([device, number]) => [number, byDevice.get(device) ?? device]));
  const vlanName = new Map(owned.flatMap(({ device, network_id }) => (tags.has(device) ? [[tags.get(device)!, networkName(network_id)] as const] : [])));
  const port = (text: string): string => portName.get(Number(text)) ?? text;
  const vlan = (text: string): string => vlanName.get(Number(text)) ?? text;
  return (text) => {
    let words = text.replace(/\b(in_port=|reg5=)(0x[0-9a-f]+|\d+)/g, (_, head: string, number: string) => head + port(number))
      .replace(/\b(dl_vlan=|reg6=)(0x[0-9a-f]+|\d+)/g, (_, head: string, number: string) => head + vlan(number))
      .replace(/\btun_id=(0x[0-9a-f]+|\d+)/g, 'tun_id=*');
    for (const { mac, name, device } of owned) words = words.replaceAll(mac, `mac(${name})`).replaceAll(linkLocalOf(mac), `ll(${name})`).replaceAll(device, name);
    return words;
  };
}
