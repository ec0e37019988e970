/**
 * The hosts as the controller leads them: follows the store's feed, compiles each change, sends deltas, and turns the
 * agents' acks and reports into port, server and agent status. One change at a time, in commit order.
 */
import { Compiler } from '#compile/compiler.ts';
import type { World } from '#compile/world.ts';
import type { Delta } from '#hoststate/host-state.ts';
import type { Config } from '#model/config.ts';
import { type AgentMessage, type Hello, type InstanceReport, type ItemReport, type MetadataAnswer, type MetadataQuestion, PROTOCOL_VERSION, type Watermark as AgentWatermark } from '#protocol/messages.ts';
import type { Status } from '#protocol/status.ts';
import type { Store, Tx, Watermark } from '#store/store.ts';
import type { Log } from '../http/log.ts';
import { loadChanges, loadIntent } from './intent.ts';
import { KeptDeltas, type Sent } from './kept-deltas.ts';
import { type PortStatus, Provisioning } from './provisioning.ts';
import { Session, type Wire } from './session.ts';
import { Unsaved } from './unsaved.ts';

/** What the hosts' words change in the store; the services implement it. */
export interface HostReports {
  /** The agents of a host have reported; called at hello and with each heartbeat. */
  heartbeat(tx: Tx, hello: Hello, first: boolean): Promise<void>;
  /** A host has joined: what waited for one can be placed. Outside of any transaction. */
  joined(): Promise<void>;
  portStatus(tx: Tx, status: PortStatus): Promise<void>;
  instance(tx: Tx, host: string, report: InstanceReport): Promise<void>;
  /** What became of an item that stands for an object with a status of its own: `router/<id>`, `floating-ip/<router>/<id>`. */
  objectStatus(tx: Tx, report: ItemReport): Promise<void>;
  /** The host has removed all that used the network's local VLAN. */
  localVlanFree(tx: Tx, host: string, networkId: string): Promise<void>;
}

export interface HostsOptions {
  readonly store: Store;
  readonly config: Config;
  readonly reports: HostReports;
  /** Answers a host's metadata proxy; null for what the host must not know. */
  readonly metadataInstance: (world: World, host: string, question: MetadataQuestion) => Promise<MetadataAnswer>;
  readonly log: Log;
  readonly publicEndpoint: string;
}

const BATCH = 1000;
/** The feed is read this often even if nobody said that there is something: a notice of PostgreSQL may get lost. */
const TICK_MS = 2_000;
/** Changes that a controller which comes back finds; an older one reads everything. */
const KEPT_CHANGES = 100_000;
const PURGE_MS = 600_000;

export class Hosts {
  readonly compiler: Compiler;
  readonly #options: HostsOptions;
  readonly #sessions = new Map<string, Session>();
  #provisioning = new Provisioning();
  readonly #unsaved: Unsaved;
  /** Names this controller's life with this store: a watermark of another life says nothing about what was sent. */
  #epoch: string = crypto.randomUUID();
  /** Of hosts that are followed: connected ones, and those that left less than `agent_down_time` ago. */
  readonly #recent = new Map<string, KeptDeltas>();
  /** When which host left. */
  readonly #away = new Map<string, number>();
  /** What is wrong now, by what it stops: `the feed`, `the store`. */
  readonly #troubles = new Map<string, string>();
  #mark: Watermark = { store_id: '', seq: 0, token: '' };
  #reading: Promise<void> | undefined;
  #again = false;
  #unsubscribe = (): void => {};
  #timers: NodeJS.Timeout[] = [];
  #waiters = new Set<() => void>();

  constructor(options: HostsOptions) {
    this.#options = options;
    this.compiler = new Compiler(options.config);
    this.#unsaved = new Unsaved(options.store);
  }

