/** `patchbay bench`: the figures that are promised, with the physical limit measured beside them. */
import { BENCHMARKS, runBenchmarks } from '../bench/run.ts';
import { formatReport } from '../bench/report.ts';
import { type Command, UsageError, requireRoot, textOption } from '../command.ts';
import { checkStatePath } from '../datacentre/state-folder.ts';

export const command: Command = {
  usage: '[NAME...] [--json] [--scale F]',
  summary: `measure what the targets of speed ask for (${Object.keys(BENCHMARKS).join(', ')})`,
  options: {
    json: { type: 'boolean', help: 'the figures with all that is known of them on stdout, the table on stderr' },
    scale: { type: 'string', value: 'F', help: 'multiplies every count (default 1; 0.1 is for checking that all works)' },
  },
  async run({ state, positionals, options, ...invocation }) {
    requireRoot('bench');
    const unknown = positionals.find((name) => !Object.hasOwn(BENCHMARKS, name));
    if (unknown !== undefined) throw new UsageError(`no benchmark '${unknown}', only ${Object.keys(BENCHMARKS).join(' ')}`);
    const scale = Number(textOption({ state, positionals, options, ...invocation }, 'scale') ?? 1);
    if (!(scale > 0 && scale <= 10)) throw new UsageError(`--scale takes a number up to 10, not '${options['scale']}'`);
    // The lab's own folders are longer by their names.
    checkStatePath(`${state}-bench-XXXXXX/dc`);
    const names = positionals.length > 0 ? positionals : Object.keys(BENCHMARKS);
    const report = await runBenchmarks(names, { state, scale, progress: (step) => process.stderr.write(`  ${step}\n`) });
    if (options['json']) console.log(JSON.stringify(report, undefined, 2));
    // One run gives both.
    (options['json'] ? console.error : console.log)(formatReport(report));
    return 0;
  },
};
