/** What the benchmarks of one run share: folder, controller, data centre and physical limits, each made when first asked for. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { ApiClient } from './api-client.ts';
import { BareController } from './bare-controller.ts';
import type { Limit } from './benchmark.ts';
import { DataCentre } from './data-centre.ts';
import { measureCommit } from './limits/commit.ts';
import { type BareServer, startBareServer } from './limits/http.ts';
import { type Wire, type WireOptions, measureSwitch, measureVeth } from './limits/wire.ts';

export interface LabOptions {
  /** Where a state of this machine would live; the lab works beside it, on the same disk. */
  readonly state: string;
  /** Multiplies every count. */
  readonly scale: number;
  readonly progress: (step: string) => void;
}

export class Lab {
  readonly folder: string;
  readonly progress: (step: string) => void;
  readonly #scale: number;
  readonly #made = new Map<string, Promise<unknown>>();
  readonly #closing: (() => unknown)[] = [];
  readonly #exit = () => rmSync(this.folder, { recursive: true, force: true });

  constructor({ state, scale, progress }: LabOptions) {
    mkdirSync(dirname(state), { recursive: true });
    this.folder = mkdtempSync(`${state}-bench-`);
    this.#scale = scale;
    this.progress = progress;
    // Last of all: exit listeners of what runs in the folder are added later, but a process that is gone holds nothing.
    process.on('exit', this.#exit);
  }

  /** `full` times the scale, at least `least`. */
  count(full: number, least = 2): number {
    return Math.max(least, Math.round(full * this.#scale));
  }

  /** A fresh folder of this name. */
  path(name: string): string {
    return join(this.folder, name);
  }

  /** The controller that the API benchmarks share, warm. */
  controller(): Promise<BareController> {
    return this.#once('controller', async () => {
      const controller = await BareController.start(this.path('controller'));
      this.#closing.push(() => controller.stop());
      return controller;
    });
  }

  /** An administrator's client of `controller()`. */
  client(): Promise<ApiClient> {
    return this.#once('client', async () => {
      const client = await (await this.controller()).client();
      this.#closing.push(() => client.close());
      return client;
    });
  }

  /** Two hosts with controller and agents, freshly brought up. */
  dataCentre(): Promise<DataCentre> {
    return this.#once('data-centre', async () => {
      const dataCentre = await DataCentre.up(this.path('dc'), this.count(3, 1), this.progress);
      this.#closing.push(() => dataCentre.down());
      return dataCentre;
    });
  }

  /** Milliseconds of an fsynced commit of one row. */
  commitLimit(): Promise<Limit> {
    return this.#once('commit', async () => ({ what: 'SQLite commit with fsync', value: measureCommit(this.folder, this.count(500, 50)) }));
  }

  /** Milliseconds of an HTTP answer of so many bytes with nothing behind it. */
  async httpLimit(bytes = 1000): Promise<Limit> {
    const server = await this.bareServer();
    const count = this.count(bytes > 100_000 ? 30 : 300, 10);
    return this.#once(`http ${bytes}`, async () => ({ what: `bare HTTP answer of ${formatBytes(bytes)}`, value: await server.answer(bytes, count) }));
  }

  wireOptions(): WireOptions {
    return { pings: this.count(300, 20), seconds: this.count(2, 1) };
  }

  /** A veth pair with nothing between its ends. */
  vethLimit(): Promise<Wire> {
    return this.#once('veth', () => measureVeth(this.wireOptions()));
  }

  /** Open vSwitch of a host of the data centre, as it runs there, with one NORMAL flow. */
  async switchLimit(): Promise<Wire> {
    const dataCentre = await this.dataCentre();
    return this.#once('switch', () => measureSwitch(dataCentre, 'compute1', this.wireOptions()));
  }

  bareServer(): Promise<BareServer> {
    return this.#once('bare-server', async () => {
      const server = await startBareServer();
      this.#closing.push(() => server.stop());
      return server;
    });
  }

  /** Ends and removes all that was made. */
  async close(): Promise<void> {
    for (const close of this.#closing.reverse()) await close();
    rmSync(this.folder, { recursive: true, force: true });
    process.off('exit', this.#exit);
  }

  #once<T>(name: string, make: () => Promise<T>): Promise<T> {
    let made = this.#made.get(name) as Promise<T> | undefined;
    if (!made) this.#made.set(name, (made = make()));
    return made;
  }
}

function formatBytes(bytes: number): string {
  return bytes < 100_000 ? `${Math.round(bytes / 100) / 10} kB` : `${Math.round(bytes / 100_000) / 10} MB`;
}
