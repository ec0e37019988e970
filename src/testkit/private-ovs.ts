/** An Open vSwitch of one's own for a test: ovsdb-server and ovs-vswitchd with private sockets and, for its devices, a private network namespace. Needs root. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);
const SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema';

export interface PrivateOvs {
  /** Holds `db.sock`, each bridge's `<bridge>.mgmt`, and the logs. */
  readonly rundir: string;
  readonly dbSocket: string;
  /** Process inside the network namespace of vswitchd: `nsenter -t PID -n`. */
  readonly vswitchdPid: number;
  /** The service socket of `bridge`. */
  mgmtSocket(bridge: string): string;
  /** Runs an OVS tool (`ovs-vsctl`, `ovs-ofctl`, `ovs-appctl`) against this instance; its standard output. */
  tool(name: string, ...args: string[]): Promise<string>;
  /** Runs a command in the network namespace of vswitchd; its standard output. */
  inNamespace(command: string, ...args: string[]): Promise<string>;
  /** Kills vswitchd as a crash would. */
  killVswitchd(): Promise<void>;
  /** Starts vswitchd after `killVswitchd`, in a new network namespace. */
  startVswitchd(): Promise<void>;
  /** Ends both processes and removes the files; the namespace goes with them. */
  stop(): Promise<void>;
}

/** Starts an instance with an empty database; ready when it resolves. Bridges should use `datapath_type=netdev`. */
export async function startPrivateOvs(): Promise<PrivateOvs> {
  // Socket paths end at 107 bytes, so the folder is short.
  const rundir = await mkdtemp('/tmp/pb-ovs-');
  const dbSocket = join(rundir, 'db.sock');
  const env = { ...process.env, OVS_RUNDIR: rundir, OVS_DBDIR: rundir, OVS_LOGDIR: rundir, OVS_SYSCONFDIR: rundir };
  // A test that is killed takes them along.
  const start = (...argv: string[]): ChildProcess => spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...argv], { env, stdio: 'ignore' });
  const tool = async (name: string, ...args: string[]): Promise<string> => (await run(name, args, { env, maxBuffer: 1 << 28 })).stdout;

  await tool('ovsdb-tool', 'create', join(rundir, 'conf.db'), SCHEMA);
  const ovsdb = start(
    'ovsdb-server', join(rundir, 'conf.db'), `--remote=punix:${dbSocket}`, `--unixctl=${rundir}/ovsdb.ctl`,
    `--log-file=${rundir}/ovsdb-server.log`, '--no-chdir', '-vconsole:off',
  );
  await untilExists(dbSocket, ovsdb);
  await tool('ovs-vsctl', `--db=unix:${dbSocket}`, '--no-wait', 'init');
  let vswitchd: ChildProcess | undefined;
  let starts = 0;

  const startVswitchd = async (): Promise<void> => {
    vswitchd = start(
      'unshare', '--net', '--', 'ovs-vswitchd', `unix:${dbSocket}`, `--unixctl=${rundir}/vswitchd.ctl`,
      `--log-file=${rundir}/ovs-vswitchd.log`, '--no-chdir', '-vconsole:off',
    );
    await untilExists(join(rundir, 'vswitchd.ctl'), vswitchd);
    await run('nsenter', ['-t', String(vswitchd.pid), '-n', 'ip', 'link', 'set', 'lo', 'up']);
    // ovs-vsctl waits until vswitchd has applied the configuration, but only if it changed anything.
    starts++;
    await tool('ovs-vsctl', `--db=unix:${dbSocket}`, '--timeout=20', 'set', 'Open_vSwitch', '.', `external_ids:private-start=${starts}`);
  };

  const killVswitchd = async (): Promise<void> => {
    await end(vswitchd, 'SIGKILL');
    await rm(join(rundir, 'vswitchd.ctl'), { force: true });
  };

  const stop = async (): Promise<void> => {
    // The userspace datapath unlinks nothing outside of its namespace, so a kill leaves no device.
    await end(vswitchd, 'SIGKILL');
    await end(ovsdb, 'SIGKILL');
    await rm(rundir, { recursive: true, force: true });
  };

  try {
    await startVswitchd();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    rundir,
    dbSocket,
    get vswitchdPid() {
      return vswitchd!.pid!;
    },
    mgmtSocket: (bridge) => join(rundir, `${bridge}.mgmt`),
    tool: (name, ...args) => tool(name, ...(name === 'ovs-vsctl' ? [`--db=unix:${dbSocket}`, ...args] : name === 'ovs-appctl' ? ['-t', `${rundir}/vswitchd.ctl`, ...args] : args)),
    inNamespace: async (command, ...args) => (await run('nsenter', ['-t', String(vswitchd!.pid), '-n', command, ...args])).stdout,
    killVswitchd,
    startVswitchd,
    stop,
  };
}

async function untilExists(path: string, child: ChildProcess): Promise<void> {
  while (!existsSync(path)) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`${child.spawnargs.join(' ')} ended before ${path} appeared`);
    await sleep(5);
  }
}

async function end(child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill(signal);
  await exited;
}
