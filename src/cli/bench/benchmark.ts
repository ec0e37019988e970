/** What a benchmark is: declared figures, and a run that measures each of them. */
import type { Lab } from './lab.ts';
import type { Statistics } from './statistics.ts';

export interface FigureSpec {
  readonly title: string;
  readonly unit: 'ms' | 's' | '1/s' | 'MB' | 'Mbit/s';
  /** What the issues ask for; without one the figure is there to be watched. */
  readonly target?: number;
  /** A rate: more is better. */
  readonly higher?: boolean;
  /** Real Neutron on such a machine, in the same unit (bench/README.md says where it was measured). */
  readonly neutron?: number;
}

/** The best that this machine can do at something, measured in the same run. */
export interface Limit {
  readonly what: string;
  readonly value: number;
}

export interface Measurement {
  readonly value: number;
  /** Of the samples, in the figure's unit. */
  readonly samples?: Statistics;
  readonly limit?: Limit;
  /** Switch ports without traffic when it was measured, by host: userspace Open vSwitch slows with each (dataplane.md trap 7). */
  readonly idle_ports?: Readonly<Record<string, number>>;
}

export interface Benchmark<Name extends string = string> {
  readonly figures: Readonly<Record<Name, FigureSpec>>;
  /** Measures every figure; leaves in the lab what it found there. */
  run(lab: Lab): Promise<Record<Name, Measurement>>;
}

export function defineBenchmark<const Name extends string>(benchmark: Benchmark<Name>): Benchmark<Name> {
  return benchmark;
}
