/** Pages of a list: where a page begins, and the links to its neighbours. */
import { sql } from 'kysely';
import type { Resource } from '#model/resource.ts';
import { type Listing, type Query, sortColumn, sortValue } from './query.ts';

/** Narrows to what follows `marker` in the listing's order, sorted and cut to one page. */
export function pageWhere(resource: Resource, listing: Listing, marker: Readonly<Record<string, unknown>> | undefined): (query: any) => any {
  const keys = listing.sort.map(({ key, dir }) => ({ key, column: sortColumn(resource.collection, key, resource.attributes[key]!), descending: (dir === 'desc') !== listing.reverse }));
  return (query) => {
    let page = query;
    if (marker) {
      page = page.where((e: any) => e.or(keys.map(({ column, descending, key }, i) => e.and([
        ...keys.slice(0, i).map((before) => sql<boolean>`${before.column} = ${valueOf(resource, before.key, marker)}`),
        descending ? sql<boolean>`${column} < ${valueOf(resource, key, marker)}` : sql<boolean>`${column} > ${valueOf(resource, key, marker)}`,
      ]))));
    }
    for (const { column, descending } of keys) page = page.orderBy(column, descending ? 'desc' : 'asc');
    return listing.limit === undefined ? page : page.limit(listing.limit);
  };
}

/** `networks_links`: Neutron links to the next page unless this one is short, and to the previous one from the first on. */
export function pageLinks(url: string, query: Query, listing: Listing, ids: readonly string[]): { rel: string; href: string }[] {
  if (listing.limit === undefined) return [];
  const short = ids.length < listing.limit;
  const links: { rel: string; href: string }[] = [];
  if (!short || listing.reverse) links.push({ rel: 'next', href: link(url, query, ids.at(-1), false) });
  if (!short || !listing.reverse) links.push({ rel: 'previous', href: link(url, query, ids[0], true) });
  return links;
}

function link(url: string, query: Query, marker: string | undefined, reverse: boolean): string {
  const search = new URLSearchParams();
  for (const [name, given] of Object.entries(query)) {
    if (name === 'marker' || name === 'page_reverse' || given === undefined) continue;
    for (const value of typeof given === 'string' ? [given] : given) search.append(name, value);
  }
  if (marker !== undefined) search.append('marker', marker);
  if (reverse) search.append('page_reverse', 'True');
  return `${url}?${search}`;
}

function valueOf(resource: Resource, key: string, marker: Readonly<Record<string, unknown>>): unknown {
  return sortValue(marker[key], resource.attributes[key]!);
}
