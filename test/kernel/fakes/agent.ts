/** Stands in for the agent where only the commands are tested: says its host's name to the controller and stays. */
import { hostname } from 'node:os';
import { connect } from 'node:net';
import { parseArgs } from 'node:util';

const option = { type: 'string' } as const;
const { host = '', controller = '' } = parseArgs({ options: { host: option, controller: option, state: option, config: option, roles: option } }).values;
if (hostname() !== host) throw new Error(`started on ${hostname()}, not on ${host}`);
const connection = connect(controller.replace('unix:', ''), () => connection.write(host));
console.log(JSON.stringify({ time: new Date().toISOString(), msg: 'connected', request_id: `req-${host}` }));