  /** Loads the intent and follows the feed from there. */
  async start(): Promise<void> {
    const { store } = this.#options;
    this.#unsubscribe = store.feed.subscribe(() => this.#read());
    await this.#reload();
    this.#timers.push(setInterval(() => this.#tick(), TICK_MS), setInterval(() => void this.#purge(), PURGE_MS));
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
    const { store, reports, log } = this.#options;
    // An agent whose host the store does not take yet is turned away, and comes again.
    await store.write((tx) => reports.heartbeat(tx, hello, true));
    // The host's own row must be in the world before its first state is compiled.
    await this.#caughtUp();
    this.#sessions.get(hello.host)?.close();
    const session = new Session(hello, wire);
    this.#sessions.set(hello.host, session);
    this.#away.delete(hello.host);
    const resumed = this.#begin(session, hello.watermark);
    void reports.joined().catch((error: Error) => log.error('what waited for a host cannot be placed', { error: String(error.stack) }));
    log.info('agent joined', { host: hello.host, seq: this.#mark.seq, resumed });
    if (resumed && hello.applied) await this.receive(session, { type: 'ack', seq: Math.min(hello.applied, hello.watermark!.seq) });
    return session;
  }

  /** The agent has gone; its host keeps working as it is. */
  async leave(session: Session): Promise<void> {
    session.close();
    if (this.#sessions.get(session.host) !== session) return;
    this.#sessions.delete(session.host);
    this.#away.set(session.host, Date.now());
    this.#options.log.warning('agent left', { host: session.host });
    this.#wake();
    await this.#save(this.#provisioning.lost(session.host));
  }

  async receive(session: Session, message: AgentMessage): Promise<void> {
    // Another connection of the same host has taken its place, or it was given up.
    if (this.#sessions.get(session.host) !== session) return session.close();
    session.lastSeen = Date.now();
    switch (message.type) {
      case 'ack': {
        session.acked = Math.max(session.acked, message.seq);
        this.#wake();
        for (const [seq, networks] of session.removedSegments) {
          if (seq > message.seq) continue;
          session.removedSegments.delete(seq);
          for (const network of networks) this.#unsaved.add(`local_vlan ${session.host} ${network}`, (tx) => this.#options.reports.localVlanFree(tx, session.host, network));
        }
        return this.#save(this.#provisioning.acked(session.host, message.seq));
      }
      case 'report': {
        for (const report of message.instances) this.#unsaved.add(`server ${report.server_id}`, (tx) => this.#options.reports.instance(tx, session.host, report));
        // An agent that is behind still speaks of ports that have moved to another host.
        const state = this.compiler.stateOf(session.host);
        const items = message.items.filter(({ key }) => state.has(key));
        for (const item of items) if (/^(router|floating-ip)\//.test(item.key)) this.#unsaved.add(item.key, (tx) => this.#options.reports.objectStatus(tx, item));
        return this.#save(this.#provisioning.reported(session.host, items));
      }
      case 'heartbeat':
        session.errors = message.errors;
        session.idlePorts = message.idle_ports;
        try {
          await this.#options.store.write((tx) => this.#options.reports.heartbeat(tx, session.hello, false));
        } catch (error) {
          this.#trouble('the store', error as Error);
        }
        return;
      case 'answer': return session.answered(message);
      // Not waited for: the host's other words are not about it.
      case 'ask': return void this.#tell(session, message);
      case 'hello':
    }
  }

  async #tell(session: Session, { id, params }: Extract<AgentMessage, { type: 'ask' }>): Promise<void> {
    try {
      session.tell(id, { result: await this.#options.metadataInstance(this.compiler.world, session.host, params) });
    } catch (error) {
      this.#options.log.error('a question of a host cannot be answered', { host: session.host, error: String((error as Error).stack) });
      session.tell(id, { error: 'the controller cannot read its store' });
    }
  }

  async consoleOutput(host: string, serverId: string, lines?: number): Promise<string> {
    const session = this.#sessions.get(host);
    if (!session) throw new Error(`the agent of host ${host} is not connected`);
    return String(await session.call('console_output', { server_id: serverId, ...(lines === undefined ? {} : { lines }) }));
  }

  /** As of what this controller has read. `statusNow` also asks the store whether that is all. */
  status(): Status {
    const names = new Set([...this.#sessions.keys(), ...[...this.compiler.world.all('hosts')].map((host) => host.id)]);
    return {
      controller: { store: this.#mark.store_id, revision: this.#mark.seq, public_endpoint: this.#options.publicEndpoint, pid: process.pid, errors: this.#errors() },
      hosts: [...names].sort().map((host) => {
        const session = this.#sessions.get(host);
        return {
          host, alive: session !== undefined, applied: session ? session.appliedAt(this.#mark.seq) : 0, revision: this.#mark.seq,
          errors: session?.errors ?? [], idle_ports: session?.idlePorts ?? 0,
        };
      }),
    };
  }

  async statusNow(): Promise<Status> {
    const { controller, hosts } = this.status();
    try {
      const { seq } = await this.#options.store.feed.head();
      return { controller: { ...controller, revision: Math.max(seq, controller.revision) }, hosts };
    } catch (error) {
      return { controller: { ...controller, errors: [...controller.errors, `the store does not answer: ${(error as Error).message}`] }, hosts };
    }
  }

  /** Resolves when every host that is connected, or was until a moment ago, has applied what the store holds now; after `timeoutMs` with those that have not. */
  async waitApplied(timeoutMs: number): Promise<{ revision: number; waiting: { host: string; applied: number }[] }> {
    const revision = (await this.#options.store.feed.head()).seq;
    const end = Date.now() + timeoutMs;
    for (;;) {
      const behind = [
        ...[...this.#sessions.values()].filter((session) => this.#mark.seq < revision || session.appliedAt(this.#mark.seq) < revision).map((session) => ({ host: session.host, applied: session.acked })),
        ...[...this.#away.keys()].map((host) => ({ host, applied: 0 })),
      ];
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

  /** Sends the agent what it lacks: what was sent since its watermark, or everything. True when it goes on from its watermark. */
  #begin(session: Session, mark: AgentWatermark | null): boolean {
    const { host } = session;
    const state = this.compiler.follow(host);
    const missed = mark && mark.epoch === this.#epoch && mark.store_id === this.#mark.store_id && mark.seq <= this.#mark.seq ? this.#recent.get(host)?.since(mark.seq) : undefined;
    session.acked = 0;
    session.removedSegments.clear();
    if (missed) {
      session.sent = mark!.seq;
      for (const { seq, delta, requestIds } of missed) session.delta(seq, delta, requestIds);
    } else {
      this.#recent.set(host, new KeptDeltas(this.#mark.seq));
      session.snapshot({ store_id: this.#mark.store_id, epoch: this.#epoch, seq: this.#mark.seq }, state.values());
    }
    // Their removal may have been sent to a session that ended before the acknowledgement.
    const unused = this.compiler.world.unusedVlans(host);
    if (unused.length > 0) session.removedSegments.set(session.sent, unused);
    return missed !== undefined;
  }

  #tick(): void {
    const { agent_down_time, report_interval } = this.#options.config;
    const patience = Math.max(agent_down_time, 2.5 * report_interval) * 1000;
    for (const session of [...this.#sessions.values()]) {
      if (Date.now() - session.lastSeen < patience) continue;
      // It holds up every port that waits for its word.
      this.#options.log.warning('the agent is connected and says nothing', { host: session.host });
      void this.leave(session);
    }
    for (const [host, since] of this.#away) {
      if (Date.now() - since < patience) continue;
      this.#away.delete(host);
      this.#recent.delete(host);
      this.compiler.unfollow(host);
      this.#provisioning.forget(host);
    }
    this.#read();
    void this.#save(this.#provisioning.overdue());
  }

  async #purge(): Promise<void> {
    try {
      await this.#options.store.feed.purge(KEPT_CHANGES);
    } catch (error) {
      this.#trouble('the store', error as Error);
    }
  }

  #read(): void {
    if (this.#reading) {
      this.#again = true;
      return;
    }
    this.#reading = this.#readAll().then(() => void this.#troubles.delete('the feed'), (error: Error) => this.#trouble('the feed', error)).finally(() => {
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
        this.#beginAnew();
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
    const sent: Sent = { seq, delta, requestIds };
    this.#recent.get(host)?.add(sent);
    const session = this.#sessions.get(host);
    if (!session) return this.#provisioning.removed(host, delta);
    this.#provisioning.sent(host, seq, delta);
    session.delta(seq, delta, requestIds);
  }

  /** Numbers of changes mean something else from here on: every agent gets a snapshot. */
  #beginAnew(): void {
    this.#epoch = crypto.randomUUID();
    this.#provisioning = new Provisioning();
    this.#recent.clear();
    for (const session of this.#sessions.values()) this.#begin(session, null);
  }

  /** Reads the whole store. */
  async #reload(): Promise<void> {
    const { store } = this.#options;
    // The mark first: what is committed meanwhile is read twice, which is harmless, and never missed.
    const mark = await store.feed.head();
    const rows = await loadIntent(store.reader);
    const known = new Set(rows.map((row) => `${row.table} ${row.id}`));
    const gone = this.compiler.world.keys().filter(({ table, id }) => !known.has(`${table} ${id}`)).map(({ table, id }) => ({ table: table as 'networks', id, row: undefined }));
    this.#mark = mark;
    this.compiler.apply([...gone, ...rows]);
  }

  /** The compiled cloud, once it holds all that is committed now. */
  async compiled(): Promise<Compiler> {
    await this.#caughtUp();
    return this.compiler;
  }

  async #caughtUp(): Promise<void> {
    const { seq } = await this.#options.store.feed.head();
    while (this.#mark.seq < seq) {
      this.#read();
      await this.#reading;
      const trouble = this.#troubles.get('the feed');
      if (trouble !== undefined) throw new Error(`the feed cannot be read: ${trouble}`);
    }
  }

  /** Stores `statuses` and whatever else could not be stored before. */
  async #save(statuses: readonly PortStatus[]): Promise<void> {
    for (const status of statuses) this.#unsaved.add(`port ${status.port_id}`, (tx) => this.#options.reports.portStatus(tx, status));
    if (this.#unsaved.size === 0) return;
    try {
      for (const error of await this.#unsaved.save()) this.#options.log.error('a report cannot be stored', { error: String(error.stack) });
      this.#troubles.delete('the store');
    } catch (error) {
      this.#trouble('the store', error as Error);
    }
  }

  #trouble(what: string, error: Error): void {
    this.#troubles.set(what, error.message);
    this.#options.log.error(`${what} is in trouble`, { error: String(error.stack) });
  }

  #errors(): string[] {
    const troubles = [...this.#troubles].map(([what, reason]) => `${what} is in trouble: ${reason}`);
    return [...troubles, ...[...this.compiler.errors].map(([key, reason]) => `cannot compile ${key}: ${reason}`)];
  }

  #wake(): void {
    for (const waiter of [...this.#waiters]) waiter();
  }
}
