/** The figures of a run, as JSON and as a table. */
import { cpus, loadavg, release, totalmem } from 'node:os';
import { formatTable } from '../status.ts';
import type { FigureSpec, Measurement } from './benchmark.ts';
import { statisticsOf } from './statistics.ts';

export interface Figure extends FigureSpec, Measurement {
  readonly name: string;
  readonly benchmark: string;
  /** Absent without a target. */
  readonly met?: boolean;
}

export interface Report {
  readonly started: string;
  readonly seconds: number;
  readonly scale: number;
  readonly machine: { readonly cpu: string; readonly cpus: number; readonly memory_mb: number; readonly kernel: string; readonly node: string };
  /** One minute's, before and after: other work makes figures lie. */
  readonly load: readonly [before: number, after: number];
  /** Milliseconds that a fixed piece of JavaScript took, before and after; on a quiet machine the same each time. */
  readonly pace: readonly [before: number, after: number];
  readonly figures: readonly Figure[];
}

export function figureOf(benchmark: string, name: string, spec: FigureSpec, measured: Measurement): Figure {
  const met = spec.target === undefined ? undefined : spec.higher ? measured.value >= spec.target : measured.value <= spec.target;
  return { name, benchmark, ...spec, ...measured, ...(met === undefined ? {} : { met }) };
}

export function machine(): Report['machine'] {
  return { cpu: cpus()[0]?.model ?? '', cpus: cpus().length, memory_mb: Math.round(totalmem() / 1e6), kernel: release(), node: process.version };
}

export function load(): number {
  return Math.round(loadavg()[0]! * 100) / 100;
}

/** Median of what a fixed piece of JavaScript takes: machines that share their processors are not always as fast. */
export function pace(): number {
  const samples = Array.from({ length: 21 }, () => {
    const start = performance.now();
    for (let i = 0; i < 3000; i++) JSON.stringify(JSON.parse('{"fixed_ips":[1,2,3,{"subnet_id":"cccccccc"}],"name":"eeeeeeeeeeeeee"}'));
    return performance.now() - start;
  });
  return statisticsOf(samples).p50;
}

/** One line per figure. */
export function formatReport({ figures, machine: { cpu, cpus: count, kernel }, load: [before, after], pace: [paceBefore, paceAfter], seconds, scale }: Report): string {
  const rows = figures.map((figure) => [
    figure.title,
    `${format(figure.value)} ${figure.unit}`,
    figure.target === undefined ? '' : `${figure.higher ? '>=' : '<='} ${format(figure.target)}${figure.met ? '' : '  MISSED'}`,
    figure.neutron === undefined ? '' : format(figure.neutron),
    figure.limit ? `${format(figure.limit.value)} (${figure.limit.what})` : '',
    idlePorts(figure),
  ]);
  return [
    ...formatTable([['FIGURE', 'REACHED', 'TARGET', 'NEUTRON', 'LIMIT MEASURED BESIDE IT', 'IDLE PORTS'], ...rows]),
    `${cpu}, ${count} CPUs, Linux ${kernel}; load ${before} before, ${after} after; pace ${format(paceBefore)} ms before, ${format(paceAfter)} after; ${Math.round(seconds)} s${scale === 1 ? '' : `; scale ${scale}: too few samples to compare`}`,
  ].join('\n');
}

function idlePorts({ idle_ports = {} }: Figure): string {
  return Object.entries(idle_ports).map(([host, ports]) => `${host} ${ports}`).join(', ');
}

function format(value: number): string {
  return value >= 1000 ? Math.round(value).toLocaleString('en') : String(value >= 100 ? Math.round(value) : Number(value.toPrecision(3)));
}
