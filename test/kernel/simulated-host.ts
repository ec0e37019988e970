/**
 * Lets a kernel test file run as if on a host of its own: net, mount, pid, uts and ipc namespaces with their own /proc,
 * /sys and /run. The file starts itself again in there; its results go to the runner as if nothing had happened.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';

const MARK = 'PATCHBAY_TEST_HOST';

const SETUP = `
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run -o mode=755
hostname test-host
ip link set lo up
"$@" &
child=$!
trap 'kill $child' TERM INT
# As the host's first process it reaps what the test leaves.
wait $child
`;

/** True inside the host: register the tests. False outside: the run inside is over and its exit code is taken over. */
export async function insideSimulatedHost(file: string): Promise<boolean> {
  if (process.env[MARK] === file) return true;
  const namespaces = ['--net', '--mount', '--pid', '--uts', '--ipc', '--propagation', 'private', '--fork', '--kill-child'];
  const child = spawn('unshare', [...namespaces, '--', 'sh', '-c', SETUP, 'sh', process.execPath, file], {
    stdio: 'inherit',
    env: { ...process.env, [MARK]: file },
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  process.exitCode = code ?? 1;
  return false;
}
