/** Reads and changes the dnsmasq of a network: files, process, leases. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, linkSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CommandError, command, inNamespace } from '#agent/drivers/command.ts';
import { readText, replaceFile } from '#agent/drivers/daemon/files.ts';
import { isElsewhere, type OwnedProcess, readProcess, runningProcesses } from '#agent/drivers/daemon/owned.ts';
import { stopProcess } from '#agent/drivers/daemon/signal.ts';
import { type DesiredDnsmasq, READ_FILES, type ReadFiles } from './desired.ts';
import { type Lease, type LeaseTable, parseLeases, withoutLeases } from './parse.ts';
import type { DnsmasqPlan, FoundDnsmasq } from './plan.ts';

/** The program's name. */
export const DNSMASQ = 'dnsmasq';
/** The hosts file as it was before a change: there while one is under way, so that an agent that died in it leaves a trace. */
const UNFINISHED = 'host.before';
const POLL = 2;
/** Milliseconds for a release to reach the lease file. */
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
  const files = Object.fromEntries(READ_FILES.map((name) => [name, readText(join(folder, name))])) as Partial<ReadFiles>;
  const [serving, ...others] = runningProcesses(DNSMASQ, folder, pids);
  for (const other of others) await stopProcess(DNSMASQ, other.pid, folder);
  return {
    process: serving ? { ...serving, elsewhere: isElsewhere(serving.pid, namespace) } : null,
    files,
    unfinished: readText(join(folder, UNFINISHED)),
    leases: await readLeases(folder),
  };
}

/**
 * The leases that dnsmasq holds. It empties the file and writes it anew at each change, so a reading that looks cut short, of a file
 * touched just now, is made again.
 */
export async function readLeases(folder: string): Promise<LeaseTable> {
  const file = join(folder, 'leases');
  for (;;) {
    const text = readText(file);
    if (text === undefined) return parseLeases('');
    if (text.endsWith('\n')) return parseLeases(text);
    const touched = statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
    if (Math.abs(Date.now() - touched) > SETTLED) return parseLeases(text);
    await sleep(POLL);
  }
}

/**
 * Carries out `plan`; resolves with the process that serves afterwards. A change counts as finished when dnsmasq has been told and holds
 * no stale lease any more. Throws when dnsmasq does not start.
 */
export async function applyDnsmasq(desired: DesiredDnsmasq, plan: DnsmasqPlan, found: FoundDnsmasq, namespace: string, device: string): Promise<OwnedProcess> {
  const { folder } = desired;
  if (plan.action === 'start') {
    mkdirSync(folder, { recursive: true });
    chmodSync(folder, 0o755);
  }
  if (plan.action !== 'none') markUnfinished(folder);
  for (const name of plan.write) replaceFile(join(folder, name), desired.files[name]);

  let serving: OwnedProcess | null = found.process;
  if (plan.action === 'reload') process.kill(serving!.pid, 'SIGHUP');
  if (serving && (plan.action === 'none' || plan.action === 'reload')) {
    const kept = await releaseLeases(folder, namespace, device, plan.stale, found.leases.serverDuid);
    if (kept.length > 0) serving = await restart(desired, serving, kept, namespace);
  } else serving = await restart(desired, serving, plan.stale, namespace);
  rmSync(join(folder, UNFINISHED), { force: true });
  return serving;
}

/**
 * Why dnsmasq does not take lines of its options file, line by line; the others it takes. One program start, and one more for each that
 * it refuses: behind the first `most` of these nothing is looked at, and nothing taken.
 */
export async function optionRefusals(lines: readonly string[], most: number): Promise<Map<string, string>> {
  const refusals = new Map<string, string>();
  for (let from = 0; from < lines.length; ) {
    const refused = await firstRefused(lines.slice(from));
    if (refused === undefined) break;
    refusals.set(lines[from + refused]!, 'dnsmasq does not know it, or not with this value');
    from += refused + 1;
    if (refusals.size < most) continue;
    for (const line of lines.slice(from)) refusals.set(line, `not looked at: ${most} options before it are refused`);
    break;
  }
  return refusals;
}

/** dnsmasq reads up to the first line that it does not take. */
async function firstRefused(lines: readonly string[]): Promise<number | undefined> {
  try {
    await command(DNSMASQ, ['--test', '--conf-file=-'], lines.map((line) => `dhcp-option=${line}\n`).join(''));
    return undefined;
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const [, number] = /at line (\d+) of/.exec(error.said) ?? [];
    if (number !== undefined) return Number(number) - 1;
    // It died of one of them without a word.
    if (lines.length === 1) return 0;
    const half = lines.length >> 1;
    return (await firstRefused(lines.slice(0, half))) ?? half + ((await firstRefused(lines.slice(half))) ?? half);
  }
}

/** dnsmasq gives up root before it reads its files again: `root` when it could not reach `folder` as anybody else. */
export function userFor(folder: string): string | undefined {
  for (let path = folder; path !== '/'; path = dirname(path)) {
    const found = statSync(path, { throwIfNoEntry: false });
    if (found && (found.mode & 0o001) === 0) return 'root';
  }
  return undefined;
}

async function restart(desired: DesiredDnsmasq, old: OwnedProcess | null, stale: readonly Lease[], namespace: string): Promise<OwnedProcess> {
  const { folder } = desired;
  if (old) await stopProcess(DNSMASQ, old.pid, folder);
  const leases = join(folder, 'leases');
  const text = stale.length > 0 ? readText(leases) : undefined;
  if (text !== undefined) replaceFile(leases, withoutLeases(text, stale));
  // Returns when the server listens: only then does its first process end.
  await inNamespace(namespace, DNSMASQ, desired.args);
  const pid = Number(readText(join(folder, 'pid')));
  const started = readProcess(DNSMASQ, pid, folder);
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

function markUnfinished(folder: string): void {
  try {
    linkSync(join(folder, 'host'), join(folder, UNFINISHED));
  } catch (error) {
    // No hosts file yet, or the change before was not finished either: its beginning counts.
    if (!['ENOENT', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}
