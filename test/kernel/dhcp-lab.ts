/** A network segment for DHCP tests: kernel bridges instead of br-int, and clients in namespaces. For use inside a simulated host. */
import { execFile } from 'node:child_process';
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import type { Plugger } from '#agent/drivers/ovs/plugger.ts';
import { parseIp } from '#net/ip.ts';
import type { DhcpHostItem, DhcpServerItem, DhcpSubnet } from '#hoststate/dhcp.ts';

const execute = promisify(execFile);

export async function sh(script: string, ...args: string[]): Promise<string> {
  return (await execute('sh', ['-ec', script, 'sh', ...args])).stdout;
}

/** What udhcpc hands to its script; empty when nothing was offered. */
export type Offer = Readonly<Record<string, string>>;

const REPORT = '#!/bin/sh\n[ "$1" = bound ] && env | grep -E "^[a-z_]+[0-9]*=" || true\n';

const RESOLVE = `
const [server, ...questions] = process.argv.slice(1);
const resolver = new (require('node:dns/promises').Resolver)({ timeout: 500, tries: 1 });
resolver.setServers([server]);
(async () => {
  for (const question of questions) console.log(await resolver.resolve(...question.split('/')).then((answers) => answers.sort().join(' '), ({ code }) => code));
})();`;

/** `5.0.0.10.in-addr.arpa`; c-ares' own way from an address to its name would look into /etc/hosts too. */
function reverseName(address: string): string {
  const { version, value } = parseIp(address)!;
  const digits = version === 4 ? address.split('.') : [...value.toString(16).padStart(32, '0')];
  return `${digits.reverse().join('.')}.${version === 4 ? 'in-addr' : 'ip6'}.arpa`;
}

/** Attaches devices to the kernel bridge of their network. */
export class BridgePlugger implements Plugger {
  readonly calls: string[] = [];
  readonly #bridgeOf: (portId: string) => string;

  constructor(bridgeOf: (portId: string) => string) {
    this.#bridgeOf = bridgeOf;
  }

  async plug({ device, port_id }: { device: string; port_id: string }): Promise<void> {
    this.calls.push(`plug ${device}`);
    await sh('ip link set "$1" master "$2"', device, this.#bridgeOf(port_id));
  }

  async unplug(device: string): Promise<void> {
    this.calls.push(`unplug ${device}`);
    if (existsSync(`/sys/class/net/${device}`)) await sh('ip link set "$1" nomaster', device);
  }
}

export async function makeBridge(name: string): Promise<void> {
  await sh('ip link add "$1" type bridge forward_delay 0; ip link set "$1" up', name);
}

/** A guest: a namespace with one NIC on a bridge. */
export class Client {
  readonly #name: string;
  readonly #folder: string;

  private constructor(name: string, folder: string) {
    this.#name = name;
    this.#folder = folder;
  }

  static async create(name: string, bridge: string, mac: string, folder: string): Promise<Client> {
    await mkdir(folder, { recursive: true });
    await writeFile(`${folder}/report`, REPORT);
    await chmod(`${folder}/report`, 0o755);
    await sh(`ip netns add "$1"
      ip netns exec "$1" sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0
      ip link add "v$1" type veth peer name eth0 address "$3" netns "$1"
      ip link set "v$1" master "$2" up; ip -n "$1" link set lo up; ip -n "$1" link set eth0 up`, name, bridge, mac);
    return new Client(name, folder);
  }

  /** Asks for an address, up to `tries` seconds; empty without an offer. */
  async dhcp(tries = 3, ...options: string[]): Promise<Offer> {
    const asked = ['-O', 'mtu', '-O', 'staticroutes', '-O', 'bootfile', ...options];
    const { stdout } = await execute('ip', ['netns', 'exec', this.#name, 'busybox', 'udhcpc', '-i', 'eth0', '-f', '-n', '-q', '-t', String(tries), '-T', '1', '-s', `${this.#folder}/report`, ...asked])
      .catch((error: { stdout: string }) => error);
    const known = ['ip', 'subnet', 'broadcast', 'router', 'dns', 'domain', 'hostname', 'mtu', 'staticroutes', 'lease', 'serverid', 'bootfile', 'boot_file'];
    return Object.fromEntries(stdout.split('\n').map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)] as const).filter(([key]) => known.includes(key)));
  }

