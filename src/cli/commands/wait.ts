/** `patchbay wait`: until every host has applied what the store holds now. */
import { type Command, expectPositionals, integerOption } from '../command.ts';
import { askWait } from '../control-socket.ts';

export const command: Command = {
  usage: '[--timeout S]',
  summary: 'return when every host has applied everything the store holds now',
  options: { timeout: { type: 'string', value: 'S', help: 'seconds to wait at most (default 60)' } },
  async run(invocation) {
    expectPositionals(invocation);
    const timeout = integerOption(invocation, 'timeout') ?? 60;
    const { revision, waiting } = await askWait(invocation.state, timeout);
    if (waiting.length === 0) return 0;
    const each = waiting.map(({ host, applied }) => `${host} has applied ${applied}`);
    throw new Error(`not all hosts have applied revision ${revision} after ${timeout} s: ${each.join(', ')}`);
  },
};
