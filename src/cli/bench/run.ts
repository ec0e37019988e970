/** Runs benchmarks one after the other in one lab. */
import type { Benchmark } from './benchmark.ts';
import { Lab, type LabOptions } from './lab.ts';
import { type Figure, type Report, figureOf, load, machine, pace } from './report.ts';
import { round } from './statistics.ts';

/** Every benchmark, in the order in which they disturb each other least. */
export const BENCHMARKS: Readonly<Record<string, () => Promise<{ benchmark: Benchmark<any> }>>> = {
  start: () => import('./benchmark-start.ts'),
  token: () => import('./benchmark-token.ts'),
  network: () => import('./benchmark-network.ts'),
  port: () => import('./benchmark-port.ts'),
  router: () => import('./benchmark-router.ts'),
  list: () => import('./benchmark-list.ts'),
  compile: () => import('./benchmark-compile.ts'),
  trace: () => import('./benchmark-trace.ts'),
  up: () => import('./benchmark-up.ts'),
  server: () => import('./benchmark-server.ts'),
  dhcp: () => import('./benchmark-dhcp.ts'),
  flows: () => import('./benchmark-flows.ts'),
  security: () => import('./benchmark-security.ts'),
  gateway: () => import('./benchmark-gateway.ts'),
};

/** Measures the figures of the named benchmarks. All that was made is gone when it resolves or rejects. */
export async function runBenchmarks(names: readonly string[], options: LabOptions): Promise<Report> {
  const started = new Date();
  const [before, paceBefore] = [load(), pace()];
  const lab = new Lab(options);
  const figures: Figure[] = [];
  try {
    for (const name of names) {
      options.progress(name);
      const { benchmark } = await BENCHMARKS[name]!();
      const measured = await benchmark.run(lab);
      for (const [figure, spec] of Object.entries(benchmark.figures)) figures.push(figureOf(name, figure, spec, measured[figure]!));
    }
  } finally {
    await lab.close();
  }
  const seconds = round((Date.now() - started.getTime()) / 1000);
  return { started: started.toISOString(), seconds, scale: options.scale, machine: machine(), load: [before, load()], pace: [paceBefore, pace()], figures };
}
