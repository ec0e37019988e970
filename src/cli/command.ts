/** What a command of `patchbay` is, and how its arguments are read. */
import { userInfo } from 'node:os';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { DEFAULT_STATE } from './datacentre/state-folder.ts';

export interface OptionSpec {
  readonly type: 'string' | 'boolean';
  /** What stands for the value in the help, e.g. `N`. */
  readonly value?: string;
  readonly help: string;
}

export interface Command {
  /** The line after `patchbay NAME`, e.g. `HOST -- CMD...`. */
  readonly usage: string;
  /** One line for the list of commands. */
  readonly summary: string;
  readonly options: Readonly<Record<string, OptionSpec>>;
  /** The arguments are not ours: all go to `run` as `rest`. */
  readonly passThrough?: boolean;
  /** Runs to the end and returns the exit code. */
  run(invocation: Invocation): Promise<number>;
}

/** The arguments of one call. */
export interface Invocation {
  /** Absolute path of the state folder. */
  readonly state: string;
  readonly options: Readonly<Record<string, string | boolean | undefined>>;
  readonly positionals: readonly string[];
  /** What stood after `--`, untouched; `undefined` without `--`. */
  readonly rest: readonly string[] | undefined;
}

/** Wrong arguments: one line, exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

const STATE: OptionSpec = { type: 'string', value: 'DIR', help: 'where this data centre keeps its state (or set PATCHBAY_STATE)' };
const HELP: OptionSpec = { type: 'boolean', help: 'show this help' };

/** Reads `argv` (after the command's name); throws `UsageError`. The option `help` is left for the caller to look at. */
export function readArguments(command: Command, argv: readonly string[]): Invocation {
  if (command.passThrough) return { state: defaultState(), options: {}, positionals: [], rest: argv };
  const end = argv.indexOf('--');
  const specs = { ...command.options, state: STATE, help: HELP };
  const config = {
    args: end < 0 ? [...argv] : argv.slice(0, end),
    options: Object.fromEntries(Object.entries(specs).map(([name, { type }]) => [name, { type }])),
    allowPositionals: true,
    strict: true,
  } satisfies ParseArgsConfig;
  try {
    const { values, positionals } = parseArgs(config);
    const state = typeof values.state === 'string' ? resolve(values.state) : defaultState();
    return { state, options: values as Invocation['options'], positionals, rest: end < 0 ? undefined : argv.slice(end + 1) };
  } catch (error) {
    // Node adds advice after the first sentence.
    const [sentence = ''] = (error as Error).message.split(/\.\s|\n/);
    throw new UsageError(sentence.charAt(0).toLowerCase() + sentence.slice(1));
  }
}

/** A whole number given to an option; throws `UsageError` naming it. */
export function integerOption(invocation: Invocation, name: string): number | undefined {
  const text = invocation.options[name];
  if (text === undefined) return undefined;
  if (!/^[0-9]{1,9}$/.test(String(text))) throw new UsageError(`--${name} takes a whole number, not '${text}'`);
  return Number(text);
}

export function textOption(invocation: Invocation, name: string): string | undefined {
  const value = invocation.options[name];
  return typeof value === 'string' ? value : undefined;
}

/** Throws when there are other positional arguments than `names` asks for. */
export function expectPositionals(invocation: Invocation, ...names: string[]): string[] {
  const { positionals } = invocation;
  if (positionals.length < names.length) throw new UsageError(`${names[positionals.length]} is missing`);
  if (positionals.length > names.length) throw new UsageError(`unexpected argument '${positionals[names.length]}'`);
  return [...positionals];
}

/** Kernel work: throws one line for anybody but root. */
export function requireRoot(what: string): void {
  if (process.getuid?.() !== 0) throw new Error(`${what} needs root: it makes network namespaces; try sudo`);
}

function defaultState(): string {
  const chosen = process.env['PATCHBAY_STATE'];
  if (chosen) return resolve(chosen);
  if (userInfo().uid === 0) return DEFAULT_STATE;
  return join(process.env['XDG_STATE_HOME'] ?? join(homedir(), '.local/state'), 'patchbay');
}

/** The help text of one command. */
export function helpOf(name: string, command: Command): string {
  const specs = Object.entries({ ...command.options, state: STATE, help: HELP });
  const rows = specs.map(([option, spec]) => [`--${option}${spec.value ? ` ${spec.value}` : ''}`, spec.help] as const);
  const width = Math.max(...rows.map(([left]) => left.length));
  return [
    `usage: patchbay ${name}${command.usage ? ` ${command.usage}` : ''}`,
    '',
    command.summary,
    ...(command.passThrough ? [] : ['', ...rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`)]),
  ].join('\n');
}
