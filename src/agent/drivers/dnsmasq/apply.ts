/** Reads and changes the dnsmasq of a network: files, process, leases. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, link, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CommandError, command, inNamespace } from '#agent/drivers/command.ts';
import { type DesiredDnsmasq, READ_FILES, type ReadFiles } from './desired.ts';
import { type DnsmasqProcess, readProcess } from './owned.ts';
import { type Lease, type LeaseTable, parseLeases, withoutLeases } from './parse.ts';
import type { DnsmasqPlan, FoundDnsmasq } from './plan.ts';

/** The hosts file as it was before a change: there while one is under way, so that an agent that died in it leaves a trace. */
const UNFINISHED = 'host.before';
const POLL = 2;
/** Milliseconds for a process to end by SIGTERM, and for a release to reach the lease file. */
const PATIENCE = 1_000;
/** Milliseconds without a change after which a file is whole. */
const SETTLED = 20;
/** More stale leases than this are forgotten by a restart, which takes as long as a few releases. */
const MOST_RELEASES = 16;

/**
 * Reads the whole folder; `namespace` exists. The process is the one that the pid file names, else the first of `pids` (what else was seen of this folder);
 * a second one is ended.
 */
export async function readDnsmasq(folder: string, namespace: string, pids: readonly number[]): Promise<FoundDnsmasq> {
  const texts = await Promise.all(READ_FILES.map((name) => readText(join(folder, name))));
  const files = Object.fromEntries(READ_FILES.map((name, index) => [name, texts[index]])) as Partial<ReadFiles>;
  const [serving, ...others] = await runningProcesses(folder, pids);
  for (const other of others) await stopProcess(other.pid, folder);
  return {
    process: serving ? { ...serving, elsewhere: await isElsewhere(serving.pid, namespace) } : null,
    files,
    unfinished: await readText(join(folder, UNFINISHED)),
    leases: await readLeases(folder),
  };
}

/** Which of `pids`, and of what the pid file says before them, are dnsmasq processes of `folder`. */
export async function runningProcesses(folder: string, pids: readonly number[]): Promise<DnsmasqProcess[]> {
  const recorded = Number(await readText(join(folder, 'pid')));
  const candidates = [...new Set([...(recorded > 0 ? [recorded] : []), ...pids])];
  return (await Promise.all(candidates.map((pid) => readProcess(pid, folder)))).filter((found) => found !== undefined);
}

/** True when a process is not in the namespace that bears this name now: a namespace lives on without its name. */
async function isElsewhere(pid: number, namespace: string): Promise<boolean> {
  const [own, named] = await Promise.all([stat(`/proc/${pid}/ns/net`), stat(`/run/netns/${namespace}`)]);
  return own.ino !== named.ino || own.dev !== named.dev;
}

/**
 * The leases that dnsmasq holds. It empties the file and writes it anew at each change, so a reading that looks cut short, of a file
 * touched just now, is made again.
 */
export async function readLeases(folder: string): Promise<LeaseTable> {
  const file = join(folder, 'leases');
  for (;;) {
    const text = await readText(file);
    if (text === undefined) return parseLeases('');
    if (text.endsWith('\n')) return parseLeases(text);
    const touched = (await stat(file).catch(() => undefined))?.mtimeMs ?? 0;
    if (Math.abs(Date.now() - touched) > SETTLED) return parseLeases(text);
    await sleep(POLL);
  }
}

/**
 * Carries out `plan`; resolves with the process that serves afterwards. A change counts as finished when dnsmasq has been told and holds
 * no stale lease any more. Throws when dnsmasq does not start.
 */
export async function applyDnsmasq(desired: DesiredDnsmasq, plan: DnsmasqPlan, found: FoundDnsmasq, namespace: string, device: string): Promise<DnsmasqProcess> {
  const { folder } = desired;
  if (plan.action === 'start') {
    await mkdir(folder, { recursive: true });
    await chmod(folder, 0o755);
  }
  if (plan.action !== 'none') await markUnfinished(folder);
  await Promise.all(plan.write.map((name) => replaceFile(join(folder, name), desired.files[name])));

  let serving: DnsmasqProcess | null = found.process;
  if (plan.action === 'reload') process.kill(serving!.pid, 'SIGHUP');
  if (serving && (plan.action === 'none' || plan.action === 'reload')) {
    const kept = await releaseLeases(folder, namespace, device, plan.stale, found.leases.serverDuid);
    if (kept.length > 0) serving = await restart(desired, serving, kept, namespace);
  } else serving = await restart(desired, serving, plan.stale, namespace);
  await rm(join(folder, UNFINISHED), { force: true });
  return serving;
}

