/** `patchbay logs`: the JSON log lines of controller and agents, merged by time. */
import { existsSync, readFileSync, watch } from 'node:fs';
import { open } from 'node:fs/promises';
import { type Command, UsageError, textOption } from '../command.ts';
import { readPlan, statePath } from '../datacentre/state-folder.ts';

export const command: Command = {
  usage: '[--follow] [--request ID] [--flows] [HOST]',
  summary: 'log lines (JSON) of controller and agents, or of one HOST (or `controller`), oldest first',
  options: {
    flows: { type: 'boolean', help: 'the flow logs of the hosts instead: packets that `openstack network log` asks for' },
    follow: { type: 'boolean', help: 'go on with new lines until interrupted' },
    request: { type: 'string', value: 'ID', help: 'only lines of this request (X-Openstack-Request-Id)' },
  },
  async run(invocation) {
    const { state, positionals } = invocation;
    if (positionals.length > 1) throw new UsageError(`unexpected argument '${positionals[1]}'`);
    const plan = readPlan(state);
    if (!plan) throw new Error(`${state} holds no data centre; \`patchbay up\` makes one`);
    const flows = invocation.options['flows'] === true;
    const sources = [...(flows ? [] : ['controller']), ...plan.hosts.map(({ name }) => name)];
    const [only] = positionals;
    if (only !== undefined && !sources.includes(only)) throw new UsageError(`no host '${only}', only ${sources.join(' ')}`);
    const files: LogFile[] = (only ? [only] : sources).map((source) => ({ source, path: flows ? statePath.flowLog(state, source) : statePath.log(state, source) }));
    const request = textOption(invocation, 'request');
    const wanted = (line: string) => line !== '' && (request === undefined || line.includes(JSON.stringify(request)));
    const lines = files.flatMap(({ source, path }) => (existsSync(path) ? readFileSync(path, 'utf8').split('\n') : []).filter(wanted).map((line) => withSource(line, source)));
    for (const line of sortByTime(lines)) console.log(line);
    if (invocation.options['follow']) await follow(files, wanted);
    return 0;
  },
};

interface LogFile {
  /** Whose. */
  readonly source: string;
  readonly path: string;
}

/** A line as JSON that says where it is from; what is no JSON (a crash) becomes a message. */
export function withSource(line: string, source: string): string {
  try {
    const entry: unknown = JSON.parse(line);
    if (typeof entry === 'object' && entry !== null) return JSON.stringify({ source, ...entry });
  } catch {
    // a program's own words
  }
  return JSON.stringify({ source, msg: line });
}

/** By the field `time` (a number or ISO text); a line without stays behind its predecessor. */
export function sortByTime(lines: readonly string[]): string[] {
  let last = 0;
  const timed = lines.map((line) => {
    const { time } = JSON.parse(line) as { time?: string | number };
    const at = typeof time === 'string' ? Date.parse(time) : time;
    if (at !== undefined && !Number.isNaN(at)) last = at;
    return { line, at: last };
  });
  return timed.sort((a, b) => a.at - b.at).map(({ line }) => line);
}

/** Prints what is appended; returns never. */
async function follow(files: readonly LogFile[], wanted: (line: string) => boolean): Promise<void> {
  await Promise.all(files.filter(({ path }) => existsSync(path)).map((file) => followFile(file, wanted)));
  await new Promise(() => {});
}

async function followFile({ source, path }: LogFile, wanted: (line: string) => boolean): Promise<void> {
  const handle = await open(path);
  let position = (await handle.stat()).size;
  let partial = '';
  const more = async () => {
    const buffer = Buffer.alloc(65_536);
    for (let read = await handle.read(buffer, 0, buffer.length, position); read.bytesRead > 0; read = await handle.read(buffer, 0, buffer.length, position)) {
      position += read.bytesRead;
      const lines = (partial + buffer.toString('utf8', 0, read.bytesRead)).split('\n');
      partial = lines.pop()!;
      for (const line of lines.filter(wanted)) console.log(withSource(line, source));
    }
  };
  let turn = Promise.resolve();
  watch(path, () => (turn = turn.then(more)));
}
