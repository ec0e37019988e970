/** Instance metadata on a whole cloud, where the DHCP server answers for it: what a guest sees of itself, and of nobody else. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { endProcesses } from '#cli/datacentre/process.ts';
import { runningProcess } from '#cli/datacentre/state-folder.ts';
import { agentName, startAgent } from '#cli/services.ts';
import type { Api } from '#testkit/api.ts';
import { type Cloud, scenario, until } from '#testkit/cloud.ts';

const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPqkmDfa6hKZZ7nOhJ6XyXW1tlyOWOEB5zPRxFZ7ypVW';
const MD = 'http://169.254.169.254';

/** Follows every listing, as EC2 clients do: `PATH VALUE` for each leaf. */
const WALK = `walk() { for line in $(curl -s -f "$1/"); do case "$line" in */) walk "$1/\${line%/}";; *=*) walk "$1/\${line%%=*}";; *) printf '%s %s\\n' "$1/$line" "$(curl -s -f "$1/$line" | tr '\\n' ,)";; esac; done; }; walk "$0"`;

/** A project with a network 10.0.0.0/24 and a server at 10.0.0.5 on `host`. */
async function tenant(cloud: Cloud, name: string, host: string, userData: Buffer): Promise<{ api: Api; id: string; network: any }> {
  const [api, admin] = [await cloud.makeProject(name), await cloud.api()];
  const network = await api.network({ name: `${name}-net` });
  await api.subnet({ network_id: network.id, cidr: '10.0.0.0/24' });
  await api.post('/compute/v2.1/os-keypairs', { keypair: { name: `${name}-key`, public_key: `${KEY} ${name}@laptop` } });
  const server = await api.server({ name: `${name}-vm`, networks: [{ uuid: network.id, fixed_ip: '10.0.0.5' }], key_name: `${name}-key`, user_data: userData.toString('base64'), metadata: { owner: name } });
  assert.equal((await admin.get(`/compute/v2.1/servers/${server.id}`)).server['OS-EXT-SRV-ATTR:host'], host);
  return { api, id: server.id, network };
}

async function flavor(cloud: Cloud): Promise<void> {
  await (await cloud.api()).post('/compute/v2.1/flavors', { flavor: { name: 'm1.nano', ram: 128, vcpus: 1, disk: 1 } });
}

/** Standard output of a command in a guest that has its lease. */
async function inside(cloud: Cloud, server: string, script: string): Promise<string> {
  await until(20, `${server} has its lease`, async () => (await cloud.exec(server, 'ip', '-4', 'address', 'show', 'eth0')).stdout.includes('inet '));
  const { code, stdout, stderr } = await cloud.exec(server, 'sh', '-c', script);
  assert.equal(code, 0, `${script}: ${stderr}${stdout}`);
  return stdout;
}

