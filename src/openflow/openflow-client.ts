/** A persistent OpenFlow 1.4 connection to a bridge's service socket, `<rundir>/<bridge>.mgmt`. */
import { connect, type Socket } from 'node:net';
import { decodeFlowStats, encodeFlowMod, encodeFlowStatsRequest, formatFlowMod, type FlowFilter, type FlowMod } from './codec/flow-codec.ts';
import { decodeMeterConfig, decodeMeterDrops, encodeMeterMod, encodeMeterRequest, type Meter } from './codec/meter-codec.ts';
import { decodePacketIn, type PacketIn } from './codec/packet-in.ts';
import { encodeMessage, errorName, type Message, MessageReader, OFP_VERSION, OFPMP, OFPT } from './codec/message.ts';
import type { FlowStats } from './flow.ts';

/** The switch refused something. A bundle that failed changed nothing. */
export class OpenFlowError extends Error {
  override readonly name = 'OpenFlowError';
  /** Each modification that was refused, with the switch's reason. */
  readonly refused: readonly { readonly mod: FlowMod; readonly reason: string }[];

  constructor(message: string, refused: OpenFlowError['refused'] = []) {
    super(message);
    this.refused = refused;
  }
}

const BUNDLE = { OPEN_REQUEST: 0, COMMIT_REQUEST: 4, DISCARD_REQUEST: 6 } as const;
const ATOMIC_ORDERED = 3;
const REPLY_MORE = 1;

interface Pending {
  readonly parts: Buffer[];
  readonly resolve: (parts: Buffer[]) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Calls may overlap; bundles of one client are applied one after the other in call order.
 * Nothing is retried and there is no reconnect: after `closed` every call rejects, and the caller makes a new client.
 */
export class OpenFlowClient {
  /** Resolves once when the connection is gone, with the error that ended it, or `undefined` after `close()`. */
  readonly closed: Promise<Error | undefined>;
  readonly #socket: Socket;
  readonly #reader = new MessageReader();
  readonly #pending = new Map<number, Pending>();
  /** Modifications of the bundle under way, by the xid they were sent with. */
  readonly #sent = new Map<number, FlowMod>();
  #refused: { mod: FlowMod; reason: string }[] = [];
  #xid = 1;
  #bundleId = 1;
  #lastBundle: Promise<unknown> = Promise.resolve();
  #gone: Error | undefined;
  #hear: (packet: PacketIn) => void = () => {};

