/** A trace as an operator reads it. */
import { type Packet, packetText } from './packet.ts';

/** What a trace and its shortened forms have in common. */
export interface Printable {
  readonly verdict: string;
  readonly path: readonly PrintableStep[];
  readonly reply: Printable | null;
}

interface PrintableStep {
  readonly type: string;
  readonly host: string | null;
  readonly text: string;
  readonly packet?: Packet;
  readonly branches?: readonly (readonly PrintableStep[])[];
  readonly repair?: readonly string[];
}

/** Hop by hop, then the verdict with what would have to change; the answer's way below. */
export function printTrace(trace: Printable): string {
  const lines = traceLines(trace);
  if (trace.reply) lines.push('', 'answer:', ...traceLines(trace.reply));
  return lines.join('\n');
}

function traceLines({ verdict, path }: Printable): string[] {
  const repairs = verdict === 'deliver' ? [] : [...new Set(repairsOf(path))];
  return [...pathLines(path, ''), `verdict: ${verdict}`, ...repairs.map((line) => `to change that: ${line}`)];
}

function pathLines(path: readonly PrintableStep[], indent: string): string[] {
  return path.flatMap((step) => {
    const line = `${indent}${(step.host ?? '-').padEnd(12)}${step.type.padEnd(10)}${step.text}${step.packet && step.type !== 'filter' ? `: ${packetText(step.packet)}` : ''}`;
    return step.branches ? [line, ...step.branches.flatMap((branch, i) => [`${indent}  copy ${i + 1}:`, ...pathLines(branch, `${indent}    `)])] : [line];
  });
}

function* repairsOf(path: readonly PrintableStep[]): Iterable<string> {
  for (const step of path) {
    yield* step.repair ?? [];
    for (const branch of step.branches ?? []) yield* repairsOf(branch);
  }
}
