/** `patchbay agent`: the agent of a real host, in the foreground. */
import { become } from '../become.ts';
import type { Command } from '../command.ts';
import { ENTRY, nodeArgv } from '../services.ts';

export const command: Command = {
  usage: '--host NAME --state DIR --controller unix:SOCKET --config FILE [--roles compute,network]',
  summary: 'run the agent of a real host by itself, in the foreground',
  options: {},
  passThrough: true,
  async run({ rest = [] }) {
    become(nodeArgv(ENTRY.agent, ...rest));
  },
};
