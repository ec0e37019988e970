import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InstanceItem } from '#hoststate/instance.ts';
import { renderConfigDrive } from './config-drive.ts';

const MAC = 'fa:16:3e:00:00:01';

function item(files: Record<string, unknown>, macs: string[] = [MAC]): InstanceItem {
  const text = (content: unknown) => (typeof content === 'string' ? content : JSON.stringify(content));
  return {
    type: 'instance',
    server_id: '6a1f4f3e-0000-4000-8000-000000000001',
    name: 'web',
    hostname: 'web',
    project_id: 'p',
    image: 'busybox',
    vcpus: 1,
    ram: 64,
    power: 'on',
    ready: true,
    generation: 1,
    nics: macs.map((mac_address, index) => ({ port_id: `port${index}`, device: `tapport${index}`, mac_address, mtu: 1500 })),
    has_config_drive: true,
    config_drive: Object.fromEntries(Object.entries(files).map(([path, content]) => [path, Buffer.from(text(content)).toString('base64')])),
  };
}

/** The plain files as one text. */
function plain(instance: InstanceItem): string {
  return [...renderConfigDrive(instance).files]
    .filter(([path]) => path.startsWith('.patchbay/'))
    .map(([path, content]) => `${path.slice('.patchbay/'.length)}:\n${content.toString().replaceAll(/^(?=.)/gm, '  ')}`)
    .join('');
}

const NICS = 'openstack/latest/network_data.json';

test('the tree is served byte for byte', () => {
  const bytes = Buffer.from([0x23, 0x21, 0, 0xff, 0x0a]);
  const { files } = renderConfigDrive({ ...item({}), config_drive: { 'openstack/latest/user_data': bytes.toString('base64') } });
  assert.deepEqual(files.get('openstack/latest/user_data'), bytes);
});

test('host name, id and keys become plain lines, each key once', () => {
  const metaData = {
    uuid: 'u',
    hostname: 'web.novalocal',
    public_keys: { mine: 'ssh-ed25519 AAAA me\n' },
    keys: [
      { name: 'mine', type: 'ssh', data: 'ssh-ed25519 AAAA me' },
      { name: 'other', type: 'ssh', data: 'ssh-rsa BBBB\n' },
      { name: 'windows', type: 'x509', data: 'CERT' },
    ],
  };
  assert.equal(
    plain(item({ 'openstack/latest/meta_data.json': metaData })),
    `hostname:
  web
instance-id:
  6a1f4f3e-0000-4000-8000-000000000001
authorized_keys:
  ssh-ed25519 AAAA me
  ssh-rsa BBBB
nics/eth0:
  dhcp4
`,
  );
});

test('each NIC asks for what network_data.json says of its MAC', () => {
  const second = 'fa:16:3e:00:00:02';
  const third = 'fa:16:3e:00:00:03';
  const data = {
    links: [
      { id: 'tapb', ethernet_mac_address: second.toUpperCase() },
      { id: 'tapa', ethernet_mac_address: MAC },
      { id: 'tapc', ethernet_mac_address: third },
    ],
    networks: [
      { link: 'tapa', type: 'ipv4_dhcp' },
      { link: 'tapa', type: 'ipv6_dhcpv6-stateful', netmask: 'ffff:ffff:ffff:ff00::' },
      {
        link: 'tapb',
        type: 'ipv4',
        ip_address: '10.1.0.5',
        netmask: '255.255.252.0',
        gateway: '10.1.0.1',
        routes: [{ network: '10.9.0.0', netmask: '255.255.0.0', gateway: '10.1.0.2' }],
      },
      { link: 'tapb', type: 'ipv6_slaac' },
      { link: 'tapb', type: 'ipv6', ip_address: 'fd00::5', netmask: 'ffff:ffff:ffff:ffff::' },
    ],
    services: [{ type: 'dns', address: '10.1.0.9' }],
  };
  const text = plain(item({ [NICS]: data }, [MAC, second, third]));
  assert.equal(
    text.slice(text.indexOf('nics/')),
    `nics/eth0:
  dhcp4
  dhcp6 56
nics/eth1:
  address 10.1.0.5/22
  route 10.9.0.0/16 10.1.0.2
  route 0.0.0.0/0 10.1.0.1
  address fd00::5/64
  dns 10.1.0.9
nics/eth2:
`,
  );
});

test('stateful DHCPv6 in the older spelling, stateless, and a /64 where nothing says otherwise', () => {
  const lines = (type: string) => {
    const text = plain(item({ [NICS]: { links: [{ id: 'l', ethernet_mac_address: MAC }], networks: [{ link: 'l', type }] } }));
    return text.slice(text.indexOf('eth0:\n') + 6);
  };
  assert.equal(lines('ipv6_dhcp'), '  dhcp6 64\n');
  assert.equal(lines('ipv6_dhcpv6-stateless'), '  dhcp6-stateless\n');
  assert.equal(lines('ipv6_slaac'), '');
});

test('broken JSON is as good as none', () => {
  const text = plain(item({ [NICS]: '{', 'openstack/latest/meta_data.json': 'x' }));
  assert.match(text, /authorized_keys:\nnics\/eth0:\n {2}dhcp4\n/);
});

test('a newline in tenant data makes no second command', () => {
  const data = { links: [{ id: 'l', ethernet_mac_address: MAC }], networks: [{ link: 'l', type: 'ipv4', ip_address: '10.0.0.5/24\ndns 6.6.6.6' }] };
  assert.match(plain(item({ [NICS]: data })), /eth0:\n {2}address 10\.0\.0\.5\/24 dns 6\.6\.6\.6\n$/);
});

test('without a config drive only facts are there: the network, and the reading of a cloud-config for whoever has its bytes', () => {
  const metaData = { public_keys: { mine: 'ssh-ed25519 AAAA me' } };
  const instance = { ...item({ 'openstack/latest/meta_data.json': metaData, 'openstack/latest/user_data': '#cloud-config\nhostname: db\nruncmd: [date]\n' }), has_config_drive: false };
  const { files, hostname } = renderConfigDrive(instance);
  assert.deepEqual([...files.keys()].toSorted(), ['.patchbay/cloud-config/notes', '.patchbay/cloud-config/runcmd', '.patchbay/cloud-config/sha256', '.patchbay/hostname', '.patchbay/instance-id', '.patchbay/nics/eth0']);
  assert.equal(hostname, 'db');
  assert.equal(renderConfigDrive({ ...instance, has_config_drive: true }).files.get('.patchbay/authorized_keys')!.toString(), 'ssh-ed25519 AAAA me\n');
});

test('no path leaves the drive', () => {
  for (const path of ['../evil', 'a/../../evil', '/etc/passwd', 'a//b', ''])
    assert.throws(() => renderConfigDrive(item({ [path]: 'x' })), { name: 'InstanceError', code: 'create_failed' }, path);
});
