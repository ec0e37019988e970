/** Says, on the instance's host, whether it runs: instance-on-host.ts HOST_FOLDER SERVER_ID; prints an InstanceState, or nothing. */
import { InstanceDrivers } from '#instances/instance-drivers.ts';

const [hostDir = '', serverId = ''] = process.argv.slice(2);
const found = (await new InstanceDrivers({ hostDir }).list()).find(({ server_id }) => server_id === serverId);
if (found) console.log(JSON.stringify(found));
