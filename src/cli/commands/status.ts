/** `patchbay status`: what each host has applied, and what failed. */
import { type Command, expectPositionals } from '../command.ts';
import { ControllerDown, askStatus } from '../control-socket.ts';
import { readPlan, runningProcess } from '../datacentre/state-folder.ts';
import { formatStatus, isWell } from '../status.ts';

export const command: Command = {
  usage: '[--json]',
  summary: 'what each host has applied and what is in error; exit code 0 only if all is well',
  options: { json: { type: 'boolean', help: 'the whole answer as JSON' } },
  async run(invocation) {
    expectPositionals(invocation);
    const { state } = invocation;
    try {
      const status = await askStatus(state);
      console.log(invocation.options['json'] ? JSON.stringify(status, undefined, 2) : formatStatus(status));
      return isWell(status) ? 0 : 1;
    } catch (error) {
      if (!(error instanceof ControllerDown)) throw error;
      const running = (readPlan(state)?.hosts ?? []).map(({ name }) => name).filter((name) => runningProcess(state, name));
      const hosts = running.length > 0 ? `hosts that run: ${running.join(' ')}` : 'no host runs';
      throw new Error(`${error.message} (${hosts})`);
    }
  },
};
