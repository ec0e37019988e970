/** `patchbay host`: a command on a simulated host. */
import { become } from '../become.ts';
import { type Command, UsageError, expectPositionals, requireRoot } from '../command.ts';
import { onHost } from '../datacentre/host.ts';

/** Keeps the caller's folder where the host has it too (files named on the command line), and finds programs of sbin. */
const ENTER = 'cd "$1" 2>/dev/null || cd /; shift; PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"; exec "$@"';

export const command: Command = {
  usage: 'HOST -- CMD...',
  summary: 'run CMD on a simulated host (compute1, ...), on `outside`, the world around, or on `fabric`, the wires',
  options: {},
  async run(invocation) {
    const [host = ''] = expectPositionals(invocation, 'HOST');
    if (!invocation.rest?.length) throw new UsageError('the command is missing: HOST -- CMD...');
    requireRoot('host');
    become(onHost(invocation.state, host, ['sh', '-c', ENTER, 'sh', process.cwd(), ...invocation.rest]));
  },
};
