/** Why a host may do something else than it shall: is the device of the port there, and what does `patchbay status` say. Pure. */
import type { Status } from '#protocol/status.ts';
import type { Switches } from './switches.ts';

/** One clause each; `ports` are those concerned. What is said of them comes before what is said of the host. */
export function reasonsFor(host: string, ports: readonly string[], { hosts }: Pick<Status, 'hosts'>, switches: Switches): string[] {
  const status = hosts.find((one) => one.host === host);
  const errors = status?.errors ?? [];
  const theirs = errors.filter(({ object }) => ports.some((id) => object.includes(id)));
  return [
    ...ports.filter((id) => switches.has(host) && !switches.get(host)!.some((port) => port.port_id === id)).map((id) => `port ${id} has no device on ${host}: its instance is off, or has not come up`),
    ...(theirs.length > 0 ? theirs : errors.slice(0, 1)).map(({ object, reason }) => `\`patchbay status\` says of ${object}: ${reason}`),
    ...(status && !status.alive ? [`the agent of ${host} is dead`] : []),
    ...(status && status.applied < status.revision ? [`${host} has applied revision ${status.applied} of ${status.revision}`] : []),
  ];
}
