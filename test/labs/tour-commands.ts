/** The commands of a Markdown text: every line of its fenced `sh` blocks. */

/** In the order of the text; a line is a command, continuation lines are not used. Throws when a block uses one. */
export function tourCommands(markdown: string): string[] {
  const blocks = [...markdown.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, body]) => body!);
  const lines = blocks.flatMap((block) => block.split('\n')).filter((line) => line.trim() !== '' && !line.startsWith('#'));
  const broken = lines.find((line) => line.endsWith('\\') || line.startsWith(' '));
  if (broken !== undefined) throw new Error(`the tour types one command a line: ${broken}`);
  return lines;
}
