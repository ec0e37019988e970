import assert from 'node:assert/strict';
import { configDrive } from '#model/metadata-tree.ts';
import { floatingIp } from '#model/routers.ts';
import { metadataSource } from '#compile/nodes/instance.ts';
import { Table } from '#store/table.ts';
import { type MetadataCloud, metadataCloud } from '#testkit/metadata-cloud.ts';
import { eachStore } from '#testkit/stores.ts';
import { newObject } from '../network/new-object.ts';
import { EC2_VERSIONS } from './ec2-tree.ts';

const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPqkmDfa6hKZZ7nOhJ6XyXW1tlyOWOEB5zPRxFZ7ypVW me@laptop';
const USER_DATA = Buffer.from([0x23, 0x21, 0x00, 0xff, 0x0d, 0x0a, 0x80, 0xfe]);

type Me = { id: string; project: string };

/** A server of demo with a key, user data, a floating IP and a tagged NIC. */
async function me({ network, boot, ok, store, world }: MetadataCloud): Promise<Me> {
  const home = await network('10.0.0.0/24');
  await ok('demo', 'POST', '/compute/v2.1/os-keypairs', { keypair: { name: 'demo-key', public_key: KEY } });
  const { id } = await boot('demo', { networks: [{ uuid: home.id, fixed_ip: '10.0.0.5', tag: 'blue' }], key_name: 'demo-key', user_data: USER_DATA.toString('base64'), metadata: { role: 'web' } });
  const [nic] = (await world()).get('servers', id)!.ports;
  await store.write((tx) => new Table(floatingIp).insert(tx, [newObject(floatingIp, tx, {
    project_id: 'demo', floating_network_id: home.id, floating_ip_address: '172.16.0.77', router_id: null, port_id: nic!.port_id, fixed_ip_address: '10.0.0.5', status: 'ACTIVE', dns_name: '', dns_domain: '', floating_port_id: crypto.randomUUID(),
  })]));
  return { id, project: 'demo' };
}

eachStore('N-MD-1, N-MD-10: a walk from / reaches every leaf of every version, with and without a slash at the end', (store) => metadataCloud(store, async (cloud) => {
  const { ask } = cloud;
  const instance = await me(cloud);
  const get = async (path: string): Promise<string> => {
    const [plain, slash] = [await ask(instance, path), await ask(instance, `${path}/`)];
    assert.deepEqual([plain.status, slash.status, slash.text], [200, 200, plain.text], path);
    return plain.text;
  };
  /** Leaf → text; follows what the listings say, as EC2 clients do. */
  const walk = async (path: string, found = new Map<string, string>()): Promise<Map<string, string>> => {
    for (const line of (await get(path)).split('\n')) {
      const [name = '', label] = line.split('=');
      if (label !== undefined || line.endsWith('/')) await walk(`${path}/${name.replace('/', '')}`, found);
      else found.set(`${path}/${name}`, await get(`${path}/${name}`));
    }
    return found;
  };
  const versions = (await get('')).split('\n');
  assert.deepEqual(versions, [...EC2_VERSIONS, 'latest']);
  assert.equal(await get('/1.0'), 'meta-data/\nuser-data');
  const leaves = await walk('/latest/meta-data');
  const short = instance.id.replaceAll('-', '').slice(0, 8);
  assert.deepEqual(Object.fromEntries([...leaves].map(([path, text]) => [path.slice('/latest/meta-data/'.length), text])), {
    'ami-id': leaves.get('/latest/meta-data/ami-id')!, 'ami-launch-index': '0', 'ami-manifest-path': '(unknown)', 'block-device-mapping/ami': 'vda', 'block-device-mapping/root': '/dev/vda',
    hostname: 'web.novalocal', 'instance-action': 'none', 'instance-id': `i-${short}`, 'instance-type': 'm1.nano', 'local-hostname': 'web.novalocal', 'local-ipv4': '10.0.0.5',
    'placement/availability-zone': 'nova', 'public-hostname': 'web.novalocal', 'public-ipv4': '172.16.0.77', 'public-keys/0/openssh-key': KEY,
    'reservation-id': leaves.get('/latest/meta-data/reservation-id')!, 'security-groups': 'default',
  });
  assert.match(leaves.get('/latest/meta-data/ami-id')!, /^ami-[0-9a-f]{8}$/);
  assert.match(leaves.get('/latest/meta-data/reservation-id')!, /^r-[0-9a-z]{8}$/);
  assert.equal(await get('/ec2/latest/meta-data/public-keys'), '0=demo-key');
  assert.equal(await get('/2009-04-04/meta-data/public-keys/0'), 'openssh-key');
  const sizes = await Promise.all(versions.map(async (version) => (await walk(`/${version}/meta-data`)).size));
  assert.deepEqual(sizes, [9, 12, 12, 13, 13, 15, 16, 17, 17, 17], 'leaves of each version');
  for (const path of ['/nothing', '/latest/meta-data/kernel-id', '/latest/meta-data/ramdisk-id', '/latest/meta-data/hostname/x', '/1.0/meta-data/placement', '/latest/meta-data/__proto__', '/latest/%zz', '/openstack/2011-01-01', '/openstack/latest/nothing', '/openstack/content/0000', '/openstack/latest/meta_data.json/x']) {
    assert.equal((await ask(instance, path)).status, 404, path);
  }
  assert.equal((await ask(instance, '//latest/./meta-data/../meta-data//hostname?x=1')).text, 'web.novalocal');
  assert.equal((await ask(instance, 'http://169.254.169.254/latest/meta-data/hostname')).text, 'web.novalocal');
}));

