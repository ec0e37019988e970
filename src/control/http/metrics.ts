/** Metrics in Prometheus's text format: what the controller serves, and how far each host has come. */
import type { Status } from '#protocol/status.ts';

const BUCKETS = [0.002, 0.01, 0.05, 0.25, 1, 5];

export class RequestMetrics {
  /** `service method status` → how many. Methods and statuses are few, so this stays small whatever clients ask for. */
  readonly #counts = new Map<string, number>();
  readonly #buckets = BUCKETS.map(() => 0);
  #sum = 0;
  #total = 0;

  /** One answered request; `path` names the service by its first part, `seconds` is the time it took. */
  observe(path: string, method: string, status: number, seconds: number): void {
    const service = /^\/(identity|network|compute|image)(\/|$)/.exec(path)?.[1] ?? 'other';
    const key = `service="${service}",method="${method}",status="${status}"`;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    for (const [i, limit] of BUCKETS.entries()) if (seconds <= limit) this.#buckets[i]!++;
    this.#sum += seconds;
    this.#total++;
  }

  lines(): string[] {
    return [
      '# HELP patchbay_requests_total Requests answered.',
      '# TYPE patchbay_requests_total counter',
      ...[...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([labels, count]) => `patchbay_requests_total{${labels}} ${count}`),
      '# HELP patchbay_request_seconds Time from the request to its answer.',
      '# TYPE patchbay_request_seconds histogram',
      ...BUCKETS.map((limit, i) => `patchbay_request_seconds_bucket{le="${limit}"} ${this.#buckets[i]}`),
      `patchbay_request_seconds_bucket{le="+Inf"} ${this.#total}`,
      `patchbay_request_seconds_sum ${this.#sum}`,
      `patchbay_request_seconds_count ${this.#total}`,
    ];
  }
}

/** What the hosts' status says, as gauges. */
export function statusLines(status: Status): string[] {
  const perHost = (name: string, help: string, value: (host: Status['hosts'][number]) => number) => [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} gauge`,
    ...status.hosts.map((host) => `${name}{host="${host.host}"} ${value(host)}`),
  ];
  return [
    '# HELP patchbay_revision The newest committed change.',
    '# TYPE patchbay_revision gauge',
    `patchbay_revision ${status.controller.revision}`,
    ...perHost('patchbay_host_alive', 'Its agent is connected.', ({ alive }) => (alive ? 1 : 0)),
    ...perHost('patchbay_host_applied', 'Up to which change the host is right.', ({ applied }) => applied),
    ...perHost('patchbay_host_errors', 'Objects that the host could not realise.', ({ errors }) => errors.length),
    ...perHost('patchbay_host_idle_ports', 'Switch ports that belong to nobody.', ({ idle_ports }) => idle_ports),
  ];
}
