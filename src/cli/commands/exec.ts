/** `patchbay exec`: a command inside an instance, wherever its host is. */
import { become } from '../become.ts';
import { type Command, UsageError, expectPositionals, requireRoot } from '../command.ts';
import { askInstance } from '../control-socket.ts';
import { onHost } from '../datacentre/host.ts';
import { statePath } from '../datacentre/state-folder.ts';
import { EXEC_ON_HOST, nodeArgv } from '../services.ts';

export const command: Command = {
  usage: 'SERVER -- CMD...',
  summary: 'run CMD inside an instance (name or id), with its exit code',
  options: {},
  async run(invocation) {
    const [server = ''] = expectPositionals(invocation, 'SERVER');
    if (!invocation.rest?.length) throw new UsageError('the command is missing: SERVER -- CMD...');
    requireRoot('exec');
    const { state } = invocation;
    const { host, server_id } = await askInstance(state, server);
    become(onHost(state, host, nodeArgv(EXEC_ON_HOST, statePath.hostFolder(state, host), server_id, ...invocation.rest)));
  },
};
