/** A private PostgreSQL cluster for tests: its own data folder and socket, no TCP, gone with the process. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';

let cluster: { folder: string; server: ChildProcess } | undefined;
let databases = 0;

/** The URL of a new, empty database in this process's cluster; starts the cluster at the first call (about 1 s). */
export async function freshDatabase(): Promise<string> {
  cluster ??= await startCluster();
  const name = `patchbay_${++databases}`;
  asPostgres('createdb', ['-h', cluster.folder, name]);
  return `postgresql://postgres@localhost/${name}?host=${cluster.folder}`;
}

/** Stops the cluster and removes its files; without a cluster nothing happens. */
export async function stopCluster(): Promise<void> {
  if (!cluster) return;
  const { folder, server } = cluster;
  cluster = undefined;
  const ended = new Promise((resolve) => server.once('exit', resolve));
  server.kill('SIGINT');
  await ended;
  rmSync(folder, { recursive: true, force: true });
}

async function startCluster(): Promise<{ folder: string; server: ChildProcess }> {
  const folder = mkdtempSync(join(tmpdir(), 'patchbay-pg-'));
  const { uid, gid } = postgresUser();
  chownSync(folder, uid, gid);
  asPostgres(binary('initdb'), ['-D', join(folder, 'data'), '-A', 'trust', '-U', 'postgres', '--no-sync', '-E', 'UTF8', '--locale=C.UTF-8']);
  const server = spawn(binary('postgres'), ['-D', join(folder, 'data'), '-k', folder, '-c', 'listen_addresses=', '-c', 'fsync=off', '-c', 'max_connections=100'], { uid, gid, stdio: 'ignore' });
  process.once('exit', () => {
    server.kill('SIGQUIT');
    rmSync(folder, { recursive: true, force: true });
  });
  for (let tries = 0; ; tries++) {
    try {
      asPostgres('psql', ['-h', folder, '-c', 'select 1', 'postgres']);
      return { folder, server };
    } catch (error) {
      if (tries > 100) throw error;
      await new Promise((resume) => setTimeout(resume, 50));
    }
  }
}

/** PostgreSQL refuses root. */
function asPostgres(command: string, argv: string[]): void {
  const { uid, gid } = postgresUser();
  execFileSync(command, argv, { uid, gid, stdio: ['ignore', 'ignore', 'pipe'], env: { PATH: process.env['PATH'], PGUSER: 'postgres' }, cwd: '/' });
}

function postgresUser(): { uid: number; gid: number } {
  if (userInfo().uid !== 0) return userInfo();
  const id = (flag: string) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}

function binary(name: string): string {
  const versions = existsSync('/usr/lib/postgresql') ? readdirSync('/usr/lib/postgresql').sort((a, b) => Number(b) - Number(a)) : [];
  if (!versions[0]) throw new Error('PostgreSQL is not installed: ./patchbay test installs the package postgresql');
  return `/usr/lib/postgresql/${versions[0]}/bin/${name}`;
}
