/** Compute API microversions: which one a request asks for, and the headers that answer it. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ApiError } from '#model/errors.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** The minor number of the microversion asked for: 37 for 2.37. Set by `negotiate` on Compute's routes. */
    microversion: number;
  }
}

export const MIN_MICROVERSION = '2.1';
/** Every change up to here is in the answers; what later versions change is not. */
export const MAX_MICROVERSION = '2.37';

const minorOf = (version: string): number => Number(version.split('.')[1]);

/** Reads the version headers and answers them. Throws 400 for a malformed version and 406 for one out of range. */
export async function negotiate(request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const asked = askedVersion(request) ?? MIN_MICROVERSION;
  if (asked !== 'latest' && !/^[1-9][0-9]{0,3}\.(0|[1-9][0-9]{0,3})$/.test(asked)) throw new ApiError('InvalidAPIVersionString', { version: asked.slice(0, 60) });
  const version = asked === 'latest' ? MAX_MICROVERSION : asked;
  if (!version.startsWith('2.') || minorOf(version) < minorOf(MIN_MICROVERSION) || minorOf(version) > minorOf(MAX_MICROVERSION)) {
    throw new ApiError('InvalidGlobalAPIVersion', { version, min: MIN_MICROVERSION, max: MAX_MICROVERSION });
  }
  request.microversion = minorOf(version);
  void reply.headers({
    'openstack-api-version': `compute ${version}`,
    'x-openstack-nova-api-version': version,
    vary: 'OpenStack-API-Version, X-OpenStack-Nova-API-Version',
  });
}

/** Answers 404, as Nova, for a method that the asked version does not have. */
export function since(request: FastifyRequest, minor: number): void {
  if (request.microversion < minor) throw new ApiError('VersionNotFoundForAPIMethod', { version: `2.${request.microversion}` });
}

/** `OpenStack-API-Version: identity 3, compute 2.37`, or the older header that holds the bare number. */
function askedVersion(request: FastifyRequest): string | undefined {
  const given = request.headers['openstack-api-version'];
  for (const entry of String(given ?? '').split(',')) {
    const [service, version] = entry.trim().split(/\s+/);
    if (service === 'compute' && version) return version;
  }
  const legacy = request.headers['x-openstack-nova-api-version'];
  return legacy === undefined ? undefined : String(legacy).trim();
}
