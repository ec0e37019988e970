/** POST /servers: from the body to rows of servers and their ports, in one transaction. */
import { randomBytes } from 'node:crypto';
import { type Flavor, hostnameOf, type Server, type ServerPort } from '#model/compute.ts';
import { ApiError } from '#model/errors.ts';
import { boolean, integer, ipAddress, type Kind, list, nullable, object, text } from '#model/kind.ts';
import type { Port } from '#model/networks.ts';
import type { Tx } from '#store/store.ts';
import type { Context } from '../http/context.ts';
import { visibleImage } from '../image/images.ts';
import { checked, isObject, otherwise } from './body.ts';
import type { Deps } from './deps.ts';
import { visibleFlavor } from './flavors.ts';
import { type ComputeHost, loads } from './hosts.ts';
import { keypairOf } from './keypairs.ts';
import type { NetworkCommands, PortBinding } from './network-port.ts';
import { mayWrite, projectOf } from './policy.ts';
import { type Nic, readNetworks, type RequestedNetworks, resolveNetworks } from './requested-networks.ts';
import { chooseHosts, type Placement, readPlacement } from './scheduling.ts';
import { machineOf } from './server-machine.ts';
import { readMetadata } from './server-metadata.ts';
import { servers } from './servers.ts';

const anything: Kind<unknown> = { column: 'json', schema: () => text().schema(), convert: (value) => value };

const fields = {
  name: text(), flavorRef: anything, imageRef: text(1024), key_name: nullable(text()), user_data: nullable(text(65_535)), networks: anything,
  security_groups: list(object({ name: text() })), metadata: anything, config_drive: anything, availability_zone: nullable(text()),
  min_count: integer(1), max_count: integer(1), return_reservation_id: boolean, accessIPv4: ipAddress, accessIPv6: ipAddress, adminPass: text(),
  'OS-DCF:diskConfig': anything, block_device_mapping: list(anything), block_device_mapping_v2: list(anything), personality: list(anything),
};
const newServer = object(fields, ['name', 'flavorRef']);
const describedServer = object({ ...fields, description: nullable(text()) }, ['name', 'flavorRef']);

/** Servers in one request, as many as an instance quota would allow in Nova's default. */
const MAX_COUNT = 100;

export interface ServerRequest {
  readonly name: string;
  readonly description: string | null;
  readonly flavorId: string;
  readonly imageId: string;
  readonly keyName: string | null;
  readonly userData: string | null;
  readonly networks: RequestedNetworks;
  readonly securityGroups: readonly string[];
  readonly metadata: Record<string, string>;
  readonly configDrive: boolean;
  readonly availabilityZone: string | null;
  readonly count: number;
  readonly reservation: boolean;
  readonly accessIps: readonly [v4: string, v6: string];
}

/** Reads a POST body; 400 with the field that is wrong. */
export function readServerRequest(body: unknown, microversion: number): ServerRequest {
  if (!isObject(body) || !isObject(body['server'])) throw new ApiError('badRequest', { reason: "Invalid input for field/attribute server. 'server' is a required property." });
  const { 'os:scheduler_hints': _hints, 'OS-SCH-HNT:scheduler_hints': _legacyHints, ...plain } = body['server'];
  refuseGroup(body);
  const given = checked(microversion >= 19 ? describedServer : newServer, plain, 'server') as Partial<Record<keyof typeof fields | 'description', any>>;
  const name = String(given.name).trim();
  if (name === '') throw new ApiError('badRequest', { reason: `Invalid input for field/attribute name. Value: ${given.name}. '${given.name}' is too short.` });
  if ((given.personality ?? []).length > 0) throw new ApiError('badRequest', { reason: 'Personality files are not supported; put them into user_data.' });
  const min = given.min_count ?? 1;
  const count = given.max_count ?? min;
  if (min > count) throw new ApiError('badRequest', { reason: 'min_count must be <= max_count' });
  if (count > MAX_COUNT) throw new ApiError('badRequest', { reason: `max_count must be <= ${MAX_COUNT}` });
  return {
    name, count, reservation: given.return_reservation_id ?? false, description: given.description ?? (microversion >= 19 ? null : name),
    flavorId: lastSegment(given.flavorRef, 'flavorRef'), imageId: imageOf(given), keyName: given.key_name ?? null, userData: readUserData(given.user_data),
    networks: readNetworks(given.networks, microversion), metadata: readMetadata(given.metadata ?? {}),
    securityGroups: (given.security_groups ?? []).map((group: { name?: string }) => group.name ?? 'default'),
    configDrive: given.config_drive === undefined || given.config_drive === null || given.config_drive === '' ? false : checked(boolean, given.config_drive, 'config_drive'),
    availabilityZone: given.availability_zone ?? null, accessIps: [given.accessIPv4 ?? '', given.accessIPv6 ?? ''],
  };
}

