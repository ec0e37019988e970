import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { CommandError } from './datacentre/run.ts';
import { type Package, type PackagePort, ensurePackages, missingPackages } from './packages.ts';

const packages: Package[] = [{ name: 'openvswitch-switch', why: 'switches' }, { name: 'haproxy', why: 'proxies' }, { name: 'postgresql', why: 'store' }];

/** A Debian whose packages' postinst scripts start a daemon unless policy-rc.d forbids it, as invoke-rc.d(8) has it. */
class FakeDebian implements PackagePort {
  readonly root = mkdtempSync(join(tmpdir(), 'patchbay-packages-'));
  readonly installed = new Set<string>();
  readonly commands: string[] = [];
  readonly startedDaemons: string[] = [];
  readonly clusters: string[] = [];

  constructor(t: TestContext, osRelease: string) {
    t.after(() => rmSync(this.root, { recursive: true }));
    for (const folder of ['usr/sbin', 'etc/postgresql-common']) mkdirSync(join(this.root, folder), { recursive: true });
    writeFileSync(join(this.root, 'etc/os-release'), osRelease);
    writeFileSync(join(this.root, 'etc/postgresql-common/createcluster.conf'), '# as shipped\n');
  }

  async run(argv: readonly string[]): Promise<string> {
    this.commands.push(argv.join(' '));
    if (argv[0] === 'dpkg-query') return this.#query(argv.slice(4));
    if (argv[1] === 'install') for (const name of argv.slice(6)) this.#install(name);
    return '';
  }

  #query(names: readonly string[]): string {
    const stdout = names.filter((name) => this.installed.has(name)).map((name) => `${name} installed\n`).join('');
    if (names.some((name) => !this.installed.has(name))) throw new CommandError(['dpkg-query'], 1, { stdout, stderr: 'no packages found' });
    return stdout;
  }

  #install(name: string): void {
    this.installed.add(name);
    if (name === 'postgresql' && !/^create_main_cluster = false$/m.test(this.read('etc/postgresql-common/createcluster.conf')!)) this.clusters.push('main');
    if (!this.#forbids(name)) this.startedDaemons.push(name);
  }

  /** Runs the policy as invoke-rc.d does: 101 forbids. */
  #forbids(service: string): boolean {
    const policy = join(this.root, 'usr/sbin/policy-rc.d');
    if (!existsSync(policy)) return false;
    try {
      execFileSync(policy, [service, 'start']);
      return false;
    } catch (error) {
      return (error as { status: number }).status === 101;
    }
  }

  read(path: string): string | undefined {
    return existsSync(join(this.root, path)) ? readFileSync(join(this.root, path), 'utf8') : undefined;
  }
}

const DEBIAN_12 = 'PRETTY_NAME="Debian"\nVERSION_ID="12"\nID=debian\n';

test('an install starts no daemon, makes no cluster and leaves no policy behind', async (t) => {
  const debian = new FakeDebian(t, DEBIAN_12);
  const said: string[] = [];
  await ensurePackages(packages, (line) => said.push(line), debian);
  assert.deepEqual(debian.startedDaemons, []);
  assert.deepEqual(debian.clusters, []);
  assert.deepEqual([...debian.installed], ['postgresql-common', 'postgresql', 'openvswitch-switch', 'haproxy']);
  assert.equal(debian.read('usr/sbin/policy-rc.d'), undefined);
  assert.equal(debian.read('etc/postgresql-common/createcluster.conf'), '# as shipped\n');
  assert.deepEqual(said, ['installing openvswitch-switch: switches', 'installing haproxy: proxies', 'installing postgresql: store']);
});

test('the fake starts daemons when nobody forbids it', async (t) => {
  const debian = new FakeDebian(t, DEBIAN_12);
  await debian.run(['apt-get', 'install', '--yes', '--no-install-recommends', '-o', 'x', 'haproxy', 'postgresql']);
  assert.deepEqual(debian.startedDaemons, ['haproxy', 'postgresql']);
  assert.deepEqual(debian.clusters, ['main']);
});

