/**
 * One nftables table as data, printed as `nft list table` prints it, so that what shall be and what is there are
 * compared as text (nft 1.0.6). Sets and maps are apart from the rules: an element more is a change of its own.
 */

export interface NftSet {
  readonly name: string;
  /** As `nft` writes it: `type ipv4_addr : ipv4_addr`. With a colon it is a map. */
  readonly type: string;
  /** Elements are ranges. */
  readonly interval?: boolean;
  /** In canonical form, a map's as `key : value`. No two of one key. */
  readonly elements: readonly string[];
}

export interface NftChain {
  readonly name: string;
  /** `type filter hook forward priority filter; policy drop;` */
  readonly hook: string;
  readonly rules: readonly string[];
}

export interface NftTable {
  readonly family: 'inet';
  readonly name: string;
  readonly sets: readonly NftSet[];
  readonly chains: readonly NftChain[];
}

/** The table as a script that makes it where there is none. */
export function printTable({ family, name, sets, chains }: NftTable): string[] {
  return [
    `table ${family} ${name} {`,
    ...sets.flatMap(({ name: set, type, interval, elements }) => [
      `\t${isMap(type) ? 'map' : 'set'} ${set} {`,
      `\t\t${type}`,
      ...(interval ? ['\t\tflags interval'] : []),
      ...(elements.length > 0 ? [`\t\telements = { ${elements.join(', ')} }`] : []),
      '\t}',
    ]),
    ...chains.flatMap(({ name: chain, hook, rules }) => [`\tchain ${chain} {`, `\t\t${hook}`, ...rules.map((rule) => `\t\t${rule}`), '\t}']),
    '}',
  ];
}

export function isMap(type: string): boolean {
  return type.includes(' : ');
}

/** What makes up a table beside the elements of its sets, and these by set. */
export interface TableText {
  /** Without elements. */
  readonly frame: string;
  readonly elements: ReadonlyMap<string, ReadonlySet<string>>;
}

export function textOf(table: NftTable): TableText {
  return {
    frame: printTable({ ...table, sets: table.sets.map((set) => ({ ...set, elements: [] })) }).map(asListed).join('\n'),
    elements: new Map(table.sets.map(({ name, elements }) => [name, new Set(elements)])),
  };
}

/** Reads what `nft list table` prints. */
export function parseListing(listing: string): TableText {
  const elements = new Map<string, Set<string>>();
  const frame: string[] = [];
  let set: string | undefined;
  let open = false;
  for (const line of listing.split('\n')) {
    const text = line.trim();
    if (text === '') continue;
    const [, name] = /^(?:set|map) (\S+) \{$/.exec(text) ?? [];
    if (name !== undefined) elements.set((set = name), new Set());
    if (text.startsWith('elements = {')) open = true;
    if (!open) {
      frame.push(line);
      continue;
    }
    for (const element of text.replace(/^elements = \{/, '').replace(/\}$/, '').split(',')) if (element.trim() !== '') elements.get(set!)!.add(element.trim());
    if (text.endsWith('}')) open = false;
  }
  return { frame: frame.join('\n'), elements };
}

/** nft 1.0.6 takes `addr . port` and does not print it. */
function asListed(line: string): string {
  return line.replace(' ip addr . port to ', ' ip to ');
}
