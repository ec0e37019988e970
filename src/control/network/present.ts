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
    this.#hasProject = this.#anyone.includes('project_id');
  }

  /** The objects as `context` sees them, with a fixed number of reads for the whole page. */
  async present(reader: Reader, context: Context, objects: readonly any[], fields?: ReadonlySet<string>): Promise<Shown[]> {
    if (objects.length === 0) return [];
    const computed = await this.#rule.present?.(reader, context, objects);
    const readable = context.is_admin ? this.#admin : this.#anyone;
    const names = fields ? readable.filter((name) => fields.has(name)) : readable;
    const tenant = this.#hasProject && (!fields || fields.has('tenant_id'));
    // Copied for every object, as in Table: objects that grow by computed names are slow.
    const empty = JSON.parse(JSON.stringify(Object.fromEntries([...names, ...(tenant ? ['tenant_id'] : [])].map((name) => [name, null]))));
    return objects.map((object, i) => {
      const extra = computed?.[i] as Shown | undefined;
      const shown: Shown = { ...empty };
      // What a rule neither stores nor computes (`prefixlen`) is write-only: undefined, and so not printed.
      for (const name of names) shown[name] = extra !== undefined && name in extra ? extra[name] : object[name];
      if (tenant) shown['tenant_id'] = object.project_id;
      return shown;
    });
  }
}
