/** Reads and writes one table of a namespace. */
import { CommandError, inNamespace } from '#agent/drivers/command.ts';
import { type NftTable, parseListing, type TableText } from './table.ts';

/** What is there of the table; undefined when there is none. */
export async function readTable(namespace: string, { family, name }: Pick<NftTable, 'family' | 'name'>): Promise<TableText | undefined> {
  try {
    return parseListing(await inNamespace(namespace, 'nft', ['list', 'table', family, name]));
  } catch (error) {
    if (error instanceof CommandError && error.message.includes('No such file or directory')) return undefined;
    throw error;
  }
}

/** Carries out a plan in one transaction. Throws CommandError, and nothing is changed then. */
export async function applyTable(namespace: string, lines: readonly string[]): Promise<void> {
  if (lines.length > 0) await inNamespace(namespace, 'nft', ['-f', '-'], `${lines.join('\n')}\n`);
}
