/**
 * Provisioning blocks: a port is ACTIVE when its own host has its filter, the DHCP hosts know its address and the
 * peers can forward to it, by their acks and not by guess (DESIGN §4). After 10 s without, the reason is told.
 */
import type { Delta } from '#hoststate/host-state.ts';
import type { ItemReport } from '#protocol/messages.ts';

const PATIENCE_MS = 10_000;

export interface PortStatus {
  readonly port_id: string;
  readonly status: 'ACTIVE' | 'DOWN';
  readonly reason: string | null;
}

interface Block {
  /** Host that owns the port's device; the rest are hosts that must know of it. */
  host: string;
  wired: boolean;
  /** Why its own host has not wired it. */
  reason: string | undefined;
  /** `host type` → change number whose ack is awaited. */
  waits: Map<string, number>;
  since: number;
  told: string | undefined;
}

export class Provisioning {
  readonly #blocks = new Map<string, Block>();
  /** Ports that wait for a host. */
  readonly #waiting = new Map<string, Set<string>>();
  readonly #now: () => number;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** A delta is on its way to `host`; what it says of ports must be acknowledged before these are ACTIVE. */
  sent(host: string, seq: number, delta: Delta): void {
    for (const item of delta.upserts) {
      if (item.type === 'port') {
        const block = this.#block(item.port_id, host);
        if (block.host !== host) Object.assign(block, { host, wired: false, reason: undefined });
      } else if (item.type === 'forward' || item.type === 'dhcp-host') {
        this.#block(item.port_id, '').waits.set(`${host} ${item.type}`, seq);
        this.#wait(host, item.port_id);
      }
    }
    for (const key of delta.removals) {
      const [type, id = '', portId] = key.split('/');
      if (type === 'port' && this.#blocks.get(id)?.host === host) this.#blocks.delete(id);
      else if (portId && (type === 'forward' || type === 'dhcp-host')) this.#blocks.get(portId)?.waits.delete(`${host} ${type}`);
    }
  }

  /** `host` has applied everything up to `seq`; returns the ports that this makes ACTIVE. */
  acked(host: string, seq: number): PortStatus[] {
    const waiting = this.#waiting.get(host);
    if (!waiting) return [];
    const changed: string[] = [];
    for (const portId of waiting) {
      const block = this.#blocks.get(portId);
      let still = false;
      for (const [key, awaited] of block?.waits ?? []) {
        if (!key.startsWith(`${host} `)) continue;
        if (awaited <= seq) block!.waits.delete(key);
        else still = true;
      }
      if (!still) waiting.delete(portId);
      changed.push(portId);
    }
    return this.#statuses(changed);
  }

  /** What `host` says of its own ports and of the addresses its DHCP servers know. */
  reported(host: string, reports: readonly ItemReport[]): PortStatus[] {
    const changed: string[] = [];
    for (const { key, ok, reason } of reports) {
      const [type, id = ''] = key.split('/');
      if (type !== 'port') continue;
      const block = this.#block(id, host);
      block.host = host;
      if (block.wired && !ok) block.since = this.#now();
      block.wired = ok;
      block.reason = reason;
      changed.push(id);
    }
    return this.#statuses(changed);
  }

  /** A host that has gone cannot acknowledge: nobody waits for it, it gets a snapshot when it comes back. */
  lost(host: string): PortStatus[] {
    const waiting = [...(this.#waiting.get(host) ?? [])];
    this.#waiting.delete(host);
    for (const portId of waiting) {
      const block = this.#blocks.get(portId);
      for (const key of [...(block?.waits.keys() ?? [])]) if (key.startsWith(`${host} `)) block!.waits.delete(key);
    }
    return this.#statuses(waiting);
  }

  /** Ports that have waited too long, each once with the reason of now. */
  overdue(): PortStatus[] {
    const late: PortStatus[] = [];
    for (const [port_id, block] of this.#blocks) {
      const reason = this.#problem(block);
      if (!reason || block.told === reason || this.#now() - block.since < PATIENCE_MS) continue;
      block.told = reason;
      late.push({ port_id, status: 'DOWN', reason });
    }
    return late;
  }

  #statuses(portIds: Iterable<string>): PortStatus[] {
    const statuses: PortStatus[] = [];
    for (const port_id of portIds) {
      const block = this.#blocks.get(port_id);
      if (!block || block.host === '') continue;
      if (block.wired && block.waits.size === 0) {
        block.told = undefined;
        statuses.push({ port_id, status: 'ACTIVE', reason: null });
      } else if (!block.wired) statuses.push({ port_id, status: 'DOWN', reason: null });
    }
    return statuses;
  }

  #problem(block: Block): string | undefined {
    if (block.host === '') return undefined;
    if (!block.wired) return block.reason ?? `host ${block.host} has not said that it wired the port`;
    const [first] = block.waits.keys();
    if (!first) return undefined;
    const [host = '', type] = first.split(' ');
    return type === 'dhcp-host' ? `the DHCP server on host ${host} has not taken its address` : `host ${host} has not learned where it is`;
  }

  #block(portId: string, host: string): Block {
    let block = this.#blocks.get(portId);
    if (!block) this.#blocks.set(portId, (block = { host, wired: false, reason: undefined, waits: new Map(), since: this.#now(), told: undefined }));
    return block;
  }

  #wait(host: string, portId: string): void {
    const set = this.#waiting.get(host);
    if (set) set.add(portId);
    else this.#waiting.set(host, new Set([portId]));
  }
}
