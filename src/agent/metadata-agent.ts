/**
 * The metadata agent of a host: takes what the proxies in the namespaces hand on, asks the controller whose request it is,
 * and hands it on to the metadata API with that said in signed headers (N-MD-5…9). It holds no secret.
 */
import { chmodSync, chownSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import type { Agent as HttpAgent, ClientRequest, IncomingMessage, OutgoingHttpHeaders, Server, ServerResponse } from 'node:http';
import { dirname } from 'node:path';
import type { MetadataAnswer, MetadataQuestion } from '#protocol/messages.ts';

// An import makes Node read every export, and that loads its fetch client: 55 ms.
const http = process.getBuiltinModule('node:http');

/** Where the metadata API answers: this cloud's controller on a unix socket, or a real Nova. */
export type MetadataApi = { readonly socketPath: string } | { readonly protocol: 'http' | 'https'; readonly host: string; readonly port: number };

export interface MetadataAgentOptions {
  /** The unix socket for the proxies, and the group that they run as; null: nobody else may connect. */
  readonly socket: string;
  readonly group: string | null;
  readonly api: MetadataApi;
  /** Null when nobody with that address may ask. */
  readonly ask: (question: MetadataQuestion) => Promise<MetadataAnswer>;
  readonly log: (message: string, fields?: Readonly<Record<string, unknown>>) => void;
}

/** Where the proxies of a host find its metadata agent. */
export const METADATA_PROXY_SOCKET = '/run/patchbay/metadata_proxy';

/** All that a guest says in headers and the API hears. */
const FROM_GUEST = ['accept', 'content-type', 'user-agent', 'x-aws-ec2-metadata-token', 'x-aws-ec2-metadata-token-ttl-seconds'];
const TO_GUEST = ['allow', 'content-encoding', 'content-length', 'content-type', 'x-aws-ec2-metadata-token-ttl-seconds'];
/** A password has 1,020 bytes, and nothing else is sent. */
const MAX_BODY = 16_384;
const API_PATIENCE_MS = 20_000;

export class MetadataAgent {
  readonly #options: MetadataAgentOptions;
  readonly #connections: HttpAgent;
  #server: Server | undefined;

  constructor(options: MetadataAgentOptions) {
    this.#options = options;
    // Less than the API keeps a connection that nobody uses: none is closed while a request is on its way.
    this.#connections = new (isHttps(options.api) ? process.getBuiltinModule('node:https') : http).Agent({ keepAlive: true, maxFreeSockets: 8, timeout: 30_000 });
  }

  /** Listens; only root and the proxies' group may connect. */
  async start(): Promise<void> {
    const { socket, group, log } = this.#options;
    const server = http.createServer({ requestTimeout: 30_000 }, (request, response) => {
      this.#answer(request, response).catch((error: Error) => {
        log('a metadata request failed', { reason: error.message });
        refuse(response, 503, 'the metadata service does not answer; try again');
      });
    });
    mkdirSync(dirname(socket), { recursive: true, mode: 0o755 });
    rmSync(socket, { force: true });
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(socket, resolve));
    if (group !== null) chownSync(socket, 0, groupId(group));
    chmodSync(socket, 0o660);
    this.#server = server;
  }

  stop(): void {
    this.#server?.closeAllConnections();
    this.#server?.close();
    this.#connections.destroy();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const question = questionOf(request);
    if (!question) return refuse(response, 400, 'the proxy must name one router or network, and one address');
    const body = await readBody(request);
    if (!body) return refuse(response, 413, `a request has at most ${MAX_BODY} bytes`);
    const instance = await this.#options.ask(question);
    if (!instance) return refuse(response, 404, `no instance of ${question.router_id ? `router ${question.router_id}` : `network ${question.network_id}`} has the address ${question.address}`);
    const headers: OutgoingHttpHeaders = {
      'x-forwarded-for': question.address, 'x-instance-id': instance.instance_id, 'x-tenant-id': instance.project_id, 'x-instance-id-signature': instance.signature,
      'content-length': body.length, ...chosen(request, FROM_GUEST),
    };
    const answer = await this.#forward(request, headers, body);
    response.writeHead(answer.statusCode ?? 502, chosen(answer, TO_GUEST));
    // A guest that goes away takes the rest with it.
    response.once('close', () => answer.destroy());
    answer.once('error', () => response.destroy());
    answer.pipe(response);
  }

  /** A connection kept from before may be gone: what can be asked twice is asked anew. */
  async #forward(request: IncomingMessage, headers: OutgoingHttpHeaders, body: Buffer): Promise<IncomingMessage> {
    const again = request.method === 'GET' || request.method === 'HEAD';
    try {
      return await this.#send(request, headers, body, again ? this.#connections : undefined);
    } catch (error) {
      if (!again || !(error as { reused?: boolean }).reused) throw error;
      return this.#send(request, headers, body, undefined);
    }
  }

  /** Over `connections`, or over a new one. */
  #send({ method, url }: IncomingMessage, headers: OutgoingHttpHeaders, body: Buffer, connections: HttpAgent | undefined): Promise<IncomingMessage> {
    const { api } = this.#options;
    const target = 'socketPath' in api ? { socketPath: api.socketPath, headers: { host: 'metadata', ...headers } } : { host: api.host, port: api.port, headers };
    return new Promise((resolve, reject) => {
      const sent: ClientRequest = (isHttps(api) ? process.getBuiltinModule('node:https') : http).request({ ...target, method, path: url, agent: connections ?? false, timeout: API_PATIENCE_MS }, resolve);
      sent.once('timeout', () => sent.destroy(new Error('the metadata API does not answer')));
      sent.once('error', (error) => reject(Object.assign(error, { reused: sent.reusedSocket })));
      sent.end(body);
    });
  }
}

/** What the proxy says of who asks; undefined when it is not one router or network and one address. */
function questionOf({ headersDistinct: headers }: IncomingMessage): MetadataQuestion | undefined {
  const [address, ...others] = headers['x-forwarded-for'] ?? [];
  const [routers, networks] = [headers['x-neutron-router-id'] ?? [], headers['x-neutron-network-id'] ?? []];
  if (address === undefined || others.length > 0 || routers.length + networks.length !== 1) return undefined;
  return { address, ...(routers[0] === undefined ? { network_id: networks[0]! } : { router_id: routers[0] }) };
}

function chosen({ headers }: IncomingMessage, names: readonly string[]): OutgoingHttpHeaders {
  return Object.fromEntries(names.flatMap((name) => (headers[name] === undefined ? [] : [[name, headers[name]]])));
}

function refuse(response: ServerResponse, status: number, reason: string): void {
  if (response.headersSent) return void response.destroy();
  response.writeHead(status, { 'content-type': 'text/plain', 'content-length': Buffer.byteLength(reason) + 1 }).end(`${reason}\n`);
}

/** The whole body; undefined when it is too long. What is left of it stays unread: whoever sends it must still hear the answer. */
async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    length += chunk.length;
    if (length > MAX_BODY) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function isHttps(api: MetadataApi): boolean {
  return 'protocol' in api && api.protocol === 'https';
}

function groupId(name: string): number {
  const line = readFileSync('/etc/group', 'utf8').split('\n').find((each) => each.startsWith(`${name}:`));
  if (line === undefined) throw new Error(`there is no group ${name}: HAProxy's package makes it`);
  return Number(line.split(':')[2]);
}
