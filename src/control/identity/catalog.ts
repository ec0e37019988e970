/** The service catalog: which APIs this cloud has and where. URLs come from the public endpoint, never from a Host header. */
import { createHash } from 'node:crypto';

export interface Endpoint {
  readonly id: string;
  readonly interface: 'public' | 'internal' | 'admin';
  readonly region_id: string;
  readonly region: string;
  readonly url: string;
}

export interface CatalogService {
  readonly id: string;
  readonly type: string;
  readonly name: string;
  readonly endpoints: readonly Endpoint[];
}

const SERVICES = [
  { type: 'identity', name: 'keystone', path: '/identity' },
  // Without /v2.0: gophercloud appends it itself (features.md G1).
  { type: 'network', name: 'neutron', path: '/network' },
  { type: 'compute', name: 'nova', path: '/compute/v2.1' },
  { type: 'image', name: 'glance', path: '/image' },
] as const;

/** The catalog of a cloud at `publicEndpoint` (no slash at its end). Ids follow from type and interface: the same on every controller. */
export function buildCatalog(publicEndpoint: string, region: string): CatalogService[] {
  return SERVICES.map(({ type, name, path }) => ({
    id: stableId(type),
    type,
    name,
    endpoints: (['public', 'internal', 'admin'] as const).map((face) => ({
      id: stableId(`${type} ${face} ${region}`), interface: face, region_id: region, region, url: `${publicEndpoint}${path}`,
    })),
  }));
}

function stableId(text: string): string {
  return createHash('sha256').update(`patchbay ${text}`).digest('hex').slice(0, 32);
}