/** Ends a process of `folder` and waits until it is gone. */
export async function stopProcess(pid: number, folder: string): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    try {
      if (await readProcess(pid, folder)) process.kill(pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
    for (const end = Date.now() + PATIENCE; Date.now() < end; await sleep(POLL)) if (!(await readProcess(pid, folder))) return;
  }
  throw new Error(`dnsmasq (pid ${pid}) does not end`);
}

/** Why dnsmasq does not take a line of its options file; `undefined` when it does. */
export async function optionRefusal(line: string): Promise<string | undefined> {
  try {
    await command('dnsmasq', ['--test', '--conf-file=-'], `dhcp-option=${line}\n`);
    return undefined;
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return 'dnsmasq does not know it, or not with this value';
  }
}

/** dnsmasq gives up root before it reads its files again: `root` when it could not reach `folder` as anybody else. */
export async function userFor(folder: string): Promise<string | undefined> {
  for (let path = folder; path !== '/'; path = dirname(path)) {
    const found = await stat(path).catch(() => undefined);
    if (found && (found.mode & 0o001) === 0) return 'root';
  }
  return undefined;
}

async function restart(desired: DesiredDnsmasq, old: DnsmasqProcess | null, stale: readonly Lease[], namespace: string): Promise<DnsmasqProcess> {
  const { folder } = desired;
  if (old) await stopProcess(old.pid, folder);
  const leases = join(folder, 'leases');
  const text = stale.length > 0 ? await readText(leases) : undefined;
  if (text !== undefined) await replaceFile(leases, withoutLeases(text, stale));
  // Returns when the server listens: only then does its first process end.
  await inNamespace(namespace, 'dnsmasq', desired.args);
  const pid = Number(await readText(join(folder, 'pid')));
  const started = await readProcess(pid, folder);
  if (!started) throw new Error(`dnsmasq ended at once after its start; see the system's log`);
  return started;
}

/** Takes leases back from a running dnsmasq; resolves with those that it still holds. */
async function releaseLeases(folder: string, namespace: string, device: string, stale: readonly Lease[], serverDuid: string | null): Promise<Lease[]> {
  if (stale.length === 0 || stale.length > MOST_RELEASES) return [...stale];
  const leases4 = stale.filter((lease) => lease.version === 4);
  for (const { ip, mac, client_id } of leases4) start(namespace, ['dhcp_release', device, ip, mac, ...(client_id === null ? [] : [client_id])]);
  const kept = await untilReleased(folder, leases4, serverDuid);
  // One after the other: each binds the client's port. The tool would wait a second for an answer to somebody else.
  for (const lease of stale) {
    if (lease.version === 4) continue;
    const release = start(namespace, [
      'dhcp_release6', '--iface', device, '--client-id', lease.duid, '--server-id', serverDuid ?? '', '--iaid', lease.iaid, '--ip', lease.ip,
    ]);
    kept.push(...(await untilReleased(folder, [lease], serverDuid)));
    await end(release);
  }
  return kept;
}

/** Waits until the lease file is without `stale`; resolves with what it still holds when patience ends. */
async function untilReleased(folder: string, stale: readonly Lease[], serverDuid: string | null): Promise<Lease[]> {
  const isStale = new Set(stale.map(leaseKey));
  let kept: Lease[] = [...stale];
  for (const end = Date.now() + PATIENCE; kept.length > 0 && Date.now() < end; await sleep(POLL)) {
    const table = await readLeases(folder);
    // Leases of DHCPv6 stand behind the server's DUID: without it the file is not whole yet.
    if (table.serverDuid === serverDuid) kept = table.leases.filter((lease) => isStale.has(leaseKey(lease)));
  }
  return kept;
}

function start(namespace: string, argv: readonly string[]): ChildProcess {
  const child = spawn('ip', ['netns', 'exec', namespace, ...argv], { cwd: '/', stdio: 'ignore' });
  child.once('error', () => {}); // the lease stays, which the caller sees
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

function leaseKey(lease: Lease): string {
  return `${lease.ip} ${lease.version === 4 ? lease.mac : lease.duid}`;
}

async function markUnfinished(folder: string): Promise<void> {
  try {
    await link(join(folder, 'host'), join(folder, UNFINISHED));
  } catch (error) {
    // No hosts file yet, or the change before was not finished either: its beginning counts.
    if (!['ENOENT', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}

/** At once: dnsmasq never reads half a file. Readable for all, because dnsmasq is not root when it reads again. */
async function replaceFile(file: string, text: string): Promise<void> {
  await writeFile(`${file}.new`, text);
  await chmod(`${file}.new`, 0o644);
  await rename(`${file}.new`, file);
}

async function readText(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
