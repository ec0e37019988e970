/**
 * The host agent's loop: HostState comes in, managers realise it, acks and reports go out. Level-triggered: with empty
 * memory, after any loss, the next snapshot leads to the same state (DESIGN law 2).
 */
import { type Delta, diffStates, type Item, keyOf } from '#hoststate/host-state.ts';
import type { AgentConfigurations, ControllerMessage, Hello, HostResources, InstanceReport, ItemReport, MetadataAnswer, MetadataQuestion, Watermark } from '#protocol/messages.ts';
import { PROTOCOL_VERSION } from '#protocol/messages.ts';
import { ControllerLink } from './controller-link.ts';
import type { InstanceManager } from './instance-manager.ts';
import type { Manager } from './manager.ts';
import { Questions } from './questions.ts';

export interface AgentOptions {
  readonly host: string;
  readonly controller: string;
  readonly configurations: AgentConfigurations;
  readonly resources: HostResources;
  readonly managers: readonly Manager[];
  readonly instances: (report: (report: InstanceReport) => void) => InstanceManager;
  readonly consoleOutput: (serverId: string, lines?: number) => Promise<string>;
  readonly idlePorts: () => number;
  /** Seconds between heartbeats. */
  readonly reportInterval: number;
  readonly log: (message: string, fields?: Readonly<Record<string, unknown>>) => void;
}

/** Seconds between full comparisons with the host. */
const CHECK_INTERVAL = 60;
const RETRY_MS = { first: 100, most: 5_000 };
/** Under this name the host itself is among the objects in error. */
const HOST = 'host';

