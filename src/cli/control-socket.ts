/** Asks the controller on its operator's socket. */
import type { Item } from '#hoststate/host-state.ts';
import type { OperatorTrace } from '#control/trace/operator-trace.ts';
import { statePath } from './datacentre/state-folder.ts';
import type { ControlError, InstanceAnswer, Status, WaitAnswer } from './status.ts';

// An import makes Node read every export, and that loads its fetch client: 55 ms.
const { request } = process.getBuiltinModule('node:http');

/** Thrown when nobody answers on the socket. */
export class ControllerDown extends Error {
  override readonly name = 'ControllerDown';
}

export async function askStatus(state: string): Promise<Status> {
  return (await ask(state, '/status', 10_000, [200])) as Status;
}

/** Waits until all hosts have applied what the store holds now, at most `seconds`. */
export async function askWait(state: string, seconds: number): Promise<WaitAnswer> {
  return (await ask(state, `/wait?timeout=${seconds}`, (seconds + 10) * 1_000, [200, 504])) as WaitAnswer;
}

export async function askInstance(state: string, server: string): Promise<InstanceAnswer> {
  return (await ask(state, `/instance?server=${encodeURIComponent(server)}`, 10_000, [200])) as InstanceAnswer;
}

/** What the controller has compiled for a host. */
export async function askHostState(state: string, host: string): Promise<Item[]> {
  return ((await ask(state, `/hoststate?host=${encodeURIComponent(host)}`, 10_000, [200])) as { items: Item[] }).items;
}

/** Why a packet arrives, or does not; `question` as src/control/trace/operator-trace.ts reads it. */
export async function askTrace(state: string, question: Readonly<Record<string, string>>): Promise<OperatorTrace> {
  return (await ask(state, `/trace?${new URLSearchParams(question)}`, 10_000, [200])) as OperatorTrace;
}

/** True when the public API answers anything at all. */
export async function apiAnswers(state: string): Promise<boolean> {
  return get(statePath.apiSocket(state), '/', 2_000).then(() => true, () => false);
}

async function ask(state: string, path: string, timeout: number, good: readonly number[]): Promise<unknown> {
  const { code, body } = await get(statePath.controlSocket(state), path, timeout);
  const answer = parseJson(body);
  if (good.includes(code) && answer !== undefined) return answer;
  throw new Error((answer as ControlError | undefined)?.error ?? `the controller answered ${code} to ${path}`);
}

function get(socketPath: string, path: string, timeout: number): Promise<{ code: number; body: string }> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, path, timeout, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => (body += text));
      response.on('end', () => resolve({ code: response.statusCode ?? 0, body }));
      response.on('error', reject);
    });
    call.on('timeout', () => call.destroy(new Error(`the controller did not answer ${path} within ${timeout / 1_000} s`)));
    call.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EACCES') reject(new Error(`only root may ask the controller at ${socketPath}`));
      else if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') reject(new ControllerDown('the controller is not running; `patchbay up` starts it'));
      else reject(error);
    });
    call.end();
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
