/** The one place where the instance drivers start programs of the host: never through a shell string, never blocking. */

import { spawn } from 'node:child_process';
import { constants } from 'node:os';

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Written to the program's standard input; without it the input is empty. */
  readonly input?: string | Uint8Array;
  /** `inherit` hands over this process's own three streams (an interactive exec). */
  readonly stdio?: 'capture' | 'inherit';
  /** Own session: a Ctrl-C at the agent's terminal does not reach what the program leaves running. */
  readonly detached?: boolean;
  /** Milliseconds until SIGKILL; none without it. */
  readonly timeout?: number;
}

export interface RunResult {
  /** The exit code; 128 + signal number when a signal ended it, as a shell says it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A program that had to succeed and did not. The message holds its command line and what it said. */
export class RunError extends Error {
  readonly result: RunResult;

  constructor(command: string, args: readonly string[], result: RunResult) {
    const said = (result.stderr.trim() || result.stdout.trim()).slice(-2000);
    super(`${[command, ...args].join(' ')}: exit code ${result.code}${said === '' ? '' : `: ${said}`}`);
    this.name = 'RunError';
    this.result = result;
  }
}

/** Runs a program to its end. Rejects only when it could not be started. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const capture = options.stdio !== 'inherit';
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: options.env === undefined ? process.env : { ...process.env, ...options.env },
      stdio: capture ? ['pipe', 'pipe', 'pipe'] : 'inherit',
      detached: options.detached ?? false,
      timeout: options.timeout,
      killSignal: 'SIGKILL',
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk));
    // A program that ends without reading its input is no failure of ours.
    child.stdin?.on('error', () => {});
    child.stdin?.end(options.input);
    child.on('error', reject);
    // `close` would wait for whoever inherited the pipes, for example a daemon inside the guest.
    child.on(capture && !options.detached ? 'close' : 'exit', (code, signal) => {
      resolve({
        code: code ?? 128 + (constants.signals[signal ?? 'SIGKILL']),
        stdout: Buffer.concat(stdout).toString(),
        stderr: Buffer.concat(stderr).toString(),
      });
    });
  });
}

/** Runs a program that must succeed; throws a RunError otherwise. Resolves with its standard output. */
export async function runOk(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const result = await run(command, args, options);
  if (result.code !== 0) throw new RunError(command, args, result);
  return result.stdout;
}
