/** The stations of a probe lab, in one Python process (prober.py): Node has no AF_PACKET and no taps. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('prober.py', import.meta.url));

/** A tap in the network namespace of the process `pid`, with a guest behind it that answers for `addresses`. */
export interface TapPlace {
  readonly kind: 'tap';
  readonly place: string;
  readonly pid: number;
  readonly device: string;
  readonly mac: string;
  readonly addresses: readonly string[];
  /** MACs by address: a neighbour is answered directly, anybody else by way of the gateway of its family. */
  readonly neighbours: Readonly<Record<string, string>>;
  readonly gateways: Readonly<Record<string, string>>;
  /** It has no gateway, and finds on its own wire (/24, /64) whoever asks from there. */
  readonly onlink?: boolean;
}

/** A device to listen on. What leaves its host is seen at `PLACE<`, what goes to it at `PLACE>`. */
export interface WirePlace {
  readonly kind: 'wire';
  readonly place: string;
  readonly pid: number;
  readonly device: string;
}

export type Place = TapPlace | WirePlace;

/** Who has `target`: an ARP request or a neighbour solicitation. */
export interface Question {
  readonly from: string;
  readonly target: string;
  readonly frame: Buffer;
}

export interface ProbeRun {
  /** Stations that announce themselves before and behind the probes. */
  readonly senders: readonly string[];
  /** Pairs (from, to) whose broadcasts must arrive. */
  readonly sentinels: readonly (readonly [string, string])[];
  /** Before everything else, and again while they are not answered. */
  readonly questions: readonly Question[];
  /** Frames by sender; a phase begins when all frames of the one before have arrived. */
  readonly phases: readonly Readonly<Record<string, readonly Buffer[]>>[];
}

/** A frame with a token at a station. `kind` R is an answer, E an error about a probe, P, N, U and F are probes, L a frame that is not looked into. */
export interface StationSight {
  readonly place: string;
  readonly id: number;
  readonly kind: 'P' | 'N' | 'U' | 'F' | 'R' | 'E' | 'L';
  readonly source_ip: string;
  readonly destination_ip: string;
  readonly source_port: number;
  readonly destination_port: number;
  /** To the station's own MAC. */
  readonly addressed: boolean;
  readonly vlan: number | null;
  readonly count: number;
}

/** A frame with a token on a wire. */
export interface WireSight {
  readonly place: string;
  readonly id: number;
  readonly kind: 'P' | 'N' | 'U' | 'F' | 'R' | 'L';
  readonly tunnel: number | null;
  readonly vlan: number | null;
  readonly count: number;
}

export interface ProbeResult {
  readonly stations: readonly StationSight[];
  readonly wires: readonly WireSight[];
  /** Sentinels that did not arrive. */
  readonly missing: readonly (readonly [string, string])[];
  /** How often one broadcast of the first was seen by the second: 1 everywhere, on one network. */
  readonly broadcasts: readonly (readonly [string, string, number])[];
}

/** How long a sentinel may be under way, and how many frames of a station may be: a switch in user space has small queues. */
const PATIENCE_SECONDS = 0.5;
const WAVE = 24;

export class Prober {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #answers: AsyncIterator<string>;

  private constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    this.#answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  static start(): Prober {
    return new Prober(spawn('python3', ['-B', PROGRAM], { stdio: ['pipe', 'pipe', 'inherit'] }) as unknown as ChildProcessWithoutNullStreams);
  }

  async open(places: readonly Place[]): Promise<void> {
    await this.#ask({ open: places });
  }

  async close(places: readonly string[]): Promise<void> {
    await this.#ask({ close: places });
  }

  /** Sends all frames, those of one station in their order, and answers what was seen once nothing can be under way any more. */
  async run({ senders, sentinels, questions, phases }: ProbeRun): Promise<ProbeResult> {
    const { seen, missing, broadcasts } = await this.#ask({ run: { senders, sentinels, questions: questions.map(({ from, target, frame }) => [from, target, frame.toString('hex')]), phases: phases.map(hexOf), patience: PATIENCE_SECONDS, wave: WAVE } });
    return {
      missing, broadcasts,
      stations: seen.filter((sight: unknown[]) => sight.length === 10).map(([place, id, kind, source_ip, destination_ip, source_port, destination_port, addressed, vlan, count]: any) =>
        ({ place, id, kind, source_ip, destination_ip, source_port, destination_port, addressed, vlan, count })),
      wires: seen.filter((sight: unknown[]) => sight.length === 6).map(([place, id, kind, tunnel, vlan, count]: any) => ({ place, id, kind, tunnel, vlan, count })),
    };
  }

  /** Ends the process, and with it every tap. */
  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.stdin.end();
    await ended;
  }

  async #ask(command: unknown): Promise<any> {
    this.#child.stdin.write(`${JSON.stringify(command)}\n`);
    const { value, done } = await this.#answers.next();
    if (done) throw new Error('the prober has ended');
    const answer = JSON.parse(value);
    if (answer.error) throw new Error(`prober: ${answer.error}`);
    return answer;
  }
}

function hexOf(frames: Readonly<Record<string, readonly Buffer[]>>): Record<string, string[]> {
  return Object.fromEntries(Object.entries(frames).map(([place, list]) => [place, list.map((frame) => frame.toString('hex'))]));
}
