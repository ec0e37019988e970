/** One client of the APIs with one kept-alive connection, thin enough not to be what is measured. */
import { Agent, request } from 'node:http';

export interface Answer {
  readonly status: number;
  readonly token: string | undefined;
  readonly body: string;
}

export interface Credentials {
  readonly username: string;
  readonly password: string;
  readonly project_name: string;
  readonly user_domain_name: string;
  readonly project_domain_name: string;
}

export class ApiClient {
  readonly #endpoint: URL;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  token: string | undefined;

  constructor(endpoint: string, token?: string) {
    this.#endpoint = new URL(endpoint);
    this.token = token;
  }

  /** The answer as it is, whatever its status; rejects when there is none. */
  send(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const data = body === undefined ? undefined : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const call = request({
        host: this.#endpoint.hostname, port: this.#endpoint.port, method, path, agent: this.#agent,
        headers: {
          ...(data === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(data) }),
          ...(this.token === undefined ? {} : { 'x-auth-token': this.token }), ...headers,
        },
      }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => resolve({
          status: response.statusCode ?? 0, token: response.headers['x-subject-token'] as string | undefined, body: Buffer.concat(chunks).toString(),
        }));
      });
      call.setTimeout(60_000, () => call.destroy(new Error(`${method} ${path}: no answer within 60 s`)));
      call.on('error', reject);
      call.end(data);
    });
  }

  /** Throws unless the answer is a success. */
  async call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer> {
    const answer = await this.send(method, path, body, headers);
    if (answer.status < 200 || answer.status > 299) throw new Error(`${method} ${path}: ${answer.status} ${answer.body.slice(0, 300)}`);
    return answer;
  }

  async json(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<any> {
    const { body: text } = await this.call(method, path, body, headers);
    return text === '' ? undefined : JSON.parse(text);
  }

  /** Asks for a token by password; this client uses it from now on. Returns the token's body. */
  async authenticate(credentials: Credentials): Promise<any> {
    const { token, body } = await this.call('POST', '/identity/v3/auth/tokens', authRequest(credentials));
    this.token = token;
    return JSON.parse(body).token;
  }

  close(): void {
    this.#agent.destroy();
  }
}

export function authRequest({ username, password, project_name, user_domain_name, project_domain_name }: Credentials): unknown {
  return {
    auth: {
      identity: { methods: ['password'], password: { user: { name: username, domain: { name: user_domain_name }, password } } },
      scope: { project: { name: project_name, domain: { name: project_domain_name } } },
    },
  };
}
