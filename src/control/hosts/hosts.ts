/**
 * The hosts as the controller leads them: follows the store's feed, compiles each change, sends deltas, and turns the
 * agents' acks and reports into port, server and agent status. One change at a time, in commit order.
 */
import { Compiler } from '#compile/compiler.ts';
import type { Delta } from '#hoststate/host-state.ts';
import type { Config } from '#model/config.ts';
import { type AgentMessage, type Hello, type InstanceReport, PROTOCOL_VERSION, type Watermark as AgentWatermark } from '#protocol/messages.ts';
import type { Status } from '#protocol/status.ts';
import type { Store, Tx, Watermark } from '#store/store.ts';
import type { Log } from '../http/log.ts';
import { loadChanges, loadIntent } from './intent.ts';
import { type PortStatus, Provisioning } from './provisioning.ts';
import { Session, type Wire } from './session.ts';

/** What the hosts' words change in the store; the services implement it. */
export interface HostReports {
  /** The agents of a host have reported; called at hello and with each heartbeat. */
  heartbeat(tx: Tx, hello: Hello, first: boolean): Promise<void>;
  /** A host has joined: what waited for one can be placed. Outside of any transaction. */
  joined(): Promise<void>;
  portStatus(tx: Tx, status: PortStatus): Promise<void>;
  instance(tx: Tx, host: string, report: InstanceReport): Promise<void>;
  /** The host has removed all that used the network's local VLAN. */
  localVlanFree(tx: Tx, host: string, networkId: string): Promise<void>;
}

export interface HostsOptions {
  readonly store: Store;
  readonly config: Config;
  readonly reports: HostReports;
  readonly log: Log;
  readonly publicEndpoint: string;
}

/** Deltas kept for agents that reconnect; older watermarks get a snapshot. */
const KEPT_DELTAS = 500;
const BATCH = 1000;

export class Hosts {
  readonly compiler: Compiler;
  readonly #options: HostsOptions;
  readonly #sessions = new Map<string, Session>();
  readonly #provisioning = new Provisioning();
  /** Names this controller's life: a watermark of another life says nothing about what was sent. */
  readonly #epoch = crypto.randomUUID();
  readonly #recent = new Map<string, { seq: number; delta: Delta; requestIds: string[] }[]>();
  #mark: Watermark = { store_id: '', seq: 0, token: '' };
  #reading: Promise<void> | undefined;
  #again = false;
  #unsubscribe = (): void => {};
  #timers: NodeJS.Timeout[] = [];
  #waiters = new Set<() => void>();

  constructor(options: HostsOptions) {
    this.#options = options;
    this.compiler = new Compiler(options.config);
  }

