/** Security groups on hosts: from the call to the first packet that passes, and to the last one that did. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { ApiClient } from './api-client.ts';
import { API, createNetwork, createPorts, deleteNetwork } from './api-objects.ts';
import { defineBenchmark } from './benchmark.ts';
import { statisticsOf } from './statistics.ts';
import { firstPing, type Inside } from './traffic.ts';

const SENDER = '10.250.0.10';
const RECEIVERS = { compute1: '10.250.0.11', compute2: '10.250.0.12' } as const;
/** Two of them are real, one on each host; the others are bound ports without a device. */
const GROUP = 1_000;
const LARGE_GROUP = 10_000;
/** A ping that has been silent for so long is not answered any more. */
const SILENCE_MS = 250;

export const benchmark = defineBenchmark({
  figures: {
    rule_add: { title: `rule added to a group of ${GROUP} (API) to ping admitted on both hosts, p50`, unit: 'ms', neutron: 1_970, target: 50 },
    rule_delete: { title: `rule deleted from a group of ${GROUP} (API) to ping blocked on both hosts, p50`, unit: 'ms', neutron: 1_660, target: 50 },
    remote_rule_add: { title: `rule by a remote group of ${GROUP} added (API) to ping admitted on both hosts, p50`, unit: 'ms' },
    member_join: { title: `port joins a group of ${LARGE_GROUP} that a rule names (API) to its ping admitted on both hosts, p50`, unit: 'ms' },
  },
  async run(lab) {
    const dataCentre = await lab.dataCentre();
    const { client } = dataCentre;
    const network = await createNetwork(client, 'bench-security', '10.250.0.0/16');
    const groups: string[] = [];
    const servers: string[] = [];
    const newGroup = async (name: string): Promise<string> => {
      const { id } = (await client.json('POST', `${API}/security-groups`, { security_group: { name } })).security_group;
      groups.push(id);
      return id;
    };
    try {
      const [group, large] = [await newGroup('bench'), await newGroup('bench-large')];
      const sender = await dataCentre.createServer('bench-sender', 'compute1', network.id, SENDER);
      servers.push(sender);
      for (const [host, address] of Object.entries(RECEIVERS)) servers.push(await dataCentre.createServer(`bench-${host}`, host, network.id, address));
      for (const id of servers) await dataCentre.active(id);
      await dataCentre.leased('compute1', sender, SENDER);
      const from: Inside = (argv) => dataCentre.inInstance('compute1', sender, argv);
      await setGroups(client, servers[1]!, [group]);
      await setGroups(client, servers[2]!, [group]);
      await setGroups(client, sender, [group]);
      for (const host of ['compute1', 'compute2']) {
        await createPorts(client, network, lab.count(GROUP / 2, 10), { 'binding:host_id': host, security_groups: [group] });
        await createPorts(client, network, lab.count(LARGE_GROUP / 2, 10), { 'binding:host_id': host, security_groups: [large] });
      }
      await dataCentre.settled();
      const idle_ports = await dataCentre.idlePorts();

      const rounds = lab.count(15, 2);
      const [added, deleted, remote, joined]: [number[], number[], number[], number[]] = [[], [], [], []];
      let rule = '';
      const addRule = async (given: Record<string, unknown>) => {
        rule = (await client.json('POST', `${API}/security-group-rules`, { security_group_rule: { security_group_id: group, direction: 'ingress', ethertype: 'IPv4', protocol: 'icmp', ...given } })).security_group_rule.id;
      };
      const deleteRule = () => client.call('DELETE', `${API}/security-group-rules/${rule}`);
      for (let round = 0; round < rounds; round++) {
        added.push(await untilAdmitted(from, () => addRule({ remote_ip_prefix: `${SENDER}/32` })));
        deleted.push(await untilBlocked(from, deleteRule));
        await dataCentre.settled();
        remote.push(await untilAdmitted(from, () => addRule({ remote_group_id: group })));
        await deleteRule();
        await dataCentre.settled();
      }
      await addRule({ remote_group_id: large });
      for (let round = 0; round < rounds; round++) {
        await dataCentre.settled();
        joined.push(await untilAdmitted(from, () => setGroups(client, sender, [group, large])));
        await setGroups(client, sender, [group]);
      }
      const { ping } = await lab.switchLimit();
      const limit = { what: 'ping through OVS with one NORMAL flow', value: ping };
      const figure = (times: number[]) => {
        const samples = statisticsOf(times);
        return { value: samples.p50, samples, limit, idle_ports };
      };
      return { rule_add: figure(added), rule_delete: figure(deleted), remote_rule_add: figure(remote), member_join: figure(joined) };
    } finally {
      await dataCentre.deleteServers(servers);
      await deleteNetwork(client, network);
      for (const id of groups) await client.call('DELETE', `${API}/security-groups/${id}`);
    }
  },
});

async function setGroups(client: ApiClient, server: string, security_groups: readonly string[]): Promise<void> {
  const { ports: [port] } = await client.json('GET', `${API}/ports?device_id=${server}&fields=id`);
  await client.json('PUT', `${API}/ports/${port.id}`, { port: { security_groups } });
}

/** Milliseconds from the begin of `change` until both receivers have answered. */
async function untilAdmitted(from: Inside, change: () => Promise<unknown>): Promise<number> {
  const answered = Promise.all(Object.values(RECEIVERS).map((address) => firstPing(from, address)));
  answered.catch(() => {}); // looked at below
  // Its start is not what is measured.
  await delay(200);
  const start = performance.timeOrigin + performance.now();
  await change();
  return Math.max(...(await answered)) - start;
}

/** Milliseconds from the begin of `change` to the last answer of either receiver. */
async function untilBlocked(from: Inside, change: () => Promise<unknown>): Promise<number> {
  const pings = Object.values(RECEIVERS).map((address) => lastPing(from, address));
  await delay(200);
  const start = performance.timeOrigin + performance.now();
  await change();
  return Math.max(...(await Promise.all(pings))) - start;
}

/** Pings every 5 ms from now on; resolves with the time (ms since 1970) of the last answer once there are none any more. */
async function lastPing(from: Inside, address: string): Promise<number> {
  const [command = '', ...args] = from(['ping', '-n', '-D', '-i', '0.005', address]);
  const ping = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'], timeout: 60_000 });
  const ended = once(ping, 'exit');
  let last = 0;
  let silent: NodeJS.Timeout | undefined;
  ping.stdout.setEncoding('utf8').on('data', (text: string) => {
    for (const [, at] of text.matchAll(/^\[([0-9.]+)\] \d+ bytes from /gm)) last = Number(at) * 1000;
    clearTimeout(silent);
    silent = setTimeout(() => ping.kill(), SILENCE_MS);
  });
  await ended;
  clearTimeout(silent);
  if (last === 0) throw new Error(`${address} answered no ping before it was blocked`);
  return last;
}