test("the machine's own policy-rc.d comes back, also after a failed install", async (t) => {
  const debian = new FakeDebian(t, DEBIAN_12);
  const own = '#!/bin/sh\nexit 0\n';
  writeFileSync(join(debian.root, 'usr/sbin/policy-rc.d'), own, { mode: 0o755 });
  const failing: PackagePort = {
    root: debian.root,
    run: async (argv) => {
      if (argv[0] === 'apt-get') throw new CommandError(argv, 100, { stdout: '', stderr: 'E: Unable to locate package' });
      return debian.run(argv);
    },
  };
  await assert.rejects(ensurePackages(packages, () => {}, failing), /Unable to locate package/);
  assert.equal(debian.read('usr/sbin/policy-rc.d'), own);
});

test('the policy that a killed install left goes with the next one', async (t) => {
  const debian = new FakeDebian(t, DEBIAN_12);
  const killed: PackagePort = {
    root: debian.root,
    run: async (argv) => {
      if (argv[0] !== 'apt-get') return debian.run(argv);
      // What the disk holds at the moment of the kill.
      const left = debian.read('usr/sbin/policy-rc.d')!;
      setImmediate(() => writeFileSync(join(debian.root, 'usr/sbin/policy-rc.d'), left, { mode: 0o755 }));
      throw new Error('killed');
    },
  };
  await assert.rejects(ensurePackages(packages, () => {}, killed));
  await new Promise((resolve) => setImmediate(resolve));
  assert.notEqual(debian.read('usr/sbin/policy-rc.d'), undefined);
  await ensurePackages(packages, () => {}, debian);
  assert.equal(debian.read('usr/sbin/policy-rc.d'), undefined);
});

test('with everything installed one dpkg-query is all that runs', async (t) => {
  const debian = new FakeDebian(t, DEBIAN_12);
  for (const { name } of packages) debian.installed.add(name);
  await ensurePackages(packages, () => assert.fail('nothing to say'), debian);
  assert.deepEqual(debian.commands, ['dpkg-query -W -f ${Package} ${db:Status-Status}\n openvswitch-switch haproxy postgresql']);
});

test('empty package lists are updated once', async (t) => {
  const debian = new FakeDebian(t, DEBIAN_12);
  let updated = false;
  const fresh: PackagePort = {
    root: debian.root,
    run: async (argv) => {
      if (argv[1] === 'update') updated = true;
      else if (argv[1] === 'install' && !updated) throw new CommandError(argv, 100, { stdout: '', stderr: 'E: Unable to locate package haproxy' });
      return debian.run(argv);
    },
  };
  await ensurePackages([packages[1]!], () => {}, fresh);
  assert.deepEqual([...debian.installed], ['haproxy']);
});

test('an unsupported system is told what is missing and nothing is installed', async (t) => {
  for (const [osRelease, expected] of [
    ['ID=fedora\nVERSION_ID=41\n', 'these packages are missing: openvswitch-switch haproxy postgresql. Patchbay installs them on Debian 12 only, this is fedora 41: install their counterparts by hand and try again'],
    ['ID=ubuntu\nVERSION_ID="24.04"\n', 'these packages are missing: openvswitch-switch haproxy postgresql. Patchbay installs them on Debian 12 only, this is ubuntu 24.04: the same packages exist there, untested; install them with apt-get and try again'],
  ] as const) {
    const other = new FakeDebian(t, osRelease);
    await assert.rejects(ensurePackages(packages, () => {}, other), { message: expected });
    assert.deepEqual([...other.installed], []);
  }
});

test('dpkg answers for the real machine too', async () => {
  const missing = await missingPackages([{ name: 'dpkg', why: 'it is Debian' }, { name: 'no-such-package-at-all', why: '' }]);
  assert.deepEqual(missing.map(({ name }) => name), ['no-such-package-at-all']);
});