  /** Loads the intent and follows the feed from there. */
  async start(): Promise<void> {
    const { store } = this.#options;
    this.#unsubscribe = store.feed.subscribe(() => this.#read());
    await this.#reload();
    this.#timers.push(setInterval(() => void this.#write((tx) => this.#writeStatuses(tx, this.#provisioning.overdue())), 2_000));
    this.#read();
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#unsubscribe();
    for (const session of this.#sessions.values()) session.close();
    await this.#reading;
  }

  /** An agent has connected; returns its session, or refuses it. */
  async join(hello: Hello, wire: Wire): Promise<Session | undefined> {
    if (hello.version !== PROTOCOL_VERSION) {
      wire.send(JSON.stringify({ type: 'refused', reason: `this controller speaks version ${PROTOCOL_VERSION} of the protocol, the agent ${hello.version}: install the same version on both` }));
      wire.close();
      return undefined;
    }
    await this.#write((tx) => this.#options.reports.heartbeat(tx, hello, true));
    // The host's own row must be in the world before its first state is compiled.
    await this.#caughtUp();
    this.#sessions.get(hello.host)?.close();
    const session = new Session(hello, wire);
    this.#sessions.set(hello.host, session);
    const state = this.compiler.follow(hello.host);
    const missed = this.#missedSince(hello.host, hello.watermark);
    if (missed) {
      session.acked = hello.watermark!.seq;
      session.sent = hello.watermark!.seq;
      for (const { seq, delta, requestIds } of missed) session.delta(seq, delta, requestIds);
    } else session.snapshot({ store_id: this.#mark.store_id, epoch: this.#epoch, seq: this.#mark.seq }, state.values());
    void this.#options.reports.joined().catch((error: Error) => this.#options.log.error('what waited for a host cannot be placed', { error: String(error.stack) }));
    this.#options.log.info('agent joined', { host: hello.host, seq: this.#mark.seq, resumed: missed !== undefined });
    return session;
  }

  /** The agent has gone; its host keeps working as it is. */
  async leave(session: Session): Promise<void> {
    session.close();
    if (this.#sessions.get(session.host) !== session) return;
    this.#sessions.delete(session.host);
    this.#options.log.warning('agent left', { host: session.host });
    await this.#write((tx) => this.#writeStatuses(tx, this.#provisioning.lost(session.host)));
    this.#wake();
  }

  async receive(session: Session, message: AgentMessage): Promise<void> {
    session.lastSeen = Date.now();
    switch (message.type) {
      case 'ack': {
        session.acked = Math.max(session.acked, message.seq);
        this.#wake();
        const freed = [...session.removedSegments].filter(([seq]) => seq <= message.seq);
        for (const [seq] of freed) session.removedSegments.delete(seq);
        const statuses = this.#provisioning.acked(session.host, message.seq);
        if (freed.length + statuses.length === 0) return;
        return this.#write(async (tx) => {
          await this.#writeStatuses(tx, statuses);
          for (const [, networks] of freed) for (const network of networks) await this.#options.reports.localVlanFree(tx, session.host, network);
        });
      }
      case 'report': {
        const statuses = this.#provisioning.reported(session.host, message.items);
        if (statuses.length + message.instances.length === 0) return;
        return this.#write(async (tx) => {
          await this.#writeStatuses(tx, statuses);
          for (const report of message.instances) await this.#options.reports.instance(tx, session.host, report);
        });
      }
      case 'heartbeat':
        session.errors = message.errors;
        session.idlePorts = message.idle_ports;
        return this.#write((tx) => this.#options.reports.heartbeat(tx, session.hello, false));
      case 'answer': return session.answered(message);
      case 'hello':
    }
  }

  async consoleOutput(host: string, serverId: string, lines?: number): Promise<string> {
    const session = this.#sessions.get(host);
    if (!session) throw new Error(`the agent of host ${host} is not connected`);
    return String(await session.call('console_output', { server_id: serverId, ...(lines === undefined ? {} : { lines }) }));
  }