/** Creates what the request asks for, scheduled and with its ports; with no host alive the servers are in ERROR. */
export async function createServers({ store, config, network, hosts }: Deps, context: Context, request: ServerRequest): Promise<Server[]> {
  mayWrite(context, 'servers:create');
  const projectId = projectOf(context, 'servers:create');
  const known = await hosts.hosts();
  const placement = readPlacement(context, request.availabilityZone, known);
  const settled = { ...request, configDrive: request.configDrive || config.force_config_drive };
  return store.write((tx) => create(tx, context, network, settled, projectId, known, placement), context.request_id);
}

async function create(tx: Tx, context: Context, network: NetworkCommands, request: ServerRequest, projectId: string, known: readonly ComputeHost[], placement: Placement): Promise<Server[]> {
  const flavor = await visibleFlavor(tx, context, request.flavorId).catch(otherwise('FlavorNotFound', 'Invalid flavorRef provided.'));
  const image = await visibleImage(tx, context, request.imageId).catch(otherwise('ImageNotFound', 'Can not find requested image'));
  if (image.status !== 'active') throw new ApiError('badRequest', { reason: `Image ${image.id} is not active.` });
  if (flavor.ram < image.min_ram) throw new ApiError('badRequest', { reason: "Flavor's memory is too small for requested image." });
  if (flavor.disk !== 0 && flavor.disk < image.min_disk) throw new ApiError('badRequest', { reason: "Flavor's disk is too small for requested image." });
  const machine = await machineOf(tx, context, flavor, image);
  const key = request.keyName === null ? undefined : await keypairOf(tx, context.user_id, request.keyName).catch(otherwise('KeypairNotFound', 'Invalid key_name provided.'));
  const groups = await groupIds(tx, context, network, request.securityGroups);
  const nics = await resolveNetworks(tx, context, network, request.networks, request.count);
  // Two requests at once would both find the same host empty.
  await tx.lock('scheduling');
  const chosen = chooseHosts(known, await loads(tx), placement, request.count);

  const reservation_id = `r-${randomBytes(4).toString('hex')}`;
  const created = Array.from({ length: request.count }, (_, index): Server => {
    const id = crypto.randomUUID();
    const name = request.count === 1 ? request.name : `${request.name}-${index + 1}`;
    return {
      id, name, hostname: hostnameOf(name, id), project_id: projectId, user_id: context.user_id, description: request.description, power: 'on', generation: 0,
      ...(chosen ? { status: 'BUILD', task_state: 'spawning', fault: null } : { status: 'ERROR', task_state: null, fault: noValidHost(tx.now) }),
      host: chosen?.[index]!.host ?? null, availability_zone: chosen?.[index]!.zone ?? placement.zone, image_id: image.id, ...sizes(flavor),
      key_name: key?.name ?? null, key_data: key?.public_key ?? null, user_data: request.userData, metadata: request.metadata, tags: [],
      // As in Nova an image may insist on it, and the server says so from then on.
      config_drive: request.configDrive || image.properties['img_config_drive'] === 'mandatory', machine, locked: false, ports: [], access_ip_v4: request.accessIps[0], access_ip_v6: request.accessIps[1], reservation_id,
      launch_index: index, seed: randomBytes(32).toString('hex'), password: null, created_at: tx.now, updated_at: tx.now, launched_at: null,
    };
  });
  const wired = chosen ? await wire(tx, context, network, created, nics, groups) : created;
  await servers.insert(tx, wired);
  return wired;
}

