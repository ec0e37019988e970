/** Starts programs of the host for the drivers: never through a shell string of values, never blocking. */
import { spawn } from 'node:child_process';

/** A program that had to succeed and did not. The message holds its command line and what it said. */
export class CommandError extends Error {
  readonly code: number | null;
  /** All that it said; the message holds the end of it. */
  readonly said: string;

  constructor(program: string, args: readonly string[], code: number | null, said: string) {
    const line = [program, ...args].join(' ');
    super(`${line.length > 200 ? `${line.slice(0, 200)}…` : line}: ${said.trim().slice(-1000) || `exit code ${code}`}`);
    this.name = 'CommandError';
    this.code = code;
    this.said = said;
  }
}

/** Runs a program to its end with `input` on its standard input and resolves with its standard output; throws CommandError. */
export function command(program: string, args: readonly string[], input = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: '/', stdio: ['pipe', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    // A program that ends without reading its input is no failure of ours.
    child.stdin.on('error', () => {}).end(input);
    child.once('error', reject);
    child.once('close', (code) => (code === 0 ? resolve(stdout) : reject(new CommandError(program, args, code, stderr || stdout))));
  });
}

/** One `ip -batch` of `lines` (without the leading `ip`), inside `namespace` when given; nothing for no lines. */
export async function ipBatch(lines: readonly string[], namespace?: string): Promise<void> {
  if (lines.length === 0) return;
  await command('ip', [...(namespace === undefined ? [] : ['-n', namespace]), '-batch', '-'], `${lines.join('\n')}\n`);
}

/** A line that `ip` did not carry out, with what it or the kernel said. */
export interface RefusedLine {
  readonly line: string;
  readonly reason: string;
}

/** As `ipBatch`, but a line that is refused does not keep the others back; resolves with those. Throws CommandError where not even that can be said. */
export async function ipEach(lines: readonly string[], namespace: string): Promise<RefusedLine[]> {
  if (lines.length === 0) return [];
  try {
    await command('ip', ['-n', namespace, '-force', '-batch', '-'], `${lines.join('\n')}\n`);
    return [];
  } catch (error) {
    const refused = error instanceof CommandError ? refusedLines(lines, error.said) : [];
    if (refused.length === 0) throw error;
    return refused;
  }
}

/** Reads what `ip -force -batch -` says of lines: words, then `Command failed -:NUMBER`. Empty where something is said of no line. */
export function refusedLines(lines: readonly string[], said: string): RefusedLine[] {
  const refused: RefusedLine[] = [];
  let words: string[] = [];
  for (const text of said.split('\n').filter((each) => each !== '')) {
    const line = lines[Number(/^Command failed -:(\d+)$/.exec(text)?.[1]) - 1];
    if (line === undefined) {
      words.push(text.replace(/^(RTNETLINK answers|Error): /, '').replace(/\.$/, ''));
      continue;
    }
    refused.push({ line, reason: words.join(', ') });
    words = [];
  }
  // Behind an argument that it cannot read it reads no further line.
  return words.length === 0 ? refused : [];
}

/** Runs a program inside a network namespace. */
export function inNamespace(namespace: string, program: string, args: readonly string[], input?: string): Promise<string> {
  return command('ip', ['netns', 'exec', namespace, program, ...args], input);
}
