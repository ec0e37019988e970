/** The Debian packages that Patchbay runs on, and their installation without any daemon being started. */
import { chmodSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CommandError, type RunOptions, run } from './datacentre/run.ts';

export interface Package {
  readonly name: string;
  /** What for, as `up` says it. */
  readonly why: string;
}

/** What a data centre needs. */
export const PACKAGES: readonly Package[] = [
  { name: 'openvswitch-switch', why: 'switches of the hosts' },
  { name: 'iproute2', why: 'links, addresses, namespaces' },
  { name: 'ethtool', why: 'offload settings of links' },
  { name: 'nftables', why: 'filters and NAT' },
  { name: 'conntrack', why: 'connections of floating IPs that moved' },
  { name: 'radvd', why: 'router advertisements of IPv6 subnets' },
  { name: 'dnsmasq-base', why: 'DHCP and DNS for tenants' },
  { name: 'dnsmasq-utils', why: 'release of leases' },
  { name: 'haproxy', why: 'proxies for the API and for metadata' },
  { name: 'crun', why: 'container instances' },
  { name: 'busybox-static', why: 'root file system of instances, web server outside' },
  { name: 'dropbear-bin', why: 'ssh server in instances' },
  { name: 'isc-dhcp-client', why: 'DHCPv6 client in instances' },
  { name: 'curl', why: 'HTTP client in instances and on hosts' },
  { name: 'iputils-ping', why: 'ping on hosts' },
  { name: 'iputils-arping', why: 'gratuitous ARP' },
  { name: 'tcpdump', why: 'captures' },
  { name: 'openssh-client', why: 'openstack server ssh' },
  { name: 'python3-openstackclient', why: 'the openstack command' },
];

/** What the tests need besides. */
export const TEST_PACKAGES: readonly Package[] = [
  { name: 'procps', why: 'ps on simulated hosts, for tests' },
  { name: 'postgresql', why: 'the second store, for tests' },
  { name: 'qemu-system-x86', why: 'virtual machines, for tests' },
  { name: 'genisoimage', why: 'config drives of virtual machines, for tests' },
  { name: 'qemu-utils', why: 'qcow2 images, for tests' },
];

/** How the installer reaches the machine; a test puts a recording fake in its place. */
export interface PackagePort {
  /** Below which /usr/sbin, /etc and /var/lib are found; empty for the machine itself. */
  readonly root: string;
  run(argv: readonly string[], options?: RunOptions): Promise<string>;
}

export const machinePackages: PackagePort = { root: '', run };

/** Those of `packages` that are not installed: one dpkg-query, about 10 ms. */
export async function missingPackages(packages: readonly Package[], port: PackagePort = machinePackages): Promise<Package[]> {
  let listed = '';
  try {
    listed = await port.run(['dpkg-query', '-W', '-f', '${Package} ${db:Status-Status}\n', ...packages.map(({ name }) => name)]);
  } catch (error) {
    // Exit code 1: some are unknown to dpkg, the others are listed. Without dpkg at all nothing is known to be there.
    listed = error instanceof CommandError ? error.stdout : '';
  }
  const installed = new Set(listed.split('\n').filter((line) => line.endsWith(' installed')).map((line) => line.split(' ')[0]));
  return packages.filter(({ name }) => !installed.has(name));
}

/** Installs what is missing, saying what and why. Throws one line on a system that it does not know, or when apt fails. */
export async function ensurePackages(packages: readonly Package[], progress: (line: string) => void, port: PackagePort = machinePackages): Promise<void> {
  const missing = await missingPackages(packages, port);
  if (missing.length === 0) return;
  const names = missing.map(({ name }) => name);
  const system = operatingSystem(port.root);
  if (!SUPPORTED.includes(system)) {
    throw new Error(`these packages are missing: ${names.join(' ')}. Patchbay installs them on Debian 12 only, this is ${system}: ${knownOf(system)}`);
  }
  for (const { name, why } of missing) progress(`installing ${name}: ${why}`);
  await withoutDaemons(port.root, async () => {
    if (names.includes('postgresql')) await installPostgresql(port);
    const rest = names.filter((name) => name !== 'postgresql');
    if (rest.length > 0) await install(rest, port);
  });
}

const SUPPORTED = ['debian 12'];

function knownOf(system: string): string {
  if (system === 'debian 13' || system === 'ubuntu 24.04') return 'the same packages exist there, untested; install them with apt-get and try again';
  return 'install their counterparts by hand and try again';
}

/** ID and VERSION_ID of os-release, as `debian 12`. */
function operatingSystem(root: string): string {
  const file = join(root, '/etc/os-release');
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  const value = (key: string) => new RegExp(`^${key}="?([^"\n]*)"?$`, 'm').exec(text)?.[1] ?? 'unknown';
  return `${value('ID')} ${value('VERSION_ID')}`;
}

async function install(names: readonly string[], port: PackagePort): Promise<void> {
  const argv = ['apt-get', 'install', '--yes', '--no-install-recommends', '-o', 'Dpkg::Options::=--force-confold', ...names];
  const options = { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } };
  try {
    await port.run(argv, options);
  } catch {
    // The lists of a fresh machine are empty or old.
    await port.run(['apt-get', 'update'], options);
    await port.run(argv, options);
  }
}

/** postgresql-common first: its setting keeps the server's package from making (and starting) a cluster of its own. */
async function installPostgresql(port: PackagePort): Promise<void> {
  await install(['postgresql-common'], port);
  const setting = join(port.root, '/etc/postgresql-common/createcluster.conf');
  const before = existsSync(setting) ? readFileSync(setting, 'utf8') : '';
  writeFileSync(setting, `${before}\ncreate_main_cluster = false\n`);
  try {
    await install(['postgresql'], port);
  } finally {
    writeFileSync(setting, before);
  }
}

const POLICY = '#!/bin/sh\n# patchbay: no package starts a daemon while `patchbay up` installs; removed afterwards.\nexit 101\n';

/**
 * Runs `installation` while a policy-rc.d forbids every start of a service (exit code 101, see invoke-rc.d(8)), then puts the machine's
 * own one back. One that a killed run left is recognised by its text.
 */
async function withoutDaemons(root: string, installation: () => Promise<void>): Promise<void> {
  const policy = join(root, '/usr/sbin/policy-rc.d');
  const aside = `${policy}.before-patchbay`;
  const isOurs = existsSync(policy) && readFileSync(policy, 'utf8') === POLICY;
  if (existsSync(policy) && !isOurs) renameSync(policy, aside);
  writeFileSync(policy, POLICY);
  chmodSync(policy, 0o755); // whatever the umask is
  const restore = () => {
    rmSync(policy, { force: true });
    if (existsSync(aside)) renameSync(aside, policy);
  };
  process.once('exit', restore); // Ctrl-C: main.ts turns it into an exit
  try {
    await installation();
  } finally {
    process.off('exit', restore);
    restore();
  }
}