eachStore('N-MD-2, N-MD-3: the key given at boot and the user data, byte by byte; 404 without', (store) => metadataCloud(store, async (cloud) => {
  const { ask, boot, network } = cloud;
  const instance = await me(cloud);
  assert.equal((await ask(instance, '/1.0/meta-data/public-keys/0/openssh-key')).text, KEY);
  for (const path of ['/1.0/user-data', '/latest/user-data', '/openstack/latest/user_data', '/openstack/2012-08-10/user_data']) assert.deepEqual((await ask(instance, path)).bytes, USER_DATA, path);
  const plain = { ...(await boot('demo', { name: 'plain', networks: [{ uuid: (await network('10.1.0.0/24', { 'provider:segmentation_id': 2 })).id }] })), project: 'demo' };
  for (const path of ['/latest/user-data', '/openstack/latest/user_data', '/latest/meta-data/public-keys']) assert.equal((await ask(plain, path)).status, 404, path);
  assert.equal((await ask(plain, '/latest')).text, 'meta-data/');
  assert.equal((await ask(plain, '/latest/meta-data/public-ipv4')).text, '');
}));

eachStore('N-MD-17, N-MD-18: the OpenStack tree has the bytes of the config drive, and each version its own files', (store) => metadataCloud(store, async (cloud) => {
  const { ask, world } = cloud;
  const instance = await me(cloud);
  assert.equal((await ask(instance, '/openstack')).text, '2012-08-10\n2013-04-04\n2013-10-17\n2015-10-15\n2016-06-30\n2016-10-06\n2017-02-22\n2018-08-27\n2020-10-14\n2025-04-04\nlatest');
  assert.equal((await ask(instance, '/openstack/latest/')).text, 'meta_data.json\nuser_data\npassword\nvendor_data.json\nnetwork_data.json\nvendor_data2.json');
  assert.equal((await ask(instance, '/openstack/2012-08-10')).text, 'meta_data.json\nuser_data');
  assert.equal((await ask(instance, '/openstack/2012-08-10/password')).status, 404);
  const intent = await world();
  for (const [path, content] of Object.entries(configDrive(metadataSource(intent, intent.get('servers', instance.id)!)))) {
    const answer = await ask(instance, `/${path}`);
    assert.deepEqual([answer.status, answer.headers['content-type']], [200, path.endsWith('.json') ? 'application/json' : 'text/plain; charset=UTF-8'], path);
    assert.deepEqual(answer.bytes, content, path);
  }
  const { random_seed, ...data } = JSON.parse((await ask(instance, '/openstack/latest/meta_data.json')).text);
  assert.equal(Buffer.from(random_seed, 'base64').length, 512);
  assert.deepEqual([data.uuid, data.project_id, data.meta, data.keys, data.devices[0].tags], [instance.id, 'demo', { role: 'web' }, [{ name: 'demo-key', type: 'ssh', data: KEY }], ['blue']]);
  assert.equal((await ask(instance, '/openstack/latest/meta_data.json', { method: 'DELETE' })).status, 405);
}));

eachStore('N-MD-8, N-MD-9, OSSA-2014-024: headers that are missing, doubled, forged or of another project are refused', (store) => metadataCloud(store, async (cloud) => {
  const { ask } = cloud;
  const instance = await me(cloud);
  const status = async (headers: Record<string, string[] | undefined>) => (await ask(instance, '/latest/meta-data/hostname', { headers })).status;
  for (const name of ['x-instance-id', 'x-tenant-id', 'x-instance-id-signature']) {
    assert.equal(await status({ [name]: undefined }), 400, name);
    assert.equal(await status({ [name]: ['a', 'b'] }), 400, name);
  }
  for (const wrong of ['', 'a', '0'.repeat(64), 'ü'.repeat(64)]) assert.equal(await status({ 'x-instance-id-signature': [wrong] }), 403, wrong);
  assert.equal(await status({ 'x-instance-id': [crypto.randomUUID()] }), 403, 'somebody else’s id with this signature');
  assert.equal(await status({ 'x-tenant-id': ['alt'] }), 404);
  assert.equal((await ask({ id: crypto.randomUUID(), project: 'demo' }, '/')).status, 404);
}));

