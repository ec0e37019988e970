/**
 * Provisioning blocks: a port is ACTIVE when its own host has its filter, the DHCP hosts know its address and the
 * peers can forward to it, by their acks and not by guess (DESIGN §4). After 10 s without, the reason is told. A port
 * that is ACTIVE waits for nobody any more: a host that joins its network later does not take it down.
 */
import type { Delta } from '#hoststate/host-state.ts';
import type { ItemReport } from '#protocol/messages.ts';

const PATIENCE_MS = 10_000;

export interface PortStatus {
  readonly port_id: string;
  /** The host that the port is bound to by what is known here: a port that has moved on since is none of its business. */
  readonly host: string;
  readonly status: 'ACTIVE' | 'DOWN';
  readonly reason: string | null;
}

interface Block {
  /** Host that owns the port's device; '' while only others have heard of the port. The rest are hosts that must know of it. */
  host: string;
  wired: boolean;
  active: boolean;
  /** Why its own host has not wired it. */
  reason: string | undefined;
  /** `host type` → change number whose ack is awaited. */
  waits: Map<string, number>;
  /** DHCP host → why it cannot serve the port's address. */
  unserved: Map<string, string>;
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
        if (block.host !== host) Object.assign(block, { host, wired: false, active: false, reason: undefined, since: this.#now(), told: undefined });
      } else if (item.type === 'forward' || item.type === 'dhcp-host') {
        const block = this.#block(item.port_id, '');
        if (block.active) continue;
        block.waits.set(`${host} ${item.type}`, seq);
        this.#wait(host, item.port_id);
      }
    }
    this.removed(host, delta);
  }

  /** What of a delta needs nobody's ack: a host that is not connected has lost these too. */
  removed(host: string, { removals }: Delta): void {
    for (const key of removals) {
      const [type, id = '', portId] = key.split('/');
      if (type === 'port' && this.#blocks.get(id)?.host === host) this.#blocks.delete(id);
      else if (portId && (type === 'forward' || type === 'dhcp-host')) {
        const block = this.#blocks.get(portId);
        block?.waits.delete(`${host} ${type}`);
        if (type === 'dhcp-host') block?.unserved.delete(host);
        this.#forgetIdle(portId);
      }
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
      this.#forgetIdle(portId);
      changed.push(portId);
    }
    if (waiting.size === 0) this.#waiting.delete(host);
    return this.#statuses(changed);
  }

  /** What `host` says of its own ports and of the addresses its DHCP servers know. */
  reported(host: string, reports: readonly ItemReport[]): PortStatus[] {
    const changed: string[] = [];
    for (const { key, ok: whole, reason, partly = false } of reports) {
      const ok = whole || partly;
      const [type, id = '', portId = ''] = key.split('/');
      if (type === 'port') {
        const block = this.#block(id, host);
        if ((block.wired && !ok) || block.since === Infinity) block.since = this.#now();
        Object.assign(block, { host, wired: ok, reason });
        changed.push(id);
      } else if (type === 'dhcp-host') {
        const block = ok ? this.#blocks.get(portId) : this.#block(portId, '');
        if (!block) continue;
        if (ok) block.unserved.delete(host);
        else if (!block.active) block.unserved.set(host, reason ?? 'the DHCP server gave no reason');
        changed.push(portId);
      }
    }
    return this.#statuses(changed);
  }

  /** A host that has gone cannot acknowledge: nobody waits for it, it gets a snapshot when it comes back. */
  lost(host: string): PortStatus[] {
    // Its own ports are not overdue while nobody can speak for them.
    for (const block of this.#blocks.values()) if (block.host === host) block.since = Infinity;
    const waiting = [...(this.#waiting.get(host) ?? [])];
    this.#waiting.delete(host);
    for (const portId of waiting) {
      const block = this.#blocks.get(portId);
      for (const key of [...(block?.waits.keys() ?? [])]) if (key.startsWith(`${host} `)) block!.waits.delete(key);
      this.#forgetIdle(portId);
    }
    return this.#statuses(waiting);
  }

  /** The host is not led from here any more: nothing is kept of its ports. */
  forget(host: string): void {
    for (const [portId, block] of this.#blocks) if (block.host === host) this.#blocks.delete(portId);
  }

  /** Ports that have waited too long, each once with the reason of now. */
  overdue(): PortStatus[] {
    const late: PortStatus[] = [];
    for (const [port_id, block] of this.#blocks) {
      if (this.#now() - block.since < PATIENCE_MS) continue;
      const reason = this.#problem(block);
      if (!reason || block.told === reason) continue;
      block.told = reason;
      late.push({ port_id, host: block.host, status: 'DOWN', reason });
    }
    return late;
  }

  /** How many ports it keeps in mind. */
  get size(): number {
    return this.#blocks.size;
  }

  #statuses(portIds: Iterable<string>): PortStatus[] {
    const statuses: PortStatus[] = [];
    for (const port_id of portIds) {
      const block = this.#blocks.get(port_id);
      if (!block || block.host === '') continue;
      const { host } = block;
      if (block.wired && block.waits.size === 0 && block.unserved.size === 0) {
        Object.assign(block, { active: true, told: undefined });
        statuses.push({ port_id, host, status: 'ACTIVE', reason: null });
      } else if (!block.wired) {
        block.active = false;
        statuses.push({ port_id, host, status: 'DOWN', reason: block.told ?? null });
      }
    }
    return statuses;
  }

  #problem(block: Block): string | undefined {
    if (block.host === '' || block.active) return undefined;
    if (!block.wired) return block.reason ?? `host ${block.host} has not said that it wired the port`;
    const [unserved] = block.unserved;
    if (unserved) return `the DHCP server on host ${unserved[0]} does not serve it: ${unserved[1]}`;
    const [first] = block.waits.keys();
    if (!first) return undefined;
    const [host = '', type] = first.split(' ');
    return type === 'dhcp-host' ? `the DHCP server on host ${host} has not taken its address` : `host ${host} has not learned where it is`;
  }

  #block(portId: string, host: string): Block {
    let block = this.#blocks.get(portId);
    if (!block) this.#blocks.set(portId, (block = { host, wired: false, active: false, reason: undefined, waits: new Map(), unserved: new Map(), since: this.#now(), told: undefined }));
    return block;
  }

  /** A port whose own host never speaks here is another controller's, or gone: nothing is kept of it. */
  #forgetIdle(portId: string): void {
    const block = this.#blocks.get(portId);
    if (block?.host === '' && block.waits.size === 0 && block.unserved.size === 0) this.#blocks.delete(portId);
  }

  #wait(host: string, portId: string): void {
    const set = this.#waiting.get(host);
    if (set) set.add(portId);
    else this.#waiting.set(host, new Set([portId]));
  }
}