export class Agent {
  readonly #options: AgentOptions;
  readonly #link: ControllerLink;
  readonly #instances: InstanceManager;
  readonly #questions = new Questions((message) => this.#link.send(message));
  readonly #state = new Map<string, Item>();
  #watermark: Watermark | null = null;
  /** Up to which change of the watermark's life everything is applied. */
  #applied = 0;
  /** The last word on every item that was reported on: a controller that has just come (back) hears all of them. */
  readonly #reports = new Map<string, ItemReport>();
  #tellReports = false;
  #failures = 0;
  /** Items that failed, with the reason, until they succeed or go. */
  readonly #errors = new Map<string, string>();
  /** What is in error has changed since it was last told. */
  #news = false;
  /** What instances were last said to be: told again after a reconnect. */
  readonly #instanceReports = new Map<string, InstanceReport>();
  #applying: Promise<void> | undefined;
  #pending = false;
  #inSync = false;
  readonly #timers: NodeJS.Timeout[] = [];
  #retry: NodeJS.Timeout | undefined;

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#instances = options.instances((report) => this.#instanceChanged(report));
    this.#link = new ControllerLink({
      controller: options.controller,
      hello: () => this.#hello(),
      receive: (message) => this.#receive(message),
      lost: () => this.#questions.lost(),
      log: options.log,
    });
    this.#timers.push(setInterval(() => this.#heartbeat(), options.reportInterval * 1000));
    this.#timers.push(setInterval(() => void this.check(), CHECK_INTERVAL * 1000));
    this.#timers.push(setInterval(() => void this.#instances.check().catch((error: Error) => this.#options.log('instances cannot be listed', { reason: error.message })), 5_000));
  }

  /** Runs the managers soon, and again if something changes meanwhile. */
  wake(): void {
    if (this.#applying) {
      this.#pending = true;
      return;
    }
    this.#applying = this.#apply().finally(() => {
      this.#applying = undefined;
      if (this.#pending) {
        this.#pending = false;
        this.wake();
      }
    });
  }

  /** Compares the whole host with the state, and mends what differs. */
  async check(): Promise<void> {
    if (!this.#inSync) return;
    await this.#applying;
    for (const manager of this.#options.managers) {
      await manager.check().catch((error: Error) => this.#options.log('cannot check', { reason: error.message }));
    }
    this.wake();
    await this.#applying;
    this.#options.log('checked');
  }

  /** Which instance asks for its metadata, by what the controller knows; rejects when it does not answer. */
  metadataInstance(question: MetadataQuestion): Promise<MetadataAnswer> {
    return this.#questions.ask(question);
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    clearTimeout(this.#retry);
    this.#link.stop();
    await this.#applying;
  }

  #hello(): Hello {
    const { host, configurations, resources } = this.#options;
    // A controller that has just come (back) must hear of everything once.
    setImmediate(() => this.#tellAll());
    this.#tellReports = true;
    return { type: 'hello', version: PROTOCOL_VERSION, host, configurations, resources, watermark: this.#watermark, applied: this.#applied };
  }

  #receive(message: ControllerMessage): void {
    switch (message.type) {
      case 'snapshot': {
        const next = new Map(message.items.map((item) => [keyOf(item), item]));
        if (message.watermark.epoch !== this.#watermark?.epoch) this.#applied = 0;
        this.#watermark = message.watermark;
        this.#tellReports = true;
        this.#take(diffStates(this.#state, next));
        if (!this.#inSync) {
          this.#inSync = true;
          for (const manager of this.#options.managers) manager.inSync();
          void this.#instances.inSync().catch((error: Error) => this.#options.log('instances cannot be listed', { reason: error.message }));
        }
        this.#options.log('snapshot', { items: message.items.length, seq: message.watermark.seq });
        return this.wake();
      }
      case 'delta':
        if (this.#watermark) this.#watermark = { ...this.#watermark, seq: message.seq };
        this.#take(message);
        if (message.request_ids.length > 0) this.#options.log('delta', { seq: message.seq, upserts: message.upserts.length, removals: message.removals.length, request_ids: message.request_ids });
        return this.wake();
      case 'call': return void this.#answer(message);
      case 'told': return this.#questions.told(message);
      case 'refused':
    }
  }

  #take({ upserts, removals }: Delta): void {
    for (const key of removals) {
      this.#state.delete(key);
      this.#news = this.#errors.delete(key) || this.#news;
      this.#reports.delete(key);
      if (key.startsWith('instance/')) this.#instanceReports.delete(key.slice('instance/'.length));
    }
    for (const item of upserts) this.#state.set(keyOf(item), item);
    for (const manager of this.#options.managers) manager.update(upserts, removals);
    this.#instances.update(upserts, removals);
  }

  async #apply(): Promise<void> {
    const mark = this.#watermark;
    const results = await Promise.allSettled(this.#options.managers.map((manager) => manager.apply()));
    const items: ItemReport[] = [];
    const troubles: string[] = [];
    for (const result of results) {
      if (result.status === 'fulfilled') items.push(...result.value);
      else {
        troubles.push((result.reason as Error).message);
        this.#options.log('cannot apply', { reason: troubles.at(-1) });
      }
    }
    for (const report of items) this.#news = this.#note(report) || this.#news;
    const told = this.#tellReports ? [...this.#reports.values()] : items;
    this.#tellReports = false;
    if (told.length > 0) this.#link.send({ type: 'report', items: told, instances: [] });
    // Who asks what is wrong, or whether it is mended, does not wait for the next beat.
    if (this.#news) this.#heartbeat();
    this.#news = false;
    if (troubles.length > 0) {
      // The switch or a tool does not answer: nothing of this is acknowledged, and it is tried again.
      this.#errors.set(HOST, troubles.join('; '));
      clearTimeout(this.#retry);
      this.#retry = setTimeout(() => this.wake(), Math.min(RETRY_MS.first * 2 ** this.#failures++, RETRY_MS.most));
      return;
    }
    this.#failures = 0;
    this.#errors.delete(HOST);
    // Numbers of another life of the controller, which may have begun meanwhile, mean something else.
    if (!mark || !this.#inSync || mark.epoch !== this.#watermark?.epoch) return;
    this.#applied = mark.seq;
    this.#link.send({ type: 'ack', seq: mark.seq });
  }

  /** True when it changes what is in error here. */
  #note(report: ItemReport): boolean {
    const { key, ok, reason, waits } = report;
    const before = this.#errors.get(key);
    if (ok || waits) this.#errors.delete(key);
    else this.#errors.set(key, reason ?? 'failed');
    // What has gone meanwhile, or is no item of the state (a member's address), is well without a word.
    if (this.#state.has(key) || !ok) this.#reports.set(key, report);
    else this.#reports.delete(key);
    return this.#errors.get(key) !== before;
  }

  #instanceChanged(report: InstanceReport): void {
    const key = `instance/${report.server_id}`;
    if (report.state === 'absent') this.#instanceReports.delete(report.server_id);
    else this.#instanceReports.set(report.server_id, report);
    if (report.state === 'error' && this.#state.has(key)) this.#errors.set(key, report.reason ?? 'failed');
    else this.#errors.delete(key);
    this.#link.send({ type: 'report', items: [], instances: [report] });
  }

  #tellAll(): void {
    if (this.#instanceReports.size > 0) this.#link.send({ type: 'report', items: [], instances: [...this.#instanceReports.values()] });
    this.#heartbeat();
    // Says what became of the items, and acknowledges what is applied.
    this.wake();
  }

  #heartbeat(): void {
    const errors = [...this.#errors].map(([key, reason]) => ({ object: key.replace('/', ' '), reason }));
    this.#link.send({ type: 'heartbeat', idle_ports: this.#options.idlePorts(), errors });
  }

  async #answer({ id, method, params }: Extract<ControllerMessage, { type: 'call' }>): Promise<void> {
    try {
      if (method !== 'console_output') throw new Error(`this agent does not know the method ${String(method)}`);
      this.#link.send({ type: 'answer', id, result: await this.#options.consoleOutput(params.server_id, params.lines) });
    } catch (error) {
      this.#link.send({ type: 'answer', id, error: (error as Error).message });
    }
  }
}