eachStore('the guest tells its password once, and the Compute API shows and clears it', (store) => metadataCloud(store, async (cloud) => {
  const { ask, call } = cloud;
  const instance = await me(cloud);
  const path = '/openstack/latest/password';
  const post = async (body: string | Buffer) => (await ask(instance, path, { method: 'POST', body: Buffer.from(body) })).status;
  const api = async (method: string, who = 'demo') => call(who, method, `/compute/v2.1/servers/${instance.id}/os-server-password`);
  assert.deepEqual([(await ask(instance, path)).status, (await ask(instance, path)).text], [200, '']);
  assert.deepEqual((await api('GET')).body, { password: '' });
  assert.deepEqual([await post('x'.repeat(1021)), await post(Buffer.from([0xff])), await post('a\0b')], [400, 400, 400]);
  assert.equal(await post('encrypted=='), 200);
  assert.deepEqual([await post('again'), (await ask(instance, path)).text], [409, 'encrypted==']);
  assert.equal((await ask(instance, path, { method: 'PUT' })).status, 405);
  assert.deepEqual([(await api('GET')).body, (await api('GET', 'alt')).status, (await api('DELETE', 'reader')).status], [{ password: 'encrypted==' }, 404, 403]);
  assert.equal((await api('DELETE')).status, 204);
  assert.deepEqual([(await ask(instance, path)).text, await post('second')], ['', 200]);
}));

eachStore('metadata_tokens: off knows none, optional takes them, required asks for one; a token is one instance’s and ends', (store) => metadataCloud(store, async (cloud) => {
  const { ask, boot, network } = cloud;
  const instance = await me(cloud);
  const other = { ...(await boot('demo', { name: 'other', networks: [{ uuid: (await network('10.1.0.0/24', { 'provider:segmentation_id': 2 })).id }] })), project: 'demo' };
  const life = (seconds: string) => ({ 'x-aws-ec2-metadata-token-ttl-seconds': [seconds] });
  const put = (who: Me, seconds: string, tokens: 'off' | 'optional' | 'required' = 'required') => ask(who, '/latest/api/token', { method: 'PUT', headers: life(seconds), tokens });
  assert.deepEqual([(await put(instance, '60', 'off')).status, (await ask(instance, '/latest/api/token')).status], [404, 405]);
  for (const seconds of ['0', '21601', '-1', 'x', '']) assert.equal((await put(instance, seconds)).status, 400, seconds);
  const { status, text: token, headers } = await put(instance, '21600');
  assert.deepEqual([status, headers['x-aws-ec2-metadata-token-ttl-seconds']], [200, '21600']);
  const status2 = async (who: Me, tokens: 'off' | 'optional' | 'required', given?: string, path = '/latest/meta-data/hostname') =>
    (await ask(who, path, { tokens, headers: given === undefined ? {} : { 'x-aws-ec2-metadata-token': [given] } })).status;
  assert.deepEqual([await status2(instance, 'off', 'bad'), await status2(instance, 'optional'), await status2(instance, 'optional', token), await status2(instance, 'optional', 'bad')], [200, 200, 200, 401]);
  for (const path of ['/', '/latest/meta-data/hostname', '/openstack/latest/meta_data.json', '/openstack/latest/password']) {
    assert.deepEqual([await status2(instance, 'required', undefined, path), await status2(instance, 'required', token, path), await status2(other, 'required', token, path)], [401, 200, 401], path);
  }
  const [end, mac] = token.split('.');
  for (const forged of [`${(Number.parseInt(end!, 36) + 9).toString(36)}.${mac}`, `${end}.`, `.${mac}`, `${end}.${mac}x`, end!]) assert.equal(await status2(instance, 'required', forged), 401, forged);
}));

eachStore('N-MD-19: a server made anew with other user data gets the new', (store) => metadataCloud(store, async ({ boot, network, ok, ask }) => {
  const home = await network('10.0.0.0/24');
  const make = async (text: string): Promise<Me> => ({ ...(await boot('demo', { networks: [{ uuid: home.id, fixed_ip: '10.0.0.9' }], user_data: Buffer.from(text).toString('base64') })), project: 'demo' });
  const first = await make('#!/bin/bash\necho one\n');
  assert.equal((await ask(first, '/latest/user-data')).text, '#!/bin/bash\necho one\n');
  await ok('demo', 'DELETE', `/compute/v2.1/servers/${first.id}`);
  assert.equal((await ask(first, '/latest/user-data')).status, 404);
  assert.equal((await ask(await make('#cloud-config\n'), '/latest/user-data')).text, '#cloud-config\n');
}));
