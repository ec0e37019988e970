/** The hidden oracles of DESIGN §6 that every scenario ends with: 1, 2, 3, 4 and 6. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { join } from 'node:path';
import { type Config, loadConfig } from '#model/config.ts';
import { readFileSync } from 'node:fs';
import { Compiler } from '#compile/compiler.ts';
import { loadIntent } from '#control/hosts/intent.ts';
import { type Item, keyOf, printState } from '#hoststate/host-state.ts';
import { askHostState } from '#cli/control-socket.ts';
import { endProcesses } from '#cli/datacentre/process.ts';
import { runningProcess, statePath } from '#cli/datacentre/state-folder.ts';
import { agentName, startAgent } from '#cli/services.ts';
import { openStore } from '#store/open.ts';
import { tables } from '#store/schema.ts';
import type { Store } from '#store/store.ts';
import type { Api } from './api.ts';
import type { Cloud } from './cloud.ts';
import { until } from './cloud.ts';
import { freshDatabase } from './postgres.ts';

/** Runs all of them; deletes everything on the way. */
export async function runOracles(cloud: Cloud, t: TestContext): Promise<void> {
  await cloud.settle();
  await quiet(cloud);
  await t.test('oracle 1: compiled from scratch = compiled incrementally', () => sameFromScratch(cloud));
  await t.test('oracle 2: applied twice = once', () => nothingToMend(cloud));
  await t.test('oracle 3: an agent restarted with empty memory plans nothing', () => restartPlansNothing(cloud));
  await t.test('oracle 4: SQLite = PostgreSQL', () => sameOnOther(cloud));
  await t.test('oracle 6: after deletion of everything nothing is left', () => nothingLeft(cloud));
}

/** What a host holds, as an operator would list it; volatile parts (counters, pids, ages) left out. */
export async function inventory(cloud: Cloud, host: string): Promise<string> {
  const script = `
    echo "# links"; ip -o link | awk -F': ' '{print $2}' | sed 's/@.*//' | sort
    echo "# namespaces"; ls /run/netns | sort
    for b in br-int br-tun br-phys; do echo "# $b ports"; ovs-vsctl list-ports $b; echo "# $b flows"; ovs-ofctl dump-flows --no-stats $b | grep -v 0x506174636862614c | grep -v NXST | sed 's/^ *//' | sort; done
    echo "# processes"; ps -eo comm,args | grep -E '^(dnsmasq|haproxy|radvd|crun|dropbear|udhcpc|dhclient|qemu-system)' | sort
    for n in /run/netns/qrouter-*; do [ -e $n ] || continue; n=\${n##*/}; echo "# $n"; ip -n $n -o address show | awk '{print $2, $4}'; ip -n $n route; ip -n $n -6 route; ip netns exec $n nft list ruleset; done
    echo "# mounts"; grep -cE 'overlay|instances' /proc/mounts || true
    echo "# nft"; nft list ruleset
    echo "# files"; cd ${statePath.hostFolder(cloud.state, host)}; find dhcp metadata /run/patchbay/radvd instances machines -mindepth 1 -maxdepth 1 2>/dev/null | sort`;
  return cloud.host(host, 'sh', '-c', script);
}

async function sameFromScratch(cloud: Cloud): Promise<void> {
  const store = await openStore(connection(cloud));
  try {
    for (const host of cloud.hosts) {
      const items = await askHostState(cloud.state, host);
      sameLines(print(items), await compileFrom(store, cloud, host), `HostState of ${host}`);
    }
  } finally {
    await store.close();
  }
}

async function nothingToMend(cloud: Cloud): Promise<void> {
  for (const host of cloud.hosts) {
    const before = cloud.log(host).length;
    cloud.check(host);
    await until(20, `${host} has checked itself`, () => cloud.log(host).slice(before).some(({ msg }) => msg === 'checked'));
    assert.deepEqual(plans(cloud, host, before), [], `plans of ${host}`);
  }
}

async function restartPlansNothing(cloud: Cloud): Promise<void> {
  const before = new Map(await Promise.all(cloud.hosts.map(async (host) => [host, { held: await inventory(cloud, host), lines: cloud.log(host).length }] as const)));
  await Promise.all(cloud.plan.hosts.map(async (host) => {
    await endProcesses([runningProcess(cloud.state, agentName(host.name))!], 'SIGKILL');
    await startAgent(cloud.state, host);
  }));
  for (const [host, { lines }] of before) await until(20, `${host} has its snapshot`, () => cloud.log(host).slice(lines).some(({ msg }) => msg === 'snapshot'));
  await cloud.settle();
  await quiet(cloud);
  for (const [host, { held, lines }] of before) {
    assert.deepEqual(plans(cloud, host, lines), [], `plans of ${host} after its agent's restart`);
    sameLines(await inventory(cloud, host), held, `what ${host} holds`);
  }
}

