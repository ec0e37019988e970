import assert from 'node:assert/strict';
import type { Api } from '#testkit/api.ts';
import { type Cloud, scenario, until } from '#testkit/cloud.ts';

const MD = 'http://169.254.169.254';

/** A project with a routed network 10.0.0.0/24 and a server at 10.0.0.5 that has user data. */
async function tenant(cloud: Cloud, name: string): Promise<{ name: string; api: Api; id: string; router: any; network: any }> {
  const api = await cloud.makeProject(name);
  const network = await api.network({ name: `${name}-net` });
  const subnet = await api.subnet({ network_id: network.id, cidr: '10.0.0.0/24' });
  const router = await api.router({ name: `${name}-router` });
  await api.addInterface(router.id, subnet.id);
  const server = await api.server({ name: `${name}-vm`, networks: [{ uuid: network.id, fixed_ip: '10.0.0.5' }], user_data: Buffer.from(`#!/bin/sh\necho I am ${name}\n`).toString('base64') });
  return { name, api, id: server.id, router, network };
}

async function inside(cloud: Cloud, server: string, script: string): Promise<string> {
  const { code, stdout, stderr } = await cloud.exec(server, 'sh', '-c', script);
  assert.equal(code, 0, `${script}: ${stderr}${stdout}`);
  return stdout;
}

scenario('N-MD-4, N-MD-5, N-MD-11: behind routers two projects with the same addresses get each their own metadata', { config: 'force_config_drive: false\n' }, async (cloud, t) => {
  await (await cloud.api()).post('/compute/v2.1/flavors', { flavor: { name: 'm1.nano', ram: 128, vcpus: 1, disk: 1 } });
  const both = [await tenant(cloud, 'red'), await tenant(cloud, 'blue')];
  const hostOf = async ({ router }: { router: any }): Promise<string> => (await (await cloud.api()).get(`/network/v2.0/routers/${router.id}/l3-agents`)).agents[0].host;

  await t.test('N-MD-4: option 121 leads to the router\'s inner address, in whose namespace the proxy listens on 9697', async () => {
    for (const each of both) {
      await until(20, `${each.name}-vm has its way to metadata`, async () => (await cloud.exec(`${each.name}-vm`, 'ip', 'route', 'get', '169.254.169.254')).stdout.includes('via 10.0.0.1 '));
      assert.match(await cloud.host(await hostOf(each), 'ip', 'netns', 'exec', `qrouter-${each.router.id}`, 'ss', '-ltnp'), /:9697 .*haproxy/);
    }
  });

  await t.test('N-MD-11, N-MD-3: each gets its own, over IPv4 and over fe80::a9fe:a9fe', async () => {
    for (const { name, id } of both) {
      assert.equal(await inside(cloud, `${name}-vm`, `curl -sf ${MD}/latest/user-data`), `#!/bin/sh\necho I am ${name}\n`);
      assert.equal(JSON.parse(await inside(cloud, `${name}-vm`, `curl -sf ${MD}/openstack/latest/meta_data.json`)).uuid, id);
      assert.equal(JSON.parse(await inside(cloud, `${name}-vm`, "curl -sfg 'http://[fe80::a9fe:a9fe%25eth0]/openstack/latest/meta_data.json'")).uuid, id);
    }
  });

  await t.test('LP 1865036: forged headers change nothing, and the proxy is not reached past the redirect', async () => {
    const [red, blue] = both as [typeof both[0], typeof both[0]];
    const forged = [`X-Instance-ID: ${blue.id}`, `X-Tenant-ID: ${blue.api.project_id}`, 'X-Instance-ID-Signature: 00', 'X-Forwarded-For: 10.0.0.9', `X-Neutron-Router-ID: ${blue.router.id}`, `X-Neutron-Network-ID: ${blue.network.id}`];
    const seen = await inside(cloud, 'red-vm', `curl -sf ${forged.map((header) => `-H '${header}'`).join(' ')} ${MD}/openstack/latest/meta_data.json`);
    assert.equal(JSON.parse(seen).uuid, red.id);
    assert.notEqual((await cloud.exec('red-vm', 'curl', '-s', '--max-time', '2', 'http://10.0.0.1:9697/')).code, 0);
  });

  await t.test('instances took their user data from the metadata service', async () => {
    for (const { name } of both) await until(20, `${name}-vm ran it`, async () => JSON.stringify(await consoleOf(cloud, name)).includes(`I am ${name}`));
  });

  await t.test('N-MD-16: a router that goes leaves an isolated network: the DHCP server answers', async () => {
    const [red] = both as [typeof both[0]];
    const [leg] = (await red.api.get(`/network/v2.0/ports?device_id=${red.router.id}`)).ports;
    await red.api.request('PUT', `/network/v2.0/routers/${red.router.id}/remove_router_interface`, { port_id: leg.id });
    // A guest keeps for the length of its lease what the server told it: it must not ask before the server knows.
    await cloud.settle();
    await red.api.request('POST', `/compute/v2.1/servers/${red.id}/action`, { reboot: { type: 'HARD' } });
    await until(30, 'metadata by the DHCP server', async () => (await cloud.exec('red-vm', 'sh', '-c', `ip route get 169.254.169.254 | grep -q 'via 10.0.0.2 ' && curl -sf ${MD}/openstack/latest/meta_data.json`)).stdout.includes(red.id));
  });
});

async function consoleOf(cloud: Cloud, name: string): Promise<unknown> {
  const admin = await cloud.api();
  const [server] = (await admin.get(`/compute/v2.1/servers?all_tenants=1&name=${name}-vm`)).servers;
  return admin.post(`/compute/v2.1/servers/${server.id}/action`, { 'os-getConsoleOutput': { length: 100 } });
}
