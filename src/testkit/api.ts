/** A small HTTP client of the cloud's APIs for tests: JSON in, JSON out, status in the error. */

export class ApiFailure extends Error {
  readonly status: number;
  readonly body: any;
  constructor(method: string, path: string, status: number, body: any) {
    super(`${method} ${path}: ${status} ${JSON.stringify(body).slice(0, 500)}`);
    this.status = status;
    this.body = body;
  }
}

export class Api {
  readonly endpoint: string;
  readonly token: string;
  readonly project_id: string;

  private constructor(endpoint: string, token: string, projectId: string) {
    this.endpoint = endpoint;
    this.token = token;
    this.project_id = projectId;
  }

  /** A token by password, scoped to the project, all in the domain `default`. */
  static async login(endpoint: string, name: string, password: string, project: string): Promise<Api> {
    const domain = { id: 'default' };
    const response = await fetch(`${endpoint}/identity/v3/auth/tokens`, {
      method: 'POST', headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ auth: { identity: { methods: ['password'], password: { user: { name, password, domain } } }, scope: { project: { name: project, domain } } } }),
    });
    const body = (await response.json()) as any;
    if (response.status !== 201) throw new ApiFailure('POST', '/identity/v3/auth/tokens', response.status, body);
    return new Api(endpoint, response.headers.get('x-subject-token')!, body.token.project.id);
  }

  async request(method: string, path: string, body?: unknown): Promise<any> {
    const response = await fetch(`${this.endpoint}${path}`, {
      method, headers: { 'x-auth-token': this.token, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    const parsed = text === '' ? undefined : text.startsWith('{') ? JSON.parse(text) : text;
    if (response.status >= 400) throw new ApiFailure(method, path, response.status, parsed);
    return parsed;
  }

  get(path: string): Promise<any> {
    return this.request('GET', path);
  }

  /** POST, and the member `key` of the answer. */
  async post(path: string, body: unknown, key?: string): Promise<any> {
    const answer = await this.request('POST', path, body);
    return key ? answer[key] : answer;
  }

  delete(path: string): Promise<any> {
    return this.request('DELETE', path);
  }

  network(attributes: Record<string, unknown>): Promise<any> {
    return this.post('/network/v2.0/networks', { network: attributes }, 'network');
  }

  subnet(attributes: Record<string, unknown>): Promise<any> {
    return this.post('/network/v2.0/subnets', { subnet: { ip_version: 4, ...attributes } }, 'subnet');
  }

  port(attributes: Record<string, unknown>): Promise<any> {
    return this.post('/network/v2.0/ports', { port: attributes }, 'port');
  }

  rule(attributes: Record<string, unknown>): Promise<any> {
    return this.post('/network/v2.0/security-group-rules', { security_group_rule: attributes }, 'security_group_rule');
  }

  router(attributes: Record<string, unknown>): Promise<any> {
    return this.post('/network/v2.0/routers', { router: attributes }, 'router');
  }

  /** Puts a leg of the router on a subnet. */
  addInterface(routerId: string, subnetId: string): Promise<any> {
    return this.request('PUT', `/network/v2.0/routers/${routerId}/add_router_interface`, { subnet_id: subnetId });
  }

  floatingIp(attributes: Record<string, unknown>): Promise<any> {
    return this.post('/network/v2.0/floatingips', { floatingip: attributes }, 'floatingip');
  }

  /** Changes one object: `change('routers', id, {…})`. */
  async change(collection: string, id: string, attributes: Record<string, unknown>): Promise<any> {
    const member = collection.replaceAll('-', '_').replace(/s$/, '');
    return (await this.request('PUT', `/network/v2.0/${collection}/${id}`, { [member]: attributes }))[member];
  }

  /** A server of the built-in image, returned once it is ACTIVE. */
  async server(attributes: Record<string, unknown> & { name: string }): Promise<any> {
    const [flavor] = (await this.get('/compute/v2.1/flavors')).flavors;
    const [image] = (await this.get('/image/v2/images?name=busybox')).images;
    const made = await this.post('/compute/v2.1/servers', { server: { flavorRef: flavor.id, imageRef: image.id, ...attributes } }, 'server');
    return this.serverStatus(made.id, 'ACTIVE');
  }

  /** Waits for a server's status; throws its fault when it is ERROR instead. */
  async serverStatus(id: string, wanted: string, seconds = 30): Promise<any> {
    const end = Date.now() + seconds * 1000;
    for (;;) {
      const { server } = await this.get(`/compute/v2.1/servers/${id}`);
      if (server.status === wanted) return server;
      if (server.status === 'ERROR' || Date.now() > end) throw new Error(`server ${server.name} is ${server.status}, not ${wanted}: ${JSON.stringify(server.fault ?? {})}`);
      await new Promise((resume) => setTimeout(resume, 50));
    }
  }
}