  private constructor(socket: Socket) {
    this.#socket = socket;
    let resolveClosed!: (error: Error | undefined) => void;
    this.closed = new Promise((resolve) => (resolveClosed = resolve));
    let failure: Error | undefined;
    socket.on('error', (error) => (failure = error));
    socket.on('data', (chunk: Buffer) => {
      try {
        for (const message of this.#reader.push(chunk)) this.#receive(message);
      } catch (error) {
        socket.destroy(error as Error);
      }
    });
    socket.on('close', () => {
      const own = this.#gone;
      const reason = own ?? failure ?? new OpenFlowError('the switch closed the connection');
      this.#gone = reason;
      for (const pending of this.#pending.values()) pending.reject(reason);
      this.#pending.clear();
      resolveClosed(own ? undefined : reason);
    });
  }

  /** Connects and agrees on OpenFlow 1.4. Rejects when there is no switch, or one that does not speak 1.4. */
  static async connect(socketPath: string): Promise<OpenFlowClient> {
    const socket = connect(socketPath);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    const client = new OpenFlowClient(socket);
    const hello = client.#expect(HELLO_XID);
    // Version bitmap with 1.4 only (§7.5.1): the switch offers 1.5 and would take the higher of both.
    const bitmap = Buffer.alloc(8);
    bitmap.writeUInt16BE(1, 0);
    bitmap.writeUInt16BE(8, 2);
    bitmap.writeUInt32BE(1 << OFP_VERSION, 4);
    socket.write(encodeMessage(OFPT.HELLO, client.#nextXid(), bitmap));
    await hello;
    // The answer to a barrier proves that the switch has taken the version: a refusal comes after its hello.
    await client.#request(OFPT.BARRIER_REQUEST, Buffer.alloc(0));
    return client;
  }

  /** Ends the connection; calls under way reject. */
  close(): void {
    this.#gone ??= new OpenFlowError('the client was closed');
    this.#socket.destroy();
  }

  /** The flows of the bridge that pass `filter` (all without), as the switch holds them now. */
  async dumpFlows(filter: FlowFilter = {}): Promise<FlowStats[]> {
    const parts = await this.#multipart(OFPMP.FLOW, encodeFlowStatsRequest(filter));
    return parts.flatMap((part) => decodeFlowStats(part));
  }

  /** Name → OpenFlow port number of every port of the bridge; the bridge's own is `PORT.LOCAL`. */
  async portDesc(): Promise<Map<string, number>> {
    const ports = new Map<string, number>();
    for (const part of await this.#multipart(OFPMP.PORT_DESC, Buffer.alloc(0))) {
      for (let at = 0; at < part.length; at += part.readUInt16BE(at + 4)) {
        const name = part.subarray(at + 16, at + 32);
        const end = name.indexOf(0);
        ports.set(name.toString('utf8', 0, end < 0 ? name.length : end), part.readUInt32BE(at));
      }
    }
    return ports;
  }

  /**
   * From now on `hear` gets every copy that a flow sends by the action `controller`. Rejects when the switch refuses.
   * A service connection is told nothing before it asks (connmgr.c: `miss_send_len`).
   */
  async hearPackets(hear: (packet: PacketIn) => void): Promise<void> {
    this.#hear = hear;
    const config = Buffer.alloc(4);
    config.writeUInt16BE(0xffff, 2);
    await this.#command(OFPT.SET_CONFIG, config);
  }

  /** The meters of the bridge that drop packets above a rate. */
  async meters(): Promise<Meter[]> {
    return (await this.#multipart(OFPMP.METER_CONFIG, encodeMeterRequest())).flatMap(decodeMeterConfig);
  }

  /** Rejects with `OpenFlowError` when the switch refuses: it may have no meters, or one of this number already. */
  addMeter(meter: Meter): Promise<void> {
    return this.#command(OFPT.METER_MOD, encodeMeterMod('add', meter));
  }

  modifyMeter(meter: Meter): Promise<void> {
    return this.#command(OFPT.METER_MOD, encodeMeterMod('modify', meter));
  }

  /** How many packets the meter has dropped since it was made. */
  async meterDrops(id: number): Promise<bigint> {
    for (const part of await this.#multipart(OFPMP.METER, encodeMeterRequest(id))) {
      const drops = decodeMeterDrops(part).get(id);
      if (drops !== undefined) return drops;
    }
    return 0n;
  }

  /**
   * Applies all of `mods`, in order, or none of them. Resolves when the switch has applied them.
   * Rejects with `OpenFlowError`, whose `refused` and message name the flows, when one is refused.
   */
  bundle(mods: readonly FlowMod[]): Promise<void> {
    const done = this.#lastBundle.then(() => (mods.length > 0 ? this.#bundle(mods) : undefined));
    this.#lastBundle = done.catch(() => {});
    return done;
  }

  async #bundle(mods: readonly FlowMod[]): Promise<void> {
    const id = this.#bundleId++;
    this.#refused = [];
    this.#sent.clear();
    const messages = mods.flatMap((mod) => this.#encodeAdd(id, mod));
    if (this.#refused.length > 0) throw this.#refusal('');
    this.#socket.cork();
    const opened = this.#control(id, BUNDLE.OPEN_REQUEST);
    for (const message of messages) this.#socket.write(message);
    const added = this.#request(OFPT.BARRIER_REQUEST, Buffer.alloc(0));
    this.#socket.uncork();
    await Promise.all([opened, added]);
    // Open vSwitch skips an add that does not decode and would commit the rest.
    if (this.#refused.length > 0) {
      await this.#control(id, BUNDLE.DISCARD_REQUEST);
      throw this.#refusal('');
    }
    try {
      await this.#control(id, BUNDLE.COMMIT_REQUEST);
    } catch (error) {
      if (this.#gone) throw error;
      throw this.#refusal((error as Error).message);
    } finally {
      this.#sent.clear();
    }
  }

  /** None when the modification has no form on the wire, which counts as refused: actions of over 64 KiB. */
  #encodeAdd(bundleId: number, mod: FlowMod): Buffer[] {
    const xid = this.#nextXid();
    const prefix = Buffer.alloc(8);
    prefix.writeUInt32BE(bundleId, 0);
    prefix.writeUInt16BE(ATOMIC_ORDERED, 6);
    try {
      // The switch refuses an inner message whose xid is not that of the outer one (MSG_BAD_XID).
      const message = encodeMessage(OFPT.BUNDLE_ADD, xid, Buffer.concat([prefix, encodeMessage(OFPT.FLOW_MOD, xid, encodeFlowMod(mod))]));
      this.#sent.set(xid, mod);
      return [message];
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.#refused.push({ mod, reason: error.message });
      return [];
    }
  }

  #refusal(commitError: string): OpenFlowError {
    const refused = this.#refused;
    const lines = refused.map(({ mod, reason }) => `${reason}: ${formatFlowMod(mod)}`);
    const what = lines.length > 0 ? lines.slice(0, 5).join('\n') : commitError;
    return new OpenFlowError(lines.length > 5 ? `${what}\n… and ${lines.length - 5} more` : what, refused);
  }

  #control(bundleId: number, type: number): Promise<Buffer[]> {
    const body = Buffer.alloc(8);
    body.writeUInt32BE(bundleId, 0);
    body.writeUInt16BE(type, 4);
    body.writeUInt16BE(ATOMIC_ORDERED, 6);
    return this.#request(OFPT.BUNDLE_CONTROL, body);
  }

  async #multipart(type: number, body: Buffer): Promise<Buffer[]> {
    const head = Buffer.alloc(8);
    head.writeUInt16BE(type, 0);
    const parts = await this.#request(OFPT.MULTIPART_REQUEST, Buffer.concat([head, body]));
    return parts.map((part) => part.subarray(8));
  }

  /** A message that is answered only when it is refused; the barrier behind it says that it was not. */
  async #command(type: number, body: Buffer): Promise<void> {
    const xid = this.#nextXid();
    const refused = this.#expect(xid);
    this.#socket.write(encodeMessage(type, xid, body));
    const taken = this.#request(OFPT.BARRIER_REQUEST, Buffer.alloc(0));
    try {
      await Promise.race([refused, taken]);
    } finally {
      this.#pending.delete(xid);
    }
  }

  #request(type: number, body: Buffer): Promise<Buffer[]> {
    const xid = this.#nextXid();
    const answer = this.#expect(xid);
    if (!this.#gone) this.#socket.write(encodeMessage(type, xid, body));
    return answer;
  }

  #expect(xid: number): Promise<Buffer[]> {
    if (this.#gone) return Promise.reject(this.#gone);
    return new Promise((resolve, reject) => this.#pending.set(xid, { parts: [], resolve, reject }));
  }

  #nextXid(): number {
    const xid = this.#xid;
    this.#xid = xid === 0x7fffffff ? 1 : xid + 1;
    return xid;
  }

  #receive({ type, xid, body }: Message): void {
    switch (type) {
      case OFPT.HELLO:
        this.#settle(HELLO_XID)?.resolve([]);
        return;
      case OFPT.ECHO_REQUEST:
        this.#socket.write(encodeMessage(OFPT.ECHO_REPLY, xid, body));
        return;
      case OFPT.ERROR: {
        const mod = this.#sent.get(xid);
        if (mod) this.#refused.push({ mod, reason: errorName(body) });
        else this.#settle(xid)?.reject(new OpenFlowError(errorName(body)));
        return;
      }
      case OFPT.MULTIPART_REPLY: {
        const pending = this.#pending.get(xid);
        pending?.parts.push(body);
        if (!(body.readUInt16BE(2) & REPLY_MORE)) this.#settle(xid)?.resolve(pending!.parts);
        return;
      }
      case OFPT.PACKET_IN:
        this.#hear(decodePacketIn(body));
        return;
      case OFPT.BARRIER_REPLY:
      case OFPT.BUNDLE_CONTROL:
        this.#settle(xid)?.resolve([body]);
        return;
      default:
      // Asynchronous notices (port status, flow removed): the mirror is kept by dumps and the OVSDB monitor.
    }
  }

  #settle(xid: number): Pending | undefined {
    const pending = this.#pending.get(xid);
    this.#pending.delete(xid);
    return pending;
  }
}

/** Stands for the switch's hello among the answers that are waited for. */
const HELLO_XID = -1;
