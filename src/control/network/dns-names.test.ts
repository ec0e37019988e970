import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError } from '#model/errors.ts';
import { loadConfig } from '#model/config.ts';
import type { Store } from '#store/store.ts';
import { networkApi } from '#testkit/network-api.ts';
import { eachStore } from '#testkit/stores.ts';
import { dump } from '#testkit/table-dump.ts';
import { agentsRule } from './agents.ts';
import { dnsAssignment, dnsDomain, dnsName } from './dns-names.ts';
import { extensions } from './extensions.ts';
import { networksRule } from './networks.ts';
import { portHooks } from './port-hooks.ts';
import { portsRule } from './ports.ts';
import { syncSegmentPools } from './segments.ts';
import { subnetsRule } from './subnets.ts';

const configWith = (dns_domain: string) => loadConfig(`dns_domain: '${dns_domain}'`);
const example = configWith('Example.org');
const refusal = (read: () => string): string => {
  try {
    return `taken: ${read()}`;
  } catch (error) {
    return error instanceof ApiError ? `${error.type}: ${error.message}` : String(error);
  }
};
const label = (n: number) => 'a'.repeat(n);
const long = [label(63), label(63), label(63), label(61)].join('.');

test('dns_name: labels, a full name in the cloud’s domain, 255 characters in all', () => {
  const cases: [name: string, answer: RegExp][] = [
    ['', /^taken: $/], ['Web-1', /^taken: web-1$/], ['www.web', /^taken: www\.web$/], ['1', /^taken: 1$/], ['web.example.ORG.', /^taken: web\.example\.org\.$/],
    [label(63), /^taken: /], [label(64), /^HTTPBadRequest: Invalid input for dns_name\. Reason: .*1 to 63/], ['-web', /dns_name.*hyphen/], ['web-', /dns_name.*hyphen/], ['a..b', /dns_name/], ['.', /dns_name/], ['web_1', /dns_name/],
    ['wéb', /dns_name/], ['web\n1', /dns_name.*'web\?1'/], ['web.1', /dns_name.*all numeric/], ['web.example.com.', /dns_name.*'example\.org\.'/], ['example.org.', /dns_name.*'example\.org\.'/],
    // 255 is what DNS carries, the domain and its final dot among it.
    [long.slice(0, 242), /^taken: /], [long.slice(0, 243).replace(/\.$/, 'a'), /dns_name.*exceeds the 255/],
  ];
  for (const [name, answer] of cases) assert.match(refusal(() => dnsName(example, name)), answer, name);
  assert.match(refusal(() => dnsName(configWith(''), 'anything.com.')), /^taken/, 'without a domain every name is in it');
});

test('dns_domain: a full name that leaves room for another', () => {
  const cases: [name: string, answer: RegExp][] = [
    ['', /^taken: $/], ['Example.Org.', /^taken: example\.org\.$/], ['example.org', /^HTTPBadRequest: Invalid input for dns_domain\. Reason: .*FQDN/], ['example..org.', /dns_domain/], ['a b.', /dns_domain/],
    ['example.42.', /dns_domain.*all numeric/], [`${long.slice(1)}.`, /^taken: /], [`${long}.`, /dns_domain.*no room/],
  ];
  for (const [name, answer] of cases) assert.match(refusal(() => dnsDomain(name)), answer, name);
});

test('dns_assignment: the port’s name or one made of the address, in the domain of the configuration', () => {
  const fixed_ips = [{ subnet_id: 's', ip_address: '10.0.0.5' }, { subnet_id: 't', ip_address: 'fd00:1::5' }];
  const shown = (dns_name: string, config = example) => dnsAssignment(config, { dns_name, fixed_ips }).map(({ hostname, fqdn, ip_address }) => [hostname, fqdn, ip_address]);
  assert.deepEqual(shown('web'), [['web', 'web.example.org.', '10.0.0.5'], ['web', 'web.example.org.', 'fd00:1::5']]);
  assert.deepEqual(shown(''), [['host-10-0-0-5', 'host-10-0-0-5.example.org.', '10.0.0.5'], ['host-fd00-1--5', 'host-fd00-1--5.example.org.', 'fd00:1::5']]);
  assert.deepEqual(shown('web.example.org.')[0], ['web.example.org.', 'web.example.org.', '10.0.0.5']);
  assert.deepEqual([shown('web', loadConfig(''))[0]![1], shown('web', configWith(''))[0]![1]], ['web.openstacklocal.', 'web']);
  assert.deepEqual(dnsAssignment(example, { dns_name: 'web', fixed_ips: [] }), []);
});

test('extension_drivers says which of the extensions there are', () => {
  const offered = (drivers: string) => extensions(loadConfig(drivers)).map(({ alias }) => alias).filter((alias) => alias.startsWith('dns-'));
  assert.deepEqual(offered(''), ['dns-domain-ports', 'dns-integration']);
  assert.deepEqual(offered('extension_drivers: [port_security, dns]'), ['dns-integration']);
  assert.deepEqual(offered('extension_drivers: [port_security]'), []);
});

const config = loadConfig('');

async function api(store: Store) {
  await store.write((tx) => syncSegmentPools(tx, config));
  const deps = { config, hooks: portHooks(config) };
  return networkApi(store, config, [networksRule(deps), subnetsRule(deps), portsRule(deps), agentsRule(deps)]);
}

