/** The `openstack` command as Debian ships it, against a whole controller without hosts, for the tests of one file. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { promisify } from 'node:util';
import { freePort } from '#cli/bench/bare-controller.ts';
import { Controller } from '#control/controller.ts';
import { jsonLog } from '#control/http/log.ts';
import type { Credential, Credentials } from '#control/identity/credentials-file.ts';
import { loadConfig } from '#model/config.ts';

const run = promisify(execFile);

export class ClientLab {
  readonly #settings: string;
  /** The controller's state, and the client's home. */
  folder = '';
  #controller: Controller | undefined;
  #credentials: Credentials | undefined;
  /** Of the controller, without a path. */
  endpoint = '';

  private constructor(settings: string) {
    this.#settings = settings;
  }

  /** Declares that a controller with these settings runs while the file's tests do; `prepare` is done once it has started. */
  static declare(settings = '', prepare: (controller: Controller) => Promise<void> = async () => {}): ClientLab {
    const lab = new ClientLab(settings);
    // One hook: hooks of a whole file do not wait for each other.
    before(async () => {
      await lab.#start();
      await prepare(lab.controller);
    });
    after(() => lab.#stop());
    return lab;
  }

  get controller(): Controller {
    return this.#controller!;
  }

  get credentials(): Credentials {
    return this.#credentials!;
  }

  /** Runs one command and returns its JSON, or undefined when it prints nothing. */
  readonly openstack = async (who: Credential, ...argv: string[]): Promise<any> => {
    const printed = await this.text(who, ...argv);
    return printed === '' ? undefined : JSON.parse(printed);
  };

  /** Runs one command and returns what it prints. */
  readonly text = async (who: Credential, ...argv: string[]): Promise<string> => (await run('openstack', argv, { env: this.#environment(who) })).stdout;

  /** Runs commands in one client, one a line, which is much faster, and returns the JSON that each printed. */
  readonly lines = async (who: Credential, ...commands: string[]): Promise<any[]> => {
    const { stdout } = await run('sh', ['-c', 'printf "%s\\n" "$@" | openstack', 'sh', ...commands], { env: this.#environment(who) });
    return stdout.split(/^(?=[[{])/m).map((text) => text.replace(/\(openstack\) ?/g, '').trim()).filter((text) => /^[[{]/.test(text)).map((text) => JSON.parse(text));
  };

  /** What a refused command prints. */
  readonly refused = (who: Credential, ...argv: string[]): Promise<string> =>
    this.openstack(who, ...argv).then(() => assert.fail(`openstack ${argv.join(' ')} was not refused`), (error: { stderr?: string; message: string }) => error.stderr ?? error.message);

  #environment(who: Credential): Record<string, string> {
    return {
      PATH: process.env['PATH']!, HOME: this.folder, OS_AUTH_URL: `${this.endpoint}/identity/v3`, OS_IDENTITY_API_VERSION: '3',
      OS_USERNAME: who.username, OS_PASSWORD: who.password, OS_PROJECT_NAME: who.project_name, OS_USER_DOMAIN_NAME: 'Default', OS_PROJECT_DOMAIN_NAME: 'Default',
    };
  }

  async #start(): Promise<void> {
    this.folder = mkdtempSync(join(tmpdir(), 'patchbay-client-'));
    const listen = `127.0.0.1:${await freePort()}`;
    this.endpoint = `http://${listen}`;
    this.#controller = await Controller.start({ config: loadConfig(`listen: ${listen}\n${this.#settings}`), state: this.folder, log: jsonLog('test', () => {}) });
    this.#credentials = JSON.parse(readFileSync(join(this.folder, 'credentials.json'), 'utf8')) as Credentials;
  }

  async #stop(): Promise<void> {
    await this.#controller?.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
