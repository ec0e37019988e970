/** `patchbay down`: ends the processes of a state, and with --purge the state itself. */
import { existsSync } from 'node:fs';
import { type Command, expectPositionals, requireRoot } from '../command.ts';
import { downDataCentre } from '../datacentre/datacentre.ts';
import { checkStatePath, readPlan, withLock } from '../datacentre/state-folder.ts';

export const command: Command = {
  usage: '[--purge]',
  summary: 'stop everything and remove it from the kernel; the next up brings servers back as they were',
  options: { purge: { type: 'boolean', help: 'remove the store, logs and credentials too' } },
  async run(invocation) {
    expectPositionals(invocation);
    requireRoot('down');
    checkStatePath(invocation.state);
    const { state } = invocation;
    if (!existsSync(state) || !readPlan(state)) {
      console.log(`nothing to do: ${state} holds no data centre`);
      return 0;
    }
    const purge = invocation.options['purge'] === true;
    const ended = await withLock(state, () => downDataCentre(state, { purge }, (step) => console.log(`  ${step}`)));
    if (!ended && !purge) console.log('nothing to do: it was down');
    return 0;
  },
};
