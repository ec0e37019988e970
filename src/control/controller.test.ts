import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { freePort } from '#cli/bench/bare-controller.ts';
import { loadConfig } from '#model/config.ts';
import { jsonLog } from '#protocol/log.ts';
import { type Hello, type HostRole, PROTOCOL_VERSION } from '#protocol/messages.ts';
import { Api } from '#testkit/api.ts';
import { Controller } from './controller.ts';
import type { Credentials } from './identity/credentials-file.ts';

/** A controller without hosts, and its admin. */
async function controller(yaml: string, run: (controller: Controller, api: Api) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'patchbay-controller-'));
  const listen = `127.0.0.1:${await freePort()}`;
  const started = await Controller.start({ config: loadConfig(`bootstrap: none\nlisten: ${listen}\n${yaml}`), state: folder, log: jsonLog('test', () => {}) });
  try {
    const { admin } = JSON.parse(readFileSync(join(folder, 'credentials.json'), 'utf8')) as Credentials;
    await run(started, await Api.login(`http://${listen}`, admin.username, admin.password, admin.project_name));
  } finally {
    await started.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

const joinAs = (started: Controller, host: string, roles: readonly HostRole[]) => {
  const hello: Hello = {
    type: 'hello', version: PROTOCOL_VERSION, host, watermark: null, resources: { vcpus: 1, memory_mb: 1, local_gb: 1 },
    configurations: { tunneling_ip: null, bridge_mappings: {}, tunnel_types: ['vxlan'], datapath_type: 'netdev', integration_bridge: 'br-int', l2_population: true, roles },
  };
  return started.hosts.join(hello, { send() {}, close() {}, bufferedAmount: 0 });
};

test('N-ML2-22 N-L3-22: routers, and the alias that Horizon looks at, are there with the service plugin `router` only', async () => {
  const aliases = async (api: Api) => new Set((await api.get('/network/v2.0/extensions')).extensions.map(({ alias }: { alias: string }) => alias));
  const status = (api: Api, method: string, path: string) => api.request(method, path, method === 'POST' ? {} : undefined).then(() => 200, (error) => error.status);
  const paths = [['GET', '/network/v2.0/routers'], ['POST', '/network/v2.0/routers'], ['GET', '/network/v2.0/agents/none/l3-routers'], ['GET', '/network/v2.0/routers/none/l3-agents']] as const;
  const AT_ROUTERS = ['router', 'ext-gw-mode', 'extraroute', 'extraroute-atomic', 'l3_agent_scheduler', 'router_availability_zone'];
  await controller('service_plugins: []', async (started, api) => {
    for (const [method, path] of paths) await assert.rejects(api.request(method, path), ({ status: code, body }) => code === 404 && body.NeutronError.type === 'HTTPNotFound', path);
    const known = await aliases(api);
    assert.deepEqual(AT_ROUTERS.filter((alias) => known.has(alias)), []);
    assert.ok(!(await api.get('/network/v2.0')).resources.some(({ collection }: { collection: string }) => collection === 'routers'));
    await joinAs(started, 'host1', ['network']);
    assert.deepEqual((await api.get('/network/v2.0/agents')).agents.map((agent: any) => agent.agent_type).sort(), ['DHCP agent', 'Metadata agent', 'Open vSwitch agent']);
  });
  await controller('', async (_, api) => {
    assert.equal(await status(api, 'GET', '/network/v2.0/routers'), 200);
    const known = await aliases(api);
    assert.deepEqual(AT_ROUTERS.filter((alias) => !known.has(alias)), []);
    assert.ok((await api.get('/network/v2.0')).resources.some(({ collection }: { collection: string }) => collection === 'routers'));
  });
});

test('roles: only network hosts report DHCP, L3 and metadata agents, only compute hosts take instances; what waits is placed when one joins', async () => {
  await controller('', async (started, api) => {
    const { id: network_id } = await api.network({ name: 'home' });
    const { id: subnet_id } = await api.subnet({ network_id, cidr: '10.0.0.0/24' });
    const router = await api.post('/network/v2.0/routers', { router: {} }, 'router');
    await api.request('PUT', `/network/v2.0/routers/${router.id}/add_router_interface`, { subnet_id });
    await joinAs(started, 'compute1', ['compute']);
    const agents = async () => (await api.get('/network/v2.0/agents')).agents.map((agent: any) => `${agent.host} ${agent.binary} ${agent.topic} ${agent.alive}`).sort();
    assert.deepEqual(await agents(), ['compute1 neutron-openvswitch-agent N/A true']);
    await joinAs(started, 'net1', ['network']);
    assert.deepEqual(await agents(), [
      'compute1 neutron-openvswitch-agent N/A true', 'net1 neutron-dhcp-agent dhcp_agent true', 'net1 neutron-l3-agent l3_agent true',
      'net1 neutron-metadata-agent N/A true', 'net1 neutron-openvswitch-agent N/A true',
    ]);
    const [l3] = (await api.get('/network/v2.0/agents?agent_type=L3%20agent')).agents;
    assert.equal(l3.configurations.agent_mode, 'legacy');
    assert.deepEqual((await api.get('/compute/v2.1/os-hypervisors')).hypervisors.map((each: any) => each.hypervisor_hostname), ['compute1']);
    const hosts = async () => (await api.get(`/network/v2.0/ports?network_id=${network_id}&sort_key=device_owner&sort_dir=asc`)).ports.map((port: any) => `${port.device_owner} ${port['binding:host_id']} ${port['binding:vif_type']}`);
    const wanted = ['network:dhcp net1 ovs', 'network:router_interface net1 ovs'];
    for (let tries = 0; tries < 500 && (await hosts()).join() !== wanted.join(); tries++) await new Promise((resume) => setTimeout(resume, 10));
    assert.deepEqual(await hosts(), wanted);
  });
});
