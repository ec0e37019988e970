/** POST /servers/{id}/action: what is asked for is written down; the host makes it true and reports. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Server } from '#model/compute.ts';
import { ApiError } from '#model/errors.ts';
import { enumeration, integer, ipAddress, nullable, text, uuid } from '#model/kind.ts';
import type { FixedIp } from '#model/networks.ts';
import type { Tx } from '#store/store.ts';
import { checked, isObject } from './body.ts';
import type { Deps } from './deps.ts';
import { mayWrite } from './policy.ts';
import { deleteServer } from './server-delete.ts';
import { lockServer, mustBeIn, portsOf, serverOf, serverToChange, updateServer } from './servers.ts';

type Action = (deps: Deps, request: FastifyRequest, id: string, given: Record<string, unknown>) => Promise<unknown>;

const rebootType = enumeration('SOFT', 'HARD');

/** A change of one server in one transaction. */
function change(policy: string, command: (tx: Tx, server: Server, deps: Deps, request: FastifyRequest, given: Record<string, unknown>) => Promise<unknown>): Action {
  return (deps, request, id, given) => deps.store.write(async (tx) => {
    await command(tx, await serverToChange(tx, request.context, id, policy), deps, request, given);
  }, request.requestId);
}

const ACTIONS: Readonly<Record<string, Action>> = {
  'os-start': change('servers:start', async (tx, server) => {
    // A stop that the host has not made yet can be taken back.
    if (server.power === 'on') mustBeIn(server, 'start', 'SHUTOFF');
    await updateServer(tx, server, { power: 'on', task_state: 'powering-on' });
  }),
  'os-stop': change('servers:stop', async (tx, server) => {
    mustBeIn(server, 'stop', 'ACTIVE', 'ERROR');
    mustHaveHost(server);
    await updateServer(tx, server, { power: 'off', task_state: 'powering-off' });
  }),
  reboot: change('servers:reboot', async (tx, server, _deps, _request, given) => {
    const type = checked(rebootType, String(given['type'] ?? '').toUpperCase(), 'type');
    mustBeIn(server, 'reboot', ...(type === 'SOFT' ? ['ACTIVE'] as const : ['ACTIVE', 'SHUTOFF', 'ERROR'] as const));
    mustHaveHost(server);
    await updateServer(tx, server, { power: 'on', generation: server.generation + 1, task_state: type === 'SOFT' ? 'rebooting' : 'rebooting_hard' });
  }),
  forceDelete: (deps, request, id) => deleteServer(deps, request.context, id),
  lock: change('os-lock-server:lock', (tx, server) => updateServer(tx, server, { locked: true })),
  unlock: (deps, request, id) => deps.store.write(async (tx) => {
    await lockServer(tx, id);
    const server = await serverOf(tx, request.context, id);
    mayWrite(request.context, 'os-lock-server:unlock');
    await updateServer(tx, server, { locked: false });
  }, request.requestId),
  'os-getConsoleOutput': async ({ store, hostCalls }, request, id, given) => {
    const server = await serverOf(store.reader, request.context, id);
    const length = checked(nullable(integer(-1)), given['length'] ?? null, 'length');
    if (server.host === null) throw new ApiError('InstanceNotReady', { id });
    const output = await hostCalls.consoleOutput(server.host, id, length === null || length === -1 ? undefined : length).catch((error: Error) => {
      throw new ApiError('serviceUnavailable', { reason: `Host ${server.host} does not answer for the console of instance ${id}: ${error.message}` });
    });
    return { output };
  },
  addSecurityGroup: change('os-security-groups:add', (tx, server, deps, request, given) => changeGroups(tx, server, deps, request, given, 'add')),
  removeSecurityGroup: change('os-security-groups:remove', (tx, server, deps, request, given) => changeGroups(tx, server, deps, request, given, 'remove')),
  addFixedIp: change('os-multinic:add', async (tx, server, { network }, request, given) => {
    const id = checked(uuid, given['networkId'], 'networkId');
    const port = (await portsOf(tx, [server])).get(server.id)!.find(({ network_id }) => network_id === id);
    const subnet_id = ((port?.fixed_ips ?? []) as FixedIp[])[0]?.subnet_id;
    if (!port || subnet_id === undefined) throw new ApiError('badRequest', { reason: `Network ${id} is not attached to instance ${server.id}.` });
    await network.changePort(tx, request.context, port, { fixed_ips: [...port.fixed_ips as FixedIp[], { subnet_id }] });
    await updateServer(tx, server, {});
  }),
  removeFixedIp: change('os-multinic:remove', async (tx, server, { network }, request, given) => {
    const address = checked(ipAddress, given['address'], 'address');
    const port = (await portsOf(tx, [server])).get(server.id)!.find(({ fixed_ips }) => (fixed_ips as FixedIp[]).some(({ ip_address }) => ip_address === address));
    if (!port) throw new ApiError('badRequest', { reason: `Fixed IP ${address} is not associated with instance ${server.id}.` });
    await network.changePort(tx, request.context, port, { fixed_ips: (port.fixed_ips as FixedIp[]).filter(({ ip_address }) => ip_address !== address) });
    await updateServer(tx, server, {});
  }),
};

export function actionRoutes(app: FastifyInstance, deps: Deps): void {
  app.post<{ Params: { id: string } }>('/servers/:id/action', async (request, reply: FastifyReply) => {
    const body = isObject(request.body) ? request.body : {};
    const names = Object.keys(body);
    const action = names.length === 1 && Object.hasOwn(ACTIONS, names[0]!) ? ACTIONS[names[0]!] : undefined;
    if (!action) throw new ApiError('badRequest', { reason: `There is no such action: ${names.join(', ').slice(0, 60)}` });
    const given = body[names[0]!];
    const answer = await action(deps, request, request.params.id, isObject(given) ? given : {});
    return names[0] === 'os-getConsoleOutput' ? answer : reply.code(names[0] === 'forceDelete' ? 204 : 202).send();
  });
}

/** Puts a group on all ports of the server that have port security, or takes it off them. */
async function changeGroups(tx: Tx, server: Server, { network }: Deps, request: FastifyRequest, given: Record<string, unknown>, op: 'add' | 'remove'): Promise<void> {
  const name = checked(text(), given['name'], 'name');
  const found = await network.securityGroups(tx, request.context, name);
  if (found.length > 1) throw new ApiError('NoUniqueMatch', { name });
  const [group] = found;
  if (!group) throw new ApiError('itemNotFound', { reason: `Security group ${name} not found.` });
  const ports = (await portsOf(tx, [server])).get(server.id)!.filter((port) => port.port_security_enabled !== false);
  const having = ports.filter((port) => port.security_groups.includes(group.id));
  if (op === 'remove' && having.length === 0) throw new ApiError('itemNotFound', { reason: `Security group ${name} not associated with the instance ${server.id}` });
  for (const port of op === 'add' ? ports.filter((each) => !having.includes(each)) : having) {
    const rest = port.security_groups.filter((id) => id !== group.id);
    await network.changePort(tx, request.context, port, { security_groups: op === 'add' ? [...rest, group.id] : rest });
  }
}

/** A server that was never scheduled has nothing to switch on or off. */
function mustHaveHost(server: Server): void {
  if (server.host === null) throw new ApiError('InstanceNotReady', { id: server.id });
}
