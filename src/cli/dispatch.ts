/** Finds the command and runs it. Whatever goes wrong is one line on stderr: code 2 for wrong arguments, 1 for the rest. */
import { type Command, UsageError, helpOf, readArguments } from './command.ts';

/** Every command, loaded when it is called. */
const COMMANDS: Readonly<Record<string, () => Promise<{ command: Command }>>> = {
  up: () => import('./commands/up.ts'),
  down: () => import('./commands/down.ts'),
  status: () => import('./commands/status.ts'),
  openrc: () => import('./commands/openrc.ts'),
  exec: () => import('./commands/exec.ts'),
  host: () => import('./commands/host.ts'),
  trace: () => import('./commands/trace.ts'),
  wait: () => import('./commands/wait.ts'),
  logs: () => import('./commands/logs.ts'),
  bench: () => import('./commands/bench.ts'),
  test: () => import('./commands/test.ts'),
  server: () => import('./commands/server.ts'),
  agent: () => import('./commands/agent.ts'),
};

/** Runs `patchbay ARGV` to its end and returns the exit code. */
export async function dispatch(argv: readonly string[]): Promise<number> {
  // `patchbay --state DIR up` is `patchbay up --state DIR`.
  const [name, ...rest] = argv[0] === '--state' && argv.length > 2 ? [argv[2]!, '--state', argv[1]!, ...argv.slice(3)] : argv;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    console.log(await overview());
    return name === undefined ? 2 : 0;
  }
  const load = Object.hasOwn(COMMANDS, name) ? COMMANDS[name]! : undefined;
  if (!load) return fail(`patchbay: no command '${name}'; \`patchbay --help\` lists them`, 2);
  try {
    const { command } = await load();
    const invocation = readArguments(command, rest);
    if (invocation.options['help']) {
      console.log(helpOf(name, command));
      return 0;
    }
    return await command.run(invocation);
  } catch (error) {
    const line = error instanceof Error ? error.message.split('\n')[0] : String(error);
    if (error instanceof UsageError) return fail(`patchbay ${name}: ${line}; see \`patchbay ${name} --help\``, 2);
    return fail(`patchbay ${name}: ${line}`, 1);
  }
}

function fail(line: string, code: number): number {
  console.error(line);
  return code;
}

async function overview(): Promise<string> {
  const rows = await Promise.all(Object.entries(COMMANDS).map(async ([name, load]) => [name, (await load()).command.summary] as const));
  return ['usage: patchbay COMMAND [OPTIONS]', '', ...rows.map(([name, summary]) => `  ${name.padEnd(8)}${summary}`), '', 'Each takes --state DIR and --help.'].join('\n');
}
