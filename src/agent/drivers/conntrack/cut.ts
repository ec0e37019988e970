/** Cuts connections in the kernel's table of a namespace: those of an address or a port that leads elsewhere now (OSSN-0020). */
import { inNamespace } from '#agent/drivers/command.ts';

export interface ForwardedPort {
  /** As nft names it. */
  readonly protocol: string;
  readonly address: string;
  readonly port: number;
}

/** Exit code 1 of `conntrack -D` only says that there was no such connection. */
const CUT = 'while read -r line; do conntrack -D $line >/dev/null 2>&1 || true; done';

/** The arguments of `conntrack -D` for connections to or behind IPv4 `addresses`, and to `ports`. */
export function cutLines(addresses: readonly string[], ports: readonly ForwardedPort[]): string[] {
  return [
    ...addresses.flatMap((address) => [`-d ${address}`, `-q ${address}`]),
    ...ports.map(({ protocol, address, port }) => `-p ${protocol} -d ${address} --dport ${port}`),
  ];
}

export async function cutConnections(namespace: string, lines: readonly string[]): Promise<void> {
  if (lines.length > 0) await inNamespace(namespace, 'sh', ['-c', CUT], `${lines.join('\n')}\n`);
}
