/** What the machine's own network namespace holds, for tests that it stays as it was (law 7). */
import { run } from '#cli/datacentre/run.ts';

/** Links, routes, rules and network sysctls of the namespace that we are in, as text. */
export async function machineNetwork(): Promise<string> {
  const parts = await Promise.all([
    run(['ip', '-o', 'link']),
    run(['ip', '-o', 'address']),
    run(['ip', 'rule']),
    run(['ip', 'route', 'show', 'table', 'all']),
    run(['ip', '-6', 'route', 'show', 'table', 'all']),
    run(['ip', 'netns', 'list']),
    run(['nft', 'list', 'ruleset']),
    run(['sysctl', '-a', '-r', '^(net|fs.inotify|kernel.(hostname|shm|msg|sem))']),
  ]);
  // Counters and timers, not settings.
  return parts.join('\n').split('\n').filter((line) => !/nf_conntrack_count|ptype|\.random\./.test(line)).map((line) => line.replaceAll(/(expires|valid_lft|preferred_lft) \S+/g, '')).join('\n');
}
