/**
 * What the datapath of Open vSwitch has decided about packets (its megaflows), and its end when the flows change that it was decided by.
 *
 * Its revalidator does that by itself. In the userspace datapath before 2.17.8, 3.0.5 and 3.1.3 it may change another, overlapping
 * megaflow than the one it means, and what it meant goes on for as long as packets come: a removed rule that still admits. There
 * the agent has every decision made anew, a moment after the flows have changed (docs/decisions/0018-decisions-are-made-anew.md).
 */
import { askVswitchd } from './appctl.ts';

/** Milliseconds after the last change, and after the first of a row that does not end. */
const QUIET = 300;
const AT_MOST = 2_000;

/** Versions that may keep a decision, as `ovs-vswitchd --version` prints them: the first one mended of each line. */
const MENDED: Readonly<Record<string, number>> = { '2.17': 8, '3.0': 5, '3.1': 3 };

/** `ovs-vswitchd (Open vSwitch) 3.1.0` → true. Lines before 2.17 were never mended; those after 3.1 never had to be, and what is no version is taken for one of them. */
export function keepsDecisions(version: string): boolean {
  const [, major, minor, patch] = /(\d+)\.(\d+)\.(\d+)/.exec(version) ?? [];
  if (major === undefined) return false;
  const mended = MENDED[`${major}.${minor}`];
  return mended === undefined ? Number(major) < 3 : Number(patch) < mended;
}

/** Has all decisions made anew where this vswitchd may keep one. Throws when it does not answer. */
export async function forgetDecisions(runDir: string): Promise<void> {
  // It may have been replaced since the last time.
  const [version = ''] = await askVswitchd(runDir, [['version']]);
  if (keepsDecisions(version)) await askVswitchd(runDir, [['revalidator/purge']]);
}

/** Calls `forget` once for changes that follow each other closely. */
export class Decisions {
  readonly #forget: () => Promise<void>;
  readonly #failed: (error: Error) => void;
  #timer: NodeJS.Timeout | undefined;
  /** When the first change was that is not forgotten yet. */
  #since = 0;

  /** `failed` hears why it could not be done; the next change tries again. */
  constructor(forget: () => Promise<void>, failed: (error: Error) => void) {
    this.#forget = forget;
    this.#failed = failed;
  }

  /** The flows of the switch have changed. */
  changed(): void {
    const now = Date.now();
    if (this.#timer) clearTimeout(this.#timer);
    else this.#since = now;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#forget().catch(this.#failed);
    }, Math.max(0, Math.min(QUIET, this.#since + AT_MOST - now)));
  }
}
