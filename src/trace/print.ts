/** A trace as an operator reads it. */
import { packetText } from './packet.ts';
import type { Path, Step } from './step.ts';
import type { Trace } from './trace.ts';

/** Hop by hop, then the verdict with what would have to change; the answer's way below. */
export function printTrace(trace: Trace): string {
  const lines = [...pathLines(trace.path, ''), verdictLine(trace)];
  if (trace.reply) lines.push('', 'answer:', ...pathLines(trace.reply.path, ''), verdictLine(trace.reply));
  return lines.join('\n');
}

function verdictLine({ verdict, drops }: Omit<Trace, 'reply'>): string {
  const repair = verdict === 'drop' ? [...new Set(drops.flatMap((end) => end.repair))] : [];
  return [`verdict: ${verdict}`, ...repair.map((line) => `to change that: ${line}`)].join('\n');
}

function pathLines(path: Path, indent: string): string[] {
  return path.flatMap((step) => {
    const line = `${indent}${(step.host ?? 'outside').padEnd(12)}${step.type.padEnd(10)}${step.text}${packetOf(step)}`;
    return step.type === 'fork' ? [line, ...step.branches.flatMap((branch, i) => [`${indent}  copy ${i + 1}:`, ...pathLines(branch, `${indent}    `)])] : [line];
  });
}

function packetOf(step: Step): string {
  return step.type === 'port' || step.type === 'deliver' ? `: ${packetText(step.packet)}` : '';
}
