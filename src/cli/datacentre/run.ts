/** Runs one command to its end. */
import { spawn } from 'node:child_process';

/** A command that failed: the message is one line with the command's own last words. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly code: number | null;
  readonly stdout: string;

  constructor(argv: readonly string[], code: number | null, { stdout, stderr }: { stdout: string; stderr: string }) {
    const output = stderr || stdout;
    // `ip -batch` puts a line number after its reason.
    const lastWords = output.trim().split('\n').filter((line) => !line.startsWith('Command failed')).at(-1)?.trim();
    super(`${argv.slice(0, 4).join(' ').slice(0, 120)} failed (${code ?? 'killed'})${lastWords ? `: ${lastWords}` : ''}`);
    this.code = code;
    this.stdout = stdout;
  }
}

export interface RunOptions {
  readonly input?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Milliseconds; then the command is killed and counts as failed. */
  readonly timeout?: number;
}

/** Runs a command and returns what it wrote to stdout; throws `CommandError` when it fails. */
export function run(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(argv[0]!, argv.slice(1), { env: options.env ?? process.env, stdio: ['pipe', 'pipe', 'pipe'], timeout: options.timeout, killSignal: 'SIGKILL' });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.once('error', (error) => reject(new Error(`cannot run ${argv[0]}: ${error.message}`)));
    child.once('close', (code) => (code === 0 ? resolve(stdout) : reject(new CommandError(argv, code, { stdout, stderr }))));
    child.stdin.on('error', () => {}); // it may end without reading
    child.stdin.end(options.input ?? '');
  });
}
