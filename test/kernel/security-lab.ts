/** Guests on a dual-stack network, and the good frame that ends the wait for a bad one. */
import { type Cloud, until } from '#testkit/cloud.ts';
import { arp, BROADCAST } from '#testkit/frames.ts';

export interface Guest {
  readonly name: string;
  readonly host: string;
  readonly ip: string;
  readonly ip6: string;
  readonly mac: string;
  readonly device: string;
  readonly port_id: string;
}

export const CIDR = '10.1.0.0/24';
const CIDR6 = 'fd00:1::/64';

/** A project with a dual-stack network and a guest on each of `hosts`. */
export async function tenant(cloud: Cloud, name: string, hosts: readonly string[]) {
  const admin = await cloud.api();
  const api = await cloud.makeProject(name);
  const network = await api.network({ name });
  await api.subnet({ network_id: network.id, cidr: CIDR });
  await api.subnet({ network_id: network.id, ip_version: 6, cidr: CIDR6, ipv6_ra_mode: 'dhcpv6-stateful', ipv6_address_mode: 'dhcpv6-stateful' });
  // An admin of the project may say where a server goes.
  const [role] = (await admin.get('/identity/v3/roles?name=admin')).roles;
  const [user] = (await admin.get(`/identity/v3/users?name=${name}`)).users;
  await admin.request('PUT', `/identity/v3/projects/${api.project_id}/users/${user.id}/roles/${role.id}`);
  const boss = await cloud.api(name);
  await Promise.all(hosts.map((host, i) => boss.server({ name: `${name}${i + 1}`, networks: [{ uuid: network.id }], availability_zone: `nova:${host}` })));
  await admin.request('DELETE', `/identity/v3/projects/${api.project_id}/users/${user.id}/roles/${role.id}`);
  const { ports } = await api.get(`/network/v2.0/ports?network_id=${network.id}`);
  const { servers } = await api.get('/compute/v2.1/servers/detail');
  const guests = hosts.map((host, i): Guest => {
    const server = servers.find((each: { name: string }) => each.name === `${name}${i + 1}`);
    const port = ports.find((each: { device_id: string }) => each.device_id === server.id);
    const [ip, ip6] = [4, 6].map((version) => port.fixed_ips.map((fixed: { ip_address: string }) => fixed.ip_address).find((address: string) => address.includes(':') === (version === 6)));
    return { name: server.name, host, ip, ip6, mac: port.mac_address, device: `tap${port.id.slice(0, 11)}`, port_id: port.id };
  });
  // The first frames of a guest are its DHCP ones: everybody has an address of both families before anything is judged.
  for (const guest of guests) await until(20, `${guest.name} has its addresses`, async () => {
    const { stdout } = await cloud.exec(guest.name, 'ip', '-o', 'address', 'show', 'dev', 'eth0');
    return stdout.includes(guest.ip) && stdout.includes(guest.ip6);
  });
  return { api: await cloud.api(name), guests };
}

/** A good frame behind the attack: when it has arrived, the attack has had its chance. */
export async function sentinel(cloud: Cloud, from: Guest, to: Guest, capture: { text(): string }): Promise<void> {
  const tpa = `10.1.0.${200 + Math.floor(Math.random() * 50)}`;
  await until(10, `${to.name} sees the sentinel of ${from.name}`, async () => {
    await cloud.sendFrames(from.name, [arp(BROADCAST, from.mac, { op: 'request', sha: from.mac, spa: from.ip, tpa })]);
    await new Promise((resume) => setTimeout(resume, 50));
    return capture.text().includes(tpa);
  });
}
