/**
 * What the controller answers to the operator's commands on the unix socket `<state>/control.sock` (HTTP/1.1, JSON, no token: the
 * socket's mode 0600 is the permission), and how `patchbay status` prints it. Every answer that is not 2xx is `ControlError`.
 */
import type { HostStatus, ObjectError, Status } from '#protocol/status.ts';

export type { HostStatus, ObjectError, Status };

/**
 * `GET /wait?timeout=SECONDS`: answers when every host has applied what the store held on arrival.
 * 200 with `waiting: []`, or 504 with those who have not when the time is up.
 */
export interface WaitAnswer {
  /** The revision that was waited for. */
  readonly revision: number;
  readonly waiting: readonly { readonly host: string; readonly applied: number }[];
}

/** `GET /instance?server=NAME_OR_ID` → 200; 404 when there is none, 409 when a name fits several. */
export interface InstanceAnswer {
  readonly host: string;
  readonly server_id: string;
  readonly name: string;
}

/** The body of every answer that is not 2xx (but the 504 of `/wait`). */
export interface ControlError {
  readonly error: string;
}

/** True when nothing needs the operator: every agent alive, no object in error. A host that lags behind is well. */
export function isWell(status: Status): boolean {
  return status.controller.errors.length === 0 && status.hosts.length > 0 && status.hosts.every((host) => host.alive && host.errors.length === 0);
}

/** The status as the table that `patchbay status` prints, errors below it. */
export function formatStatus(status: Status): string {
  const header = ['HOST', 'AGENT', 'APPLIED', 'IDLE PORTS', 'ERRORS'];
  const rows = status.hosts.map((host) => [
    host.host,
    host.alive ? 'alive' : 'dead',
    host.applied < host.revision ? `${host.applied} of ${host.revision}` : String(host.applied),
    String(host.idle_ports),
    String(host.errors.length),
  ]);
  const problems = [
    ...status.controller.errors.map((error) => `controller: ${error}`),
    ...status.hosts.flatMap((host) => host.errors.map(({ object, reason }) => `${host.host}: ${object}: ${reason}`)),
  ];
  return [
    `controller at ${status.controller.public_endpoint}, revision ${status.controller.revision}`,
    ...formatTable([header, ...rows]),
    ...problems,
  ].join('\n');
}

/** Lines of cells padded to columns two spaces apart, without trailing spaces. */
export function formatTable(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ').trimEnd());
}
