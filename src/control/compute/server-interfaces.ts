/** NICs of a server (`/os-interface`) and its security groups (`/os-security-groups`). */
import type { FastifyInstance } from 'fastify';
import type { Server } from '#model/compute.ts';
import { ApiError } from '#model/errors.ts';
import { ipAddress, list, nullable, object, text, uuid } from '#model/kind.ts';
import type { FixedIp, Port } from '#model/networks.ts';
import { type SecurityGroupRule, securityGroup as securityGroupResource, securityGroupRule as ruleResource } from '#model/security-groups.ts';
import type { Reader } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { Context } from '../http/context.ts';
import { checked, isObject } from './body.ts';
import type { Deps } from './deps.ts';
import { resolveNetworks, usablePort } from './requested-networks.ts';
import { bindingOf, nameConflict } from './server-create.ts';
import { letGo } from './server-delete.ts';
import { mustBeIn, portsOf, serverOf, serverToChange, updateServer } from './servers.ts';

const attachment = object({ port_id: nullable(uuid), net_id: nullable(uuid), fixed_ips: nullable(list(object({ ip_address: ipAddress }, ['ip_address']), { max: 1 })), tag: text(60) });

const groups = new Table(securityGroupResource);
const rules = new Table(ruleResource);

export function interfaceRoutes(app: FastifyInstance, deps: Deps): void {
  const { store, network } = deps;
  type ById = { Params: { id: string } };
  type ByPort = { Params: { id: string; port: string } };

  app.get<ById>('/servers/:id/os-interface', async (request) => {
    const server = await serverOf(store.reader, request.context, request.params.id);
    return { interfaceAttachments: (await portsOf(store.reader, [server])).get(server.id)!.map(wire) };
  });
  app.get<ByPort>('/servers/:id/os-interface/:port', async (request) => {
    const server = await serverOf(store.reader, request.context, request.params.id);
    return { interfaceAttachment: wire(await portOf(store.reader, server, request.params.port)) };
  });
  app.post<ById>('/servers/:id/os-interface', async (request) => ({ interfaceAttachment: wire(await attach(deps, request.context, request.params.id, request.body, request.microversion)) }));
  app.delete<ByPort>('/servers/:id/os-interface/:port', async (request, reply) => {
    const { id, port: portId } = request.params;
    await store.write(async (tx) => {
      const server = await serverToChange(tx, request.context, id, 'os-attach-interfaces:delete');
      const port = await portOf(tx, server, portId);
      await letGo(tx, request.context, network, server, [port]);
      await updateServer(tx, server, { ports: server.ports.filter(({ port_id }) => port_id !== portId) });
    }, request.requestId);
    return reply.code(202).send();
  });

  app.get<ById>('/servers/:id/os-security-groups', async (request) => {
    const server = await serverOf(store.reader, request.context, request.params.id);
    return { security_groups: await groupsOf(store.reader, (await portsOf(store.reader, [server])).get(server.id)!) };
  });
}

/** Adds a NIC to a server: the port given, or a new one on a network. */
async function attach({ store, network }: Deps, context: Context, id: string, body: unknown, microversion: number): Promise<Port> {
  const given = checked(attachment, (isObject(body) ? body['interfaceAttachment'] : undefined) ?? {}, 'interfaceAttachment');
  if (given.tag !== undefined && microversion < 49) throw new ApiError('badRequest', { reason: "Additional properties are not allowed ('tag' was unexpected)" });
  if (given.port_id && given.net_id) throw new ApiError('badRequest', { reason: 'Must not input both network_id and port_id' });
  const [address] = given.fixed_ips ?? [];
  if (address && !given.net_id) throw new ApiError('badRequest', { reason: 'Must input network_id when request IP address' });
  return store.write(async (tx) => {
    const server = await serverToChange(tx, context, id, 'os-attach-interfaces:create');
    mustBeIn(server, 'attach_interface', 'ACTIVE', 'SHUTOFF');
    // Nova's answer for a driver that cannot, and what helps.
    if (server.machine !== null && server.power === 'on') throw new ApiError('badRequest', { reason: `Attaching interfaces is not supported for instance ${id} while it runs: it runs in qemu. Stop it, attach, start it.` });
    let port: Port;
    if (given.port_id) {
      const found = await usablePort(tx, context, network, given.port_id);
      const conflict = nameConflict(network, server, found);
      if (conflict) throw conflict;
      port = await network.bindPort(tx, context, found, bindingOf(server));
    } else {
      const [nic] = await resolveNetworks(tx, context, network, given.net_id ? [{ uuid: given.net_id, fixed_ip: address?.ip_address }] : 'auto', 1);
      if (!nic || !('network' in nic)) throw new ApiError('badRequest', { reason: 'No network to attach to.' });
      const [made] = await network.createPorts(tx, context, [{
        network_id: nic.network.id, project_id: server.project_id, ...bindingOf(server), ...(nic.fixed_ip === undefined ? {} : { fixed_ips: [{ ip_address: nic.fixed_ip }] }),
      }]);
      port = made!;
    }
    await updateServer(tx, server, { ports: [...server.ports, { port_id: port.id, owned: !given.port_id }] });
    return port;
  }, context.request_id);
}

async function portOf(reader: Reader, server: Server, portId: string): Promise<Port> {
  const found = (await portsOf(reader, [server])).get(server.id)!.find(({ id }) => id === portId);
  if (!found) throw new ApiError('itemNotFound', { reason: `Port id ${portId} could not be found.` });
  return found;
}

function wire(port: Port): Record<string, unknown> {
  return {
    net_id: port.network_id, port_id: port.id, mac_addr: port.mac_address, port_state: port.status,
    fixed_ips: (port.fixed_ips as FixedIp[]).map(({ subnet_id, ip_address }) => ({ subnet_id, ip_address })),
  };
}

/** Groups of ports in Nova's older form, which knows ingress rules only. */
async function groupsOf(reader: Reader, ports: readonly Port[]): Promise<unknown[]> {
  const found = await groups.getMany(reader, [...new Set(ports.flatMap((port) => port.security_groups))]);
  if (found.length === 0) return [];
  const ingress = await rules.list(reader, { filters: { security_group_id: found.map(({ id }) => id), direction: ['ingress'] } });
  const remotes = new Map((await groups.getMany(reader, ingress.flatMap(({ remote_group_id }) => remote_group_id ?? []))).map((each) => [each.id, each]));
  return found.map(({ id, name, description, project_id }) => ({
    id, name, description: description ?? '', tenant_id: project_id,
    rules: ingress.filter((rule) => rule.security_group_id === id).map((rule) => wireRule(rule, remotes.get(rule.remote_group_id ?? ''))),
  }));
}

function wireRule(rule: SecurityGroupRule, remote: { name: string; project_id: string } | undefined): Record<string, unknown> {
  return {
    id: rule.id, parent_group_id: rule.security_group_id, ip_protocol: rule.protocol, from_port: rule.port_range_min ?? (rule.protocol === null ? null : -1),
    to_port: rule.port_range_max ?? (rule.protocol === null ? null : -1),
    group: remote ? { name: remote.name, tenant_id: remote.project_id } : {},
    ip_range: remote ? {} : { cidr: rule.remote_ip_prefix ?? (rule.ethertype === 'IPv6' ? '::/0' : '0.0.0.0/0') },
  };
}
