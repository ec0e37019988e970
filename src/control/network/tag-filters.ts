/** Filters by tag (extension standard-attr-tag): `tags` all of them, `tags-any` one of them, and both negated. */
import { type Expression, type RawBuilder, sql } from 'kysely';

type TagFilter = (query: any, column: string, values: readonly string[]) => any;

export const TAG_FILTERS: Readonly<Record<string, TagFilter>> = {
  'tags': (query, column, values) => query.where((e: any) => e.and(each(column, values))),
  'tags-any': (query, column, values) => query.where((e: any) => e.or(each(column, values))),
  'not-tags': (query, column, values) => query.where((e: any) => e.not(e.and(each(column, values)))),
  'not-tags-any': (query, column, values) => query.where((e: any) => e.not(e.or(each(column, values)))),
};

function each(column: string, values: readonly string[]): Expression<boolean>[] {
  return values.flatMap((value) => value.split(',')).filter((tag) => tag !== '').map((tag) => hasTag(column, tag));
}

/**
 * The column holds a JSON list. An element stands behind `[` or `,`, and no quote inside an element does without a
 * backslash, so a tag that looks like JSON finds itself only. `replace` is exact on both engines; LIKE is not.
 */
function hasTag(column: string, tag: string): RawBuilder<boolean> {
  const text = sql`coalesce(${sql.ref(column)}, '[]')`;
  const element = JSON.stringify(tag);
  return sql<boolean>`(replace(${text}, ${`[${element}`}, '') <> ${text} or replace(${text}, ${`,${element}`}, '') <> ${text})`;
}
