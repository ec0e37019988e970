/**
 * The flow log of a host: copies of packets from the switch become records in a file, one JSON object a line. The
 * switch's meter holds back what is above the rate; how many it held back is written once it holds back no more.
 */
import { parseFrame } from '#net/frame-headers.ts';
import type { PacketIn } from '#openflow/codec/packet-in.ts';
import type { Meter } from '#openflow/codec/meter-codec.ts';
import type { OpenFlowClient } from '#openflow/openflow-client.ts';
import type { PortItem } from '#hoststate/port.ts';
import { type FlowRecord, recordOf } from './flow-record.ts';
import type { HostView } from './pipeline/host-view.ts';
import { LOG_METER } from './pipeline/tables.ts';
import { RecentConnections } from './recent-connections.ts';

export interface FlowLogOptions {
  /** Records a second, and how many may come at once on top. */
  readonly rateLimit: number;
  readonly burstLimit: number;
  readonly view: () => HostView;
  /** The Neutron port at a port number of br-int. */
  readonly portAt: (ofport: number) => string | undefined;
  /** Appends whole lines to the file. */
  readonly append: (text: string) => Promise<void>;
  readonly onPlan: (lines: readonly string[]) => void;
  readonly log: (message: string, fields?: Readonly<Record<string, unknown>>) => void;
}

type MeteredClient = Pick<OpenFlowClient, 'hearPackets' | 'meters' | 'addMeter' | 'modifyMeter' | 'meterDrops'>;

/** Between two looks at the meter, while there is anything to see. */
const LOOK_MS = 1_000;
/** A flood that goes on is told of from time to time. */
const TELL_MS = 60_000;

export class FlowLog {
  readonly #options: FlowLogOptions;
  readonly #recent = new RecentConnections(() => Date.now());
  #client: MeteredClient | undefined;
  /** What the meter had dropped when it was last looked at. */
  #drops = 0n;
  #leftOut = 0n;
  #leftOutSince = 0;
  #timer: NodeJS.Timeout | undefined;
  #lines: string[] = [];
  #writing: Promise<void> | undefined;
  #failing = false;

  constructor(options: FlowLogOptions) {
    this.#options = options;
  }

  /** Takes br-int's new connection: its meter is made where it is missing, and packets are heard. */
  async attach(client: MeteredClient): Promise<void> {
    this.#client = client;
    try {
      await this.#makeMeter(client);
      this.#drops = await client.meterDrops(LOG_METER);
      await client.hearPackets((packet) => this.hear(packet));
    } catch (error) {
      // Without a meter any guest could flood the agent, so nothing is heard. The switch keeps its other duties.
      this.#options.log('no flow logs: the switch has no meter for them', { reason: (error as Error).message });
    }
  }

  async #makeMeter(client: MeteredClient): Promise<void> {
    const { rateLimit: rate, burstLimit: burst } = this.#options;
    const wanted: Meter = { id: LOG_METER, rate, burst };
    const there = (await client.meters()).find(({ id }) => id === LOG_METER);
    if (there?.rate === rate && there.burst === burst) return;
    this.#options.onPlan([`${there ? 'mod' : 'add'}-meter br-int meter=${LOG_METER},pktps,burst,stats,bands=type=drop,rate=${rate},burst_size=${burst}`]);
    await (there ? client.modifyMeter(wanted) : client.addMeter(wanted));
  }

  /** A copy of a packet; of what nobody logs any more nothing is written. */
  hear(packet: PacketIn): void {
    this.#look();
    const view = this.#options.view();
    const portId = this.#options.portAt(Number(packet.fields.reg5?.value ?? 0n));
    const port: PortItem | undefined = portId === undefined ? undefined : view.get('port', portId);
    const record = port && recordOf(view, port, packet, parseFrame(packet.data));
    if (!record || this.#isKnown(record)) return;
    this.#write({ time: this.#time(), ...record });
  }

  /** Until it is answered a connection is new, packet by packet. */
  #isKnown({ action, port_id, direction, ip_src, ip_dst, protocol, port_src, port_dst, icmp_type }: FlowRecord): boolean {
    return action === 'ACCEPT' && !this.#recent.isFirst([port_id, direction, ip_src, ip_dst, protocol, port_src, port_dst, icmp_type].join(' '));
  }

  /** Looks at the meter in a while, and again until it drops nothing more. */
  #look(): void {
    if (this.#timer) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#countDrops().catch((error: Error) => this.#options.log('the meter of the flow log cannot be read', { reason: error.message }));
    }, LOOK_MS);
    this.#timer.unref();
  }

  async #countDrops(): Promise<void> {
    const drops = (await this.#client?.meterDrops(LOG_METER)) ?? this.#drops;
    // A meter that was made anew counts from nothing.
    const more = drops >= this.#drops ? drops - this.#drops : drops;
    this.#drops = drops;
    if (more > 0n) {
      if (this.#leftOut === 0n) this.#leftOutSince = Date.now();
      this.#leftOut += more;
      this.#look();
      if (Date.now() - this.#leftOutSince < TELL_MS) return;
    }
    if (this.#leftOut === 0n) return;
    this.#write({ time: this.#time(), records_left_out: Number(this.#leftOut), since: new Date(this.#leftOutSince).toISOString() });
    this.#leftOut = 0n;
  }

  #time(): string {
    return new Date(Date.now()).toISOString();
  }

  /** Lines that come while others are being written go together. */
  #write(record: Readonly<Record<string, unknown>>): void {
    this.#lines.push(`${JSON.stringify(record)}\n`);
    this.#writing ??= Promise.resolve().then(async () => {
      while (this.#lines.length > 0) {
        const text = this.#lines.join('');
        this.#lines = [];
        await this.#append(text);
      }
      this.#writing = undefined;
    });
  }

  /** A full disk is told of once, not with every record. */
  async #append(text: string): Promise<void> {
    try {
      await this.#options.append(text);
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) this.#options.log('the flow log cannot be written', { reason: (error as Error).message });
      this.#failing = true;
    }
  }
}
