/** The difference between a table that shall be and what is there, as a script for one `nft -f`: all of it holds at once, or nothing. */
import { isMap, type NftTable, printTable, type TableText, textOf } from './table.ts';

/** Lines of a script; none when nothing is to be done. Rules that differ replace the whole table, with no moment in between. */
export function planTable(desired: NftTable, found: TableText | undefined): string[] {
  const text = textOf(desired);
  const named = `${desired.family} ${desired.name}`;
  if (found?.frame !== text.frame) return [...(found ? [`delete table ${named}`] : []), ...printTable(desired)];
  const lines: string[] = [];
  for (const { name, type } of desired.sets) {
    const [wanted, had] = [text.elements.get(name)!, found.elements.get(name) ?? new Set<string>()];
    const gone = [...had].filter((element) => !wanted.has(element)).map((element) => (isMap(type) ? keyOf(element) : element));
    const added = [...wanted].filter((element) => !had.has(element));
    if (gone.length > 0) lines.push(`delete element ${named} ${name} { ${gone.join(', ')} }`);
    if (added.length > 0) lines.push(`add element ${named} ${name} { ${added.join(', ')} }`);
  }
  return lines;
}

function keyOf(element: string): string {
  return element.slice(0, element.indexOf(' : '));
}