  /** Asks for an IPv6 address with dhclient; undefined when none comes within `seconds`. */
  async dhcp6(seconds = 5): Promise<{ address?: string; dns?: string }> {
    const file = `${this.#folder}/${this.#name}`;
    await writeFile(`${file}.sh`, '#!/bin/sh\n[ "$reason" = BOUND6 ] && echo "$new_ip6_address $new_dhcp6_name_servers" >"$RESULT"\nexit 0\n');
    await chmod(`${file}.sh`, 0o755);
    // A lease file of before would make the client insist on its old address.
    for (const old of ['result', 'leases']) await rm(`${file}.${old}`, { force: true });
    // -1 ends with an address; without one it would go on asking.
    await execute('timeout', [String(seconds), 'ip', 'netns', 'exec', this.#name, 'dhclient', '-6', '-1', '-D', 'LL', '-cf', '/dev/null', '-e', `RESULT=${file}.result`, '-sf', `${file}.sh`, '-lf', `${file}.leases`, '-pf', `${file}.pid`, 'eth0']).catch(() => {});
    await sh('[ ! -e "$1" ] || kill "$(cat "$1")" 2>/dev/null || true', `${file}.pid`);
    const [address, dns] = (await sh('cat "$1" 2>/dev/null || true', `${file}.result`)).trim().split(' ');
    return address ? { address, dns: dns ?? '' } : {};
  }

  /** Asks a DNS server `name/TYPE` questions (`vm1/AAAA`, `10.0.0.5/PTR`): its answers in order, or the error as c-ares names it (`ENOTFOUND`, `ENODATA`, `EREFUSED`, `ETIMEOUT`). */
  async resolve(server: string, ...questions: string[]): Promise<string[]> {
    const { stdout } = await execute('ip', ['netns', 'exec', this.#name, process.execPath, '-e', RESOLVE, server, ...questions.map((question) => question.replace(/^(.*)\/PTR$/, (_, address: string) => `${reverseName(address)}/PTR`))]);
    return stdout.trimEnd().split('\n');
  }

  exec(script: string): Promise<string> {
    return sh('ip netns exec "$1" sh -c "$2"', this.#name, script);
  }

  async setMac(mac: string): Promise<void> {
    await sh('ip -n "$1" link set eth0 down address "$2"; ip -n "$1" link set eth0 up', this.#name, mac);
  }

  async remove(): Promise<void> {
    await sh('ip netns del "$1"', this.#name);
  }
}

export function subnet(id: string, cidr: string, more: Partial<DhcpSubnet> = {}): DhcpSubnet {
  return { subnet_id: id, cidr, gateway_ip: null, dns_nameservers: [], dhcp_servers: [], host_routes: [], ipv6_address_mode: null, enable_dhcp: true, metadata: null, ...more };
}

export function server(networkId: string, portId: string, addresses: string[], subnets: DhcpSubnet[], more: Partial<DhcpServerItem> = {}): DhcpServerItem {
  return {
    type: 'dhcp-server', network_id: networkId, port_id: portId, device: `tap${portId.slice(0, 11)}`, mac_address: 'fa:16:3e:00:00:02', mtu: 1450,
    addresses, subnets, dns_domain: 'openstacklocal.', dns_servers: [], local_resolv: false, metadata: false, lease_duration: 86_400, ...more,
  };
}

export function host(networkId: string, portId: string, mac: string, addresses: [subnetId: string, ip: string][], more: Partial<DhcpHostItem> = {}): DhcpHostItem {
  return {
    type: 'dhcp-host', network_id: networkId, port_id: portId, mac_address: mac, hostname: '', names: [], options: [],
    addresses: addresses.map(([subnet_id, ip_address]) => ({ subnet_id, ip_address })), ...more,
  };
}
