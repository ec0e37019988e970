/** What a client sees of an object: readable attributes, computed ones, `tenant_id` beside `project_id`. */
import type { Resource } from '#model/resource.ts';
import type { Reader } from '#store/store.ts';
import type { Context } from '../http/context.ts';
import type { Rule } from './rule.ts';

type Shown = Record<string, unknown>;

/** Made once per resource: which attributes an admin and which everybody else sees. */
export class Presenter {
  readonly #rule: Rule;
  readonly #admin: readonly string[];
  readonly #anyone: readonly string[];
  readonly #hasProject: boolean;

  constructor(rule: Rule) {
    this.#rule = rule;
    const attributes = Object.entries((rule.resource as Resource).attributes);
    this.#admin = attributes.filter(([, { readers }]) => readers !== 'nobody').map(([name]) => name);
    this.#anyone = attributes.filter(([, { readers }]) => readers === 'anyone').map(([name]) => name);
    this.#hasProject = 'project_id' in rule.resource.attributes;
  }

  /** The objects as `context` sees them, with a fixed number of reads for the whole page. */
  async present(reader: Reader, context: Context, objects: readonly any[], fields?: ReadonlySet<string>): Promise<Shown[]> {
    if (objects.length === 0) return [];
    const computed = await this.#rule.present?.(reader, context, objects);
    const readable = context.is_admin ? this.#admin : this.#anyone;
    const names = fields ? readable.filter((name) => fields.has(name)) : readable;
    const tenant = this.#hasProject && (!fields || fields.has('tenant_id'));
    return objects.map((object, i) => {
      const extra = computed?.[i] as Shown | undefined;
      const shown: Shown = {};
      for (const name of names) {
        // What a rule neither stores nor computes (`prefixlen`) is write-only and stays out.
        const value = extra !== undefined && name in extra ? extra[name] : object[name];
        if (value !== undefined) shown[name] = value;
      }
      if (tenant) shown['tenant_id'] = object.project_id;
      return shown;
    });
  }
}