/** Copies every row to the other engine: both must lead to the same states. */
async function sameOnOther(cloud: Cloud): Promise<void> {
  const source = await openStore(connection(cloud));
  const copy = await openStore(source.engine === 'sqlite' ? await freshDatabase() : `sqlite:///${join(cloud.state, 'copy.db')}`);
  try {
    await copy.write(async (tx) => {
      for (const { name } of tables()) {
        if (name === 'feed_state') continue;
        const rows = await source.reader.db.selectFrom(name).selectAll().execute();
        for (let i = 0; i < rows.length; i += 200) await tx.db.insertInto(name).values(rows.slice(i, i + 200).map((row) => ({ ...row }))).execute();
      }
    });
    for (const host of cloud.hosts) sameLines(await compileFrom(copy, cloud, host), await compileFrom(source, cloud, host), `HostState of ${host}`);
  } finally {
    await copy.close();
    await source.close();
  }
}

async function nothingLeft(cloud: Cloud): Promise<void> {
  const admin = await cloud.api();
  for (const { id } of (await admin.get('/compute/v2.1/servers?all_tenants=1')).servers) await admin.delete(`/compute/v2.1/servers/${id}`);
  await until(30, 'all servers are gone', async () => (await admin.get('/compute/v2.1/servers?all_tenants=1')).servers.length === 0);
  if (configOf(cloud).service_plugins.includes('router')) await deleteRouters(admin);
  for (const { id, device_owner } of (await admin.get('/network/v2.0/ports')).ports) if (device_owner !== 'network:dhcp') await admin.delete(`/network/v2.0/ports/${id}`);
  for (const { id } of (await admin.get('/network/v2.0/networks')).networks) await admin.delete(`/network/v2.0/networks/${id}`);
  await cloud.settle();
  for (const host of cloud.hosts) {
    let now = '';
    await until(15, `${host} is as it was before the scenario`, async () => (now = await inventory(cloud, host)) === cloud.baseline.get(host)).catch(() => sameLines(now, cloud.baseline.get(host)!, `what ${host} holds`));
  }
}

async function deleteRouters(admin: Api): Promise<void> {
  for (const { id } of (await admin.get('/network/v2.0/floatingips')).floatingips) await admin.delete(`/network/v2.0/floatingips/${id}`);
  for (const { id } of (await admin.get('/network/v2.0/routers')).routers) {
    await admin.request('PUT', `/network/v2.0/routers/${id}`, { router: { external_gateway_info: null, routes: [] } });
    for (const port of (await admin.get(`/network/v2.0/ports?device_id=${id}`)).ports) await admin.request('PUT', `/network/v2.0/routers/${id}/remove_router_interface`, { port_id: port.id });
    await admin.delete(`/network/v2.0/routers/${id}`);
  }
}

/** Compares texts and shows only the lines that differ. */
function sameLines(actual: string, expected: string, what: string): void {
  const [a, b] = [actual.split('\n'), expected.split('\n')];
  const [more, less] = [a.filter((line) => !b.includes(line)), b.filter((line) => !a.includes(line))];
  assert.deepEqual({ more, less }, { more: [], less: [] }, what);
}

/** Waits until no agent has said anything new for a while: instances come up beside the acknowledged state. */
async function quiet(cloud: Cloud): Promise<void> {
  const size = () => cloud.hosts.reduce((sum, host) => sum + cloud.log(host).length, 0);
  let seen = -1;
  await until(20, 'the agents are quiet', async () => {
    if (seen === size()) return true;
    seen = size();
    await new Promise((resume) => setTimeout(resume, 400));
    return false;
  });
}

function plans(cloud: Cloud, host: string, from: number): string[] {
  return cloud.log(host).slice(from).filter(({ msg }) => msg === 'plan').map(({ what, lines }) => `${what}: ${(lines as string[]).join('; ')}`);
}

async function compileFrom(store: Store, cloud: Cloud, host: string): Promise<string> {
  const compiler = new Compiler(configOf(cloud));
  compiler.apply(await loadIntent(store.reader));
  return printState(compiler.fromScratch(host));
}

function print(items: readonly Item[]): string {
  return printState(new Map(items.map((item) => [keyOf(item), item])));
}

function configOf(cloud: Cloud): Config {
  return loadConfig(readFileSync(statePath.config(cloud.state), 'utf8'));
}

function connection(cloud: Cloud): string {
  return configOf(cloud).connection ?? `sqlite:///${join(cloud.state, 'patchbay.db')}`;
}