/** Creates and binds the ports of all servers, each server's in the order of its NICs. */
async function wire(tx: Tx, context: Context, network: NetworkCommands, created: readonly Server[], nics: readonly Nic[], groups: readonly string[] | undefined): Promise<Server[]> {
  // A port is only given where one server is made.
  const [conflict] = nics.flatMap((nic) => ('port' in nic ? nameConflict(network, created[0]!, nic.port) ?? [] : []));
  if (conflict) return created.map((server) => failed(server, conflict.message, tx.now));
  const made = await network.createPorts(tx, context, created.flatMap((server) => nics.flatMap((nic) => ('network' in nic ? [{
    network_id: nic.network.id, project_id: server.project_id, ...bindingOf(server),
    ...(nic.fixed_ip === undefined ? {} : { fixed_ips: [{ ip_address: nic.fixed_ip }] }), ...(groups ? { security_groups: groups } : {}),
  }] : []))));
  const wired: Server[] = [];
  for (const server of created) {
    const ports: ServerPort[] = [];
    let fault: string | undefined;
    for (const nic of nics) {
      const port = 'network' in nic ? made.shift()! : await network.bindPort(tx, context, nic.port, bindingOf(server));
      if (port['binding:vif_type'] === 'binding_failed') fault ??= `Binding failed for port ${port.id}: ${port.status_reason}`;
      ports.push({ port_id: port.id, owned: 'network' in nic, ...(nic.tag === undefined ? {} : { tag: nic.tag }) });
    }
    // A guest without one of its wires must not start: as in Nova the server stays in ERROR, on no host.
    wired.push(fault === undefined ? { ...server, ports } : failed({ ...server, ports }, fault, tx.now));
  }
  return wired;
}

const failed = (server: Server, message: string, created: string): Server => ({ ...server, status: 'ERROR', task_state: null, host: null, fault: { code: 500, message, created } });

/** What ties a port to a server that has a host. */
export function bindingOf(server: Server): PortBinding {
  return { device_id: server.id, device_owner: `compute:${server.availability_zone ?? 'nova'}`, host: server.host!, dns_name: server.hostname };
}

/** Why the server may not have a port: it is called something else already. */
export function nameConflict(network: NetworkCommands, server: Server, { id, dns_name }: Port): ApiError | undefined {
  if (!network.namesPorts || dns_name === '' || dns_name === server.hostname) return undefined;
  return new ApiError('PortNotUsableDNS', { id, server_id: server.id, dns_name, hostname: server.hostname });
}

/** Ids of groups given by name or id; `undefined` stands for the project's default group alone. */
async function groupIds(tx: Tx, context: Context, network: NetworkCommands, names: readonly string[]): Promise<string[] | undefined> {
  if (names.every((name) => name === 'default')) return undefined;
  const ids = new Set<string>();
  for (const name of names) {
    const found = await network.securityGroups(tx, context, name);
    if (found.length > 1) throw new ApiError('NoUniqueMatch', { name });
    if (found.length === 0) throw new ApiError('ComputeSecurityGroupNotFound', { name });
    ids.add(found[0]!.id);
  }
  return [...ids];
}

const sizes = ({ id, vcpus, ram, disk }: Flavor) => ({ flavor_id: id, vcpus, ram, disk });

const noValidHost = (created: string) => ({ code: 500, message: 'No valid host was found. There are not enough hosts available.', created });

/** Server groups do not exist here: a hint that names one would be a promise not kept. */
function refuseGroup(body: Record<string, unknown>): void {
  const server = body['server'] as Record<string, unknown>;
  for (const hints of [body, server].flatMap((each) => [each['os:scheduler_hints'], each['OS-SCH-HNT:scheduler_hints']])) {
    if (isObject(hints) && hints['group']) throw new ApiError('badRequest', { reason: `Instance group ${String(hints['group']).slice(0, 60)} could not be found.` });
  }
}

/** A reference is an id or a link that ends in one. */
function lastSegment(given: unknown, name: string): string {
  // PostgreSQL takes no NUL in a text.
  if ((typeof given !== 'string' && typeof given !== 'number') || String(given).includes('\0')) throw new ApiError('badRequest', { reason: `Invalid input for field/attribute ${name}.` });
  return String(given).split('/').at(-1)!;
}

/** The image is `imageRef`, or the one local block device that clients send in its place. */
function imageOf(given: { imageRef?: string; block_device_mapping?: unknown[]; block_device_mapping_v2?: unknown[] }): string {
  const devices = [...(given.block_device_mapping ?? []), ...(given.block_device_mapping_v2 ?? [])];
  const local = devices.filter((each): each is Record<string, string> => isObject(each) && each['source_type'] === 'image' && (each['destination_type'] ?? 'local') === 'local');
  if (local.length < devices.length || local.length > 1) throw new ApiError('badRequest', { reason: 'Block Device Mapping is Invalid: volumes are not supported.' });
  const image = given.imageRef || local[0]?.['uuid'];
  if (!image) throw new ApiError('badRequest', { reason: 'Invalid imageRef provided.' });
  return lastSegment(image, 'imageRef');
}

function readUserData(given: string | null | undefined): string | null {
  if (given === undefined || given === null) return null;
  const plain = given.replace(/\s+/g, '');
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(plain)) throw new ApiError('badRequest', { reason: 'Userdata content cannot be decoded' });
  return plain;
}