scenario('N-MD-7, N-MD-11, N-MD-12: on isolated networks two projects with the same addresses get each their own metadata', {}, async (cloud, t) => {
  await flavor(cloud);
  const binary = Buffer.concat([Buffer.from('#!/bin/sh\nexit 0\n'), randomBytes(20_000), Buffer.from([0, 10, 13, 255])]);
  const red = await tenant(cloud, 'red', 'compute1', binary);
  const blue = await tenant(cloud, 'blue', 'compute2', Buffer.from('#cloud-config\nhostname: blå\n'));
  const both = [{ ...red, name: 'red' }, { ...blue, name: 'blue' }];

  await t.test('N-MD-12: option 121 leads to the DHCP server, in whose namespace the proxy listens', async () => {
    for (const { api, name, network } of both) {
      const [server] = (await (await cloud.api()).get(`/network/v2.0/ports?network_id=${network.id}&device_owner=network:dhcp`)).ports;
      assert.match(await inside(cloud, `${name}-vm`, 'ip route get 169.254.169.254'), new RegExp(`via ${server.fixed_ips[0].ip_address} dev eth0`));
      assert.match(await cloud.host(server['binding:host_id'], 'ip', 'netns', 'exec', `qdhcp-${network.id}`, 'ss', '-ltnp'), /169\.254\.169\.254:80 .*haproxy/);
      assert.equal(api.project_id, network.project_id);
    }
  });

  await t.test('N-MD-1, N-MD-2, N-MD-10, N-MD-11: the EC2 tree is walked from inside, without a token', async () => {
    for (const { name, id } of both) {
      assert.equal((await inside(cloud, `${name}-vm`, `curl -s ${MD}/`)).split('\n')[0], '1.0');
      const leaves = new Map((await inside(cloud, `${name}-vm`, `sh -c '${WALK.replaceAll("'", `'\\''`)}' ${MD}/1.0/meta-data; sh -c '${WALK.replaceAll("'", `'\\''`)}' ${MD}/latest/meta-data`)).trim().split('\n').map((line) => [line.slice(MD.length, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)]));
      assert.equal(leaves.get('/1.0/meta-data/public-keys/0/openssh-key'), `${KEY} ${name}@laptop`);
      assert.equal(leaves.get('/1.0/meta-data/instance-id'), `i-${id.slice(0, 8)}`);
      assert.deepEqual(['hostname', 'local-ipv4', 'instance-type', 'placement/availability-zone', 'security-groups'].map((leaf) => leaves.get(`/latest/meta-data/${leaf}`)), [`${name}-vm.novalocal`, '10.0.0.5', 'm1.nano', 'nova', 'default']);
      assert.equal(leaves.size, 9 + 17);
    }
  });

  await t.test('N-MD-3, N-MD-20: user data arrives byte by byte, binary and cloud-config', async () => {
    assert.equal(await inside(cloud, 'red-vm', `curl -s ${MD}/1.0/user-data | sha256sum`), `${createHash('sha256').update(binary).digest('hex')}  -\n`);
    assert.equal(await inside(cloud, 'blue-vm', `curl -s ${MD}/openstack/latest/user_data`), '#cloud-config\nhostname: blå\n');
  });

  await t.test('N-MD-17, N-MD-18: the OpenStack tree has the config drive’s bytes', async () => {
    for (const { name, id, api, network } of both) {
      const data = JSON.parse(await inside(cloud, `${name}-vm`, `curl -s ${MD}/openstack/latest/meta_data.json`));
      assert.deepEqual([data.uuid, data.project_id, data.meta, data.hostname], [id, api.project_id, { owner: name }, `${name}-vm.novalocal`]);
      const links = JSON.parse(await inside(cloud, `${name}-vm`, `curl -s ${MD}/openstack/latest/network_data.json`));
      assert.deepEqual([links.links.length, links.networks[0].network_id, links.networks[0].type], [1, network.id, 'ipv4_dhcp']);
      await inside(cloud, `${name}-vm`, `for f in meta_data network_data vendor_data vendor_data2; do curl -s ${MD}/openstack/latest/$f.json | cmp - /config/openstack/latest/$f.json || exit 1; done; curl -s ${MD}/openstack/latest/user_data | cmp - /config/openstack/latest/user_data`);
    }
  });

  await t.test('LP 1865036, OSSA-2013-033: what a guest says of itself changes nothing', async () => {
    const forged = [`X-Instance-ID: ${blue.id}`, `X-Tenant-ID: ${blue.api.project_id}`, 'X-Instance-ID-Signature: 00', 'X-Forwarded-For: 10.0.0.6', `X-Neutron-Network-ID: ${blue.network.id}`, `X-Neutron-Router-ID: ${blue.network.id}`, 'X-Metadata-Provider: lb'];
    assert.equal(await inside(cloud, 'red-vm', `curl -s ${forged.map((header) => `-H '${header}'`).join(' ')} ${MD}/latest/meta-data/hostname`), 'red-vm.novalocal');
    // A port of red's with blue's instance in it: red's guest takes its address, and is nobody.
    await red.api.port({ network_id: red.network.id, device_id: blue.id, fixed_ips: [{ ip_address: '10.0.0.66' }], name: 'forged' });
    const [nic] = (await red.api.get(`/network/v2.0/ports?device_id=${red.id}`)).ports;
    await red.api.request('PUT', `/network/v2.0/ports/${nic.id}`, { port: { allowed_address_pairs: [{ ip_address: '10.0.0.66' }] } });
    await cloud.settle();
    assert.equal(await inside(cloud, 'red-vm', `ip address add 10.0.0.66/24 dev eth0; curl -s -o /dev/null -w '%{http_code}' --interface 10.0.0.66 ${MD}/; ip address del 10.0.0.66/24 dev eth0`), '404');
  });

  await t.test('the password is told once', async () => {
    assert.equal(await inside(cloud, 'red-vm', `for p in first second; do curl -s -o /dev/null -w '%{http_code} ' -d $p ${MD}/openstack/latest/password; done; curl -s ${MD}/openstack/latest/password`), '200 409 first');
    assert.deepEqual(await red.api.get(`/compute/v2.1/servers/${red.id}/os-server-password`), { password: 'first' });
  });

  await t.test('what a request takes', async () => {
    const answers = (await inside(cloud, 'red-vm', `for i in $(seq 60); do curl -s -o /dev/null -w '%{http_code} %{time_total}\\n' ${MD}/latest/meta-data/instance-id; done`)).trim().split('\n').map((line) => line.split(' '));
    assert.ok(answers.every(([status]) => status === '200'));
    const times = answers.map(([, seconds]) => Number(seconds)).sort((a, b) => a - b);
    t.diagnostic(`a request takes ${(times[30]! * 1000).toFixed(1)} ms (p50), ${(times[57]! * 1000).toFixed(1)} ms (p95) inside the instance`);
  });

  await t.test('law 3: without the agent a guest is told to try again, and the next agent answers by the same proxy', async () => {
    const proxies = () => cloud.host('compute1', 'pgrep', '-f', 'metadata/qdhcp');
    const before = await proxies();
    await endProcesses([runningProcess(cloud.state, agentName('compute1'))!], 'SIGKILL');
    const status = () => cloud.exec('red-vm', 'curl', '-s', '-m', '10', '-o', '/dev/null', '-w', '%{http_code}', `${MD}/`);
    assert.equal((await status()).stdout, '503');
    await startAgent(cloud.state, cloud.plan.hosts.find(({ name }) => name === 'compute1')!);
    await until(20, 'metadata is served again', async () => (await status()).stdout === '200');
    assert.equal(await proxies(), before);
  });
});

scenario('N-MD-13: with enable_isolated_metadata false there is neither route nor proxy', { hosts: 1, config: 'enable_isolated_metadata: false\n' }, async (cloud) => {
  await flavor(cloud);
  const { network } = await tenant(cloud, 'red', 'compute1', Buffer.from('x'));
  assert.doesNotMatch(await inside(cloud, 'red-vm', 'ip route'), /169\.254/);
  assert.equal((await cloud.exec('red-vm', 'curl', '-s', '-m', '3', `${MD}/`)).stdout, '');
  assert.doesNotMatch(await cloud.host('compute1', 'ip', 'netns', 'exec', `qdhcp-${network.id}`, 'sh', '-c', 'ss -ltn; ip address'), /169\.254|:80 /);
  assert.equal((await cloud.tryHost('compute1', 'pgrep', '-f', 'metadata/qdhcp')).stdout, '');
});

scenario('N-MD-14: with force_metadata the DHCP side serves whatever the other option says; metadata_tokens: required asks for a token', { hosts: 1, config: 'enable_isolated_metadata: false\nforce_metadata: true\nmetadata_tokens: required\n' }, async (cloud) => {
  await flavor(cloud);
  await tenant(cloud, 'red', 'compute1', Buffer.from('#!/bin/sh\n'));
  assert.equal(await inside(cloud, 'red-vm', `curl -s -o /dev/null -w '%{http_code}' ${MD}/latest/user-data`), '401');
  assert.equal(await inside(cloud, 'red-vm', `t=$(curl -s -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' ${MD}/latest/api/token); curl -s -H "X-aws-ec2-metadata-token: $t" ${MD}/latest/user-data`), '#!/bin/sh\n');
});
