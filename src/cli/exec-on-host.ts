/** The second half of `patchbay exec`, run on the instance's host: exec-on-host.ts HOST_FOLDER SERVER_ID CMD... */
import { InstanceError } from '#instances/instance-driver.ts';
import { InstanceDrivers } from '#instances/instance-drivers.ts';
import { become } from './become.ts';

const [hostDir = '', serverId = '', ...argv] = process.argv.slice(2);
try {
  const tty = process.stdin.isTTY && process.stdout.isTTY;
  become(await new InstanceDrivers({ hostDir }).execCommand(serverId, argv, { tty }));
} catch (error) {
  if (!(error instanceof InstanceError)) throw error;
  console.error(`patchbay exec: ${error.message}`);
  process.exitCode = 1;
}