eachStore('ports and networks have names and domains; dns_assignment follows a change of either name or address', async (store) => {
  const { ok, close } = await api(store);
  const { network } = await ok('demo', 'POST', '/v2.0/networks', { network: { dns_domain: 'Net.Example.' } });
  await ok('demo', 'POST', '/v2.0/subnets', { subnet: { network_id: network.id, ip_version: 4, cidr: '10.0.0.0/24' } });
  const { port } = await ok('demo', 'POST', '/v2.0/ports', { port: { network_id: network.id, dns_name: 'Web', dns_domain: 'Own.Example.' } });
  assert.deepEqual([network.dns_domain, port.dns_name, port.dns_domain], ['net.example.', 'web', 'own.example.']);
  assert.deepEqual(port.dns_assignment, [{ hostname: 'web', ip_address: '10.0.0.2', fqdn: 'web.openstacklocal.' }]);
  const put = async (changes: object) => (await ok('demo', 'PUT', `/v2.0/ports/${port.id}`, { port: changes })).port;
  assert.deepEqual((await put({ fixed_ips: [{ ip_address: '10.0.0.9' }] })).dns_assignment, [{ hostname: 'web', ip_address: '10.0.0.9', fqdn: 'web.openstacklocal.' }]);
  assert.deepEqual((await put({ dns_name: 'db.openstacklocal.' })).dns_assignment, [{ hostname: 'db.openstacklocal.', ip_address: '10.0.0.9', fqdn: 'db.openstacklocal.' }]);
  assert.deepEqual((await put({ dns_name: '', dns_domain: '' })).dns_assignment, [{ hostname: 'host-10-0-0-9', ip_address: '10.0.0.9', fqdn: 'host-10-0-0-9.openstacklocal.' }]);
  assert.equal((await ok('demo', 'PUT', `/v2.0/networks/${network.id}`, { network: { dns_domain: '' } })).network.dns_domain, '');
  await close();
});

eachStore('bad names and domains and crafted name servers (OSSA-2014-039) are 400 with the attribute, and the store is unchanged', async (store) => {
  const { ok, call, close } = await api(store);
  const { network } = await ok('demo', 'POST', '/v2.0/networks', { network: {} });
  const { subnet } = await ok('demo', 'POST', '/v2.0/subnets', { subnet: { network_id: network.id, ip_version: 4, cidr: '10.0.0.0/24' } });
  const { port } = await ok('demo', 'POST', '/v2.0/ports', { port: { network_id: network.id, dns_name: 'web' } });
  const before = await dump(store.reader, ['networks', 'subnets', 'ports', 'ip_allocations']);
  const names = ['web.', 'a b', '-', 'x'.repeat(64), `${'x'.repeat(50)}.`.repeat(9), 'web\n10.0.0.1 www.example.com', 7, null, ['web'], {}];
  const domains = ['example.org', 'a b.', '..', '#.', `${'x'.repeat(60)}.`.repeat(5), 'org.\naddress=/#/10.0.0.1', 7, null];
  const servers = ['1.1.1.1\n', '1.1.1.1#53', '1.1.1.1/24', '/example.org/1.1.1.1', '::1%lo', '01.1.1.1', '1.1.1', '1.1.1.1,2.2.2.2', '$(reboot)', ' ', '', 'a'.repeat(10_000), '\u0661.1.1.1', 7, null, { ip: '1.1.1.1' }, [['1.1.1.1']]];
  type Attempt = [method: string, collection: string, id: string, member: string, attribute: string, value: unknown];
  const attempts: Attempt[] = [
    ...names.flatMap((value): Attempt[] => [['POST', 'ports', '', 'port', 'dns_name', value], ['PUT', 'ports', port.id, 'port', 'dns_name', value]]),
    ...domains.flatMap((value): Attempt[] => [['PUT', 'ports', port.id, 'port', 'dns_domain', value], ['POST', 'networks', '', 'network', 'dns_domain', value], ['PUT', 'networks', network.id, 'network', 'dns_domain', value]]),
    ...servers.flatMap((value): Attempt[] => [['POST', 'subnets', '', 'subnet', 'dns_nameservers', [value]], ['PUT', 'subnets', subnet.id, 'subnet', 'dns_nameservers', [value]], ['PUT', 'subnets', subnet.id, 'subnet', 'dns_nameservers', ['9.9.9.9', value]]]),
    ['PUT', 'subnets', subnet.id, 'subnet', 'dns_nameservers', { 0: '1.1.1.1' }], ['PUT', 'subnets', subnet.id, 'subnet', 'dns_nameservers', ['1.1.1.1', '1.1.1.1']],
  ];
  for (const [method, collection, id, member, attribute, value] of attempts) {
    const rest = method === 'PUT' || collection === 'networks' ? {} : { network_id: network.id, ...(collection === 'subnets' ? { ip_version: 4, cidr: '10.1.0.0/24' } : {}) };
    const { status, body } = await call('demo', method, `/v2.0/${collection}/${id}`.replace(/\/$/, ''), { [member]: { ...rest, [attribute]: value } });
    assert.equal(status, 400, `${method} ${collection} ${attribute} ${JSON.stringify(value)}`);
    assert.match(body.NeutronError.message, new RegExp(attribute.replace(/s$/, '')));
  }
  assert.deepEqual(await dump(store.reader, ['networks', 'subnets', 'ports', 'ip_allocations']), before);
  await close();
});
