/** The second half of `patchbay exec`, run on the instance's host: exec-on-host.ts STATE_DIR SERVER_ID CMD... */
import { ContainerDriver } from '#instances/container/container-driver.ts';
import { InstanceError } from '#instances/instance-driver.ts';
import { become } from './become.ts';

const [stateDir = '', serverId = '', ...argv] = process.argv.slice(2);
try {
  const tty = process.stdin.isTTY && process.stdout.isTTY;
  become(await new ContainerDriver({ stateDir }).execCommand(serverId, argv, { tty }));
} catch (error) {
  if (!(error instanceof InstanceError)) throw error;
  console.error(`patchbay exec: ${error.message}`);
  process.exitCode = 1;
}
