/** Makes one configuration out of a config file, the options of `up` and what the last `up` was told. */
import { existsSync, readFileSync } from 'node:fs';
import { loadConfig } from '#model/config.ts';
import { MAX_HOSTS } from '#model/data-centre.ts';
import { Document, parseDocument } from 'yaml';
import { UsageError } from './command.ts';
import { type DataCentrePlan, planDataCentre } from './datacentre/plan.ts';
import { statePath } from './datacentre/state-folder.ts';

export interface SettingsOptions {
  readonly state: string;
  /** A YAML file; without it the configuration in the state folder, if there is one. */
  readonly configFile?: string;
  readonly hosts?: number;
  /** `ADDR:PORT`. */
  readonly listen?: string;
}

export interface Settings {
  readonly plan: DataCentrePlan;
  /** The YAML that controller and agents read: the file's, with the options written into it. */
  readonly config: string;
}

/** Throws one line naming the file or option when the settings make no sense. */
export function readSettings({ state, configFile, hosts, listen }: SettingsOptions): Settings {
  const document = parseConfig(configFile ?? statePath.config(state), configFile !== undefined);
  if (hosts !== undefined && (hosts < 1 || hosts > MAX_HOSTS)) throw new UsageError(`--hosts takes a number from 1 to ${MAX_HOSTS}, not ${hosts}`);
  if (hosts !== undefined && Array.isArray(document.toJS()?.hosts)) throw new UsageError('--hosts takes a number, but the config names each host; change `hosts` there');
  if (hosts !== undefined) document.set('hosts', hosts);
  if (listen !== undefined) document.set('listen', checkAddress(listen));
  const text = document.contents === null ? '' : document.toString();
  const config = loadConfig(text);
  const plan = planDataCentre({ state, hosts: config.hosts, listen: checkAddress(config.listen), physnetMtu: config.global_physnet_mtu, externalBridge: config.external_bridge });
  return { plan, config: text };
}

function parseConfig(file: string, required: boolean): Document {
  if (!required && !existsSync(file)) return new Document();
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new Error(`config ${file}: ${(error as NodeJS.ErrnoException).code === 'ENOENT' ? 'no such file' : (error as Error).message}`);
  }
  loadConfig(text); // the first complaint is about what the user wrote
  const document = parseDocument(text);
  return document.contents === null ? new Document() : (document as unknown as Document);
}

function checkAddress(listen: string): string {
  const [, host, port] = /^(\[[0-9a-fA-F:]+\]|[0-9.]+|localhost):([0-9]{1,5})$/.exec(listen) ?? [];
  if (!host || Number(port) < 1 || Number(port) > 65_535) throw new UsageError(`--listen takes ADDR:PORT, e.g. 127.0.0.1:8770, not '${listen}'`);
  return listen;
}

