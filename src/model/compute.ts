/** Flavors, key pairs and servers (Compute API v2.1). */
import { boolean, enumeration, integer, type Kind, nullable, text, uuid } from './kind.ts';
import { type Held, defaulted, defineResource, readOnly, required } from './resource.ts';
import { types } from './type-builder.ts';

/** JSON that only the system writes: kept as it is. */
function written<T>(): Kind<T> {
  return { column: 'json', schema: () => types().Unknown(), convert: (value) => value as T };
}

export const flavor = defineResource({
  collection: 'flavors', member: 'flavor', noun: 'Flavor',
  attributes: {
    /** Any short text: admins choose it (`1`, `m1.nano`), else a UUID. */
    id: readOnly(text()),
    name: required(text()),
    vcpus: required(integer(1)),
    /** MiB. */
    ram: required(integer(1)),
    /** GiB, as is `ephemeral`; `swap` is MiB. */
    disk: required(integer(0)),
    ephemeral: defaulted(integer(0), 0),
    swap: defaulted(integer(0), 0),
    is_public: defaulted(boolean, true),
    disabled: readOnly(boolean),
    extra_specs: readOnly(written<Record<string, string>>()),
    /** Projects that may use a flavor which is not public. */
    access: readOnly(written<string[]>()),
    created_at: readOnly(text(32)),
  },
});
export type Flavor = Held<typeof flavor>;

export const keypair = defineResource({
  collection: 'keypairs', member: 'keypair', noun: 'KeyPair',
  attributes: {
    id: readOnly(uuid),
    /** Unique among the user's. */
    name: required(text()),
    user_id: readOnly(text()),
    type: readOnly(enumeration('ssh')),
    /** One line of `authorized_keys`. */
    public_key: required(text(16_384)),
    /** MD5 in pairs with colons, as Nova shows it. */
    fingerprint: readOnly(text(64)),
    created_at: readOnly(text(32)),
  },
});
export type Keypair = Held<typeof keypair>;

/** One NIC of a server; the list's order is that of the guest's eth0, eth1, …. */
export interface ServerPort {
  readonly port_id: string;
  /** Made for this server, and so removed with it; a port that a user gave is only unbound. */
  readonly owned: boolean;
  /** Names the NIC to the guest (`devices` of its metadata). */
  readonly tag?: string;
}

/** Bytes of a password that a guest tells (nova/api/metadata/password.py). */
export const MAX_GUEST_PASSWORD = 1020;

/** What a server of the qemu driver is made of, as its image said at the time of creation. */
export interface ServerMachine {
  readonly disk_format: 'raw' | 'ami' | 'qcow2';
  readonly kernel_id: string | null;
  readonly ramdisk_id: string | null;
  readonly os_command_line: string | null;
}

/** Why a server is in ERROR, as the API shows it. */
export interface ServerFault {
  readonly code: number;
  readonly message: string;
  readonly created: string;
}

export const server = defineResource({
  collection: 'servers', member: 'server', noun: 'Server',
  attributes: {
    id: readOnly(uuid),
    name: required(text()),
    project_id: readOnly(text()),
    user_id: readOnly(text()),
    /** The name as a DNS label; the guest adds `.novalocal`. */
    hostname: readOnly(text(63)),
    description: readOnly(nullable(text())),
    status: readOnly(enumeration('BUILD', 'ACTIVE', 'SHUTOFF', 'ERROR')),
    /** What is under way: `spawning`, `powering-off`, `powering-on`, `rebooting`, `rebooting_hard`. */
    task_state: readOnly(nullable(text(32))),
    /** What its host shall make true. */
    power: readOnly(enumeration('on', 'off')),
    /** Grows with each reboot; a host runs the newest. */
    generation: readOnly(integer()),
    /** Null until scheduled, and for good when no host was alive. */
    host: readOnly(nullable(text())),
    availability_zone: readOnly(nullable(text())),
    image_id: readOnly(uuid),
    flavor_id: readOnly(text()),
    /** The flavor's sizes at the time of creation: a flavor may be deleted while servers of it live. */
    vcpus: readOnly(integer()),
    ram: readOnly(integer()),
    disk: readOnly(integer()),
    key_name: readOnly(nullable(text())),
    /** The public key at the time of creation; the pair may be deleted later. */
    key_data: readOnly(nullable(text(16_384))),
    /** Base64, as it was given. */
    user_data: readOnly(nullable(text(65_535))),
    metadata: readOnly(written<Record<string, string>>()),
    tags: readOnly(written<string[]>()),
    config_drive: readOnly(boolean),
    /** Null for a container. */
    machine: readOnly(nullable(written<ServerMachine>())),
    locked: readOnly(boolean),
    ports: readOnly(written<ServerPort[]>()),
    access_ip_v4: readOnly(text(64)),
    access_ip_v6: readOnly(text(64)),
    reservation_id: readOnly(text(16)),
    launch_index: readOnly(integer()),
    /** 32 random bytes in hex; the guest's `random_seed` is expanded from them. */
    seed: readOnly(text(64)),
    /** What the guest told its metadata service, encrypted for its key's owner; null until then. */
    password: readOnly(nullable(text(MAX_GUEST_PASSWORD))),
    fault: readOnly(nullable(written<ServerFault>())),
    created_at: readOnly(text(32)),
    updated_at: readOnly(text(32)),
    launched_at: readOnly(nullable(text(32))),
  },
});
export type Server = Held<typeof server>;

/**
 * The DNS label that Nova makes of a server's name: lower case, blanks, dots and underscores as hyphens, all else
 * that is no letter, digit or hyphen dropped; `server-<id>` when nothing is left.
 */
export function hostnameOf(name: string, serverId: string): string {
  const label = name.toLowerCase().replace(/[\s_.]+/g, '-').replace(/[^a-z0-9-]+/g, '').replace(/^-+/, '').slice(0, 63).replace(/-+$/, '');
  return label === '' ? `server-${serverId}` : label;
}
