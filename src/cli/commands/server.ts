/** `patchbay server`: the controller, in the foreground. */
import { become } from '../become.ts';
import type { Command } from '../command.ts';
import { ENTRY, nodeArgv } from '../services.ts';

export const command: Command = {
  usage: '--config FILE --state DIR',
  summary: 'run the controller by itself, in the foreground',
  options: {},
  passThrough: true,
  async run({ rest = [] }) {
    become(nodeArgv(ENTRY.server, ...rest));
  },
};