  status(): Status {
    const names = new Set([...this.#sessions.keys(), ...[...this.compiler.world.all('hosts')].map((host) => host.id)]);
    return {
      controller: { store: this.#mark.store_id, revision: this.#mark.seq, public_endpoint: this.#options.publicEndpoint, pid: process.pid, errors: [] },
      hosts: [...names].sort().map((host) => {
        const session = this.#sessions.get(host);
        return {
          host, alive: session !== undefined, applied: session ? session.appliedAt(this.#mark.seq) : 0, revision: this.#mark.seq,
          errors: session?.errors ?? [], idle_ports: session?.idlePorts ?? 0,
        };
      }),
    };
  }

  /** Resolves when every connected host has applied what the store holds now; after `timeoutMs` with those that have not. */
  async waitApplied(timeoutMs: number): Promise<{ revision: number; waiting: { host: string; applied: number }[] }> {
    const revision = (await this.#options.store.feed.head()).seq;
    const end = Date.now() + timeoutMs;
    for (;;) {
      const behind = this.#mark.seq >= revision
        ? [...this.#sessions.values()].filter((session) => session.appliedAt(this.#mark.seq) < revision).map((session) => ({ host: session.host, applied: session.acked }))
        : [...this.#sessions.keys()].map((host) => ({ host, applied: this.#mark.seq }));
      if (this.#mark.seq >= revision && behind.length === 0) return { revision, waiting: [] };
      if (Date.now() >= end) return { revision, waiting: behind };
      await new Promise<void>((resolve) => {
        const done = (): void => {
          clearTimeout(timer);
          this.#waiters.delete(done);
          resolve();
        };
        const timer = setTimeout(done, Math.min(end - Date.now(), 1_000));
        this.#waiters.add(done);
      });
    }
  }

  #missedSince(host: string, mark: AgentWatermark | null): { seq: number; delta: Delta; requestIds: string[] }[] | undefined {
    if (!mark || mark.epoch !== this.#epoch || mark.store_id !== this.#mark.store_id || mark.seq > this.#mark.seq) return undefined;
    const recent = this.#recent.get(host);
    if (!recent || (recent.length >= KEPT_DELTAS && mark.seq < recent[0]!.seq)) return undefined;
    return recent.filter(({ seq }) => seq > mark.seq);
  }

  #read(): void {
    if (this.#reading) {
      this.#again = true;
      return;
    }
    this.#reading = this.#readAll().catch((error: Error) => this.#options.log.error('the feed cannot be read', { error: String(error.stack) })).finally(() => {
      this.#reading = undefined;
      if (this.#again) {
        this.#again = false;
        this.#read();
      }
    });
  }

  async #readAll(): Promise<void> {
    const { store } = this.#options;
    for (;;) {
      const next = await store.feed.after(this.#mark, BATCH);
      if (!next) {
        this.#options.log.warning('the store does not know our watermark (restored or purged); everything is read again', { seq: this.#mark.seq });
        await this.#reload();
        continue;
      }
      if (next.changes.length === 0) return;
      const rows = await loadChanges(store.reader, next.changes);
      const deltas = this.compiler.apply(rows);
      this.#mark = next.mark;
      const requestIds = [...new Set(next.changes.map((change) => change.request_id).filter((id) => id !== null))];
      for (const [host, delta] of deltas) this.#send(host, delta, requestIds);
      this.#wake();
      // Whatever is committed from here on is announced.
      if (next.changes.length < BATCH) return;
    }
  }

  #send(host: string, delta: Delta, requestIds: string[]): void {
    const { seq } = this.#mark;
    const recent = this.#recent.get(host) ?? [];
    this.#recent.set(host, recent);
    recent.push({ seq, delta, requestIds });
    if (recent.length > KEPT_DELTAS) recent.shift();
    const session = this.#sessions.get(host);
    if (!session) return;
    this.#provisioning.sent(host, seq, delta);
    session.delta(seq, delta, requestIds);
  }

  /** Starts from the whole store; every agent gets what differs. */
  async #reload(): Promise<void> {
    const { store } = this.#options;
    // The mark first: what is committed meanwhile is read twice, which is harmless, and never missed.
    const mark = await store.feed.head();
    const rows = await loadIntent(store.reader);
    const known = new Set(rows.map((row) => `${row.table} ${row.id}`));
    const gone = this.compiler.world.keys().filter(({ table, id }) => !known.has(`${table} ${id}`)).map(({ table, id }) => ({ table: table as 'networks', id, row: undefined }));
    this.#mark = mark;
    for (const [host, delta] of this.compiler.apply([...gone, ...rows])) this.#send(host, delta, []);
  }

  async #caughtUp(): Promise<void> {
    const { seq } = await this.#options.store.feed.head();
    while (this.#mark.seq < seq) {
      this.#read();
      await this.#reading;
    }
  }

  async #writeStatuses(tx: Tx, statuses: readonly PortStatus[]): Promise<void> {
    for (const status of statuses) await this.#options.reports.portStatus(tx, status);
  }

  async #write(command: (tx: Tx) => Promise<void>): Promise<void> {
    try {
      await this.#options.store.write(command);
    } catch (error) {
      this.#options.log.error('a report cannot be stored', { error: String((error as Error).stack) });
    }
  }

  #wake(): void {
    for (const waiter of [...this.#waiters]) waiter();
  }
}
