/** The Image service (Glance v2) at /image. */
import { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import type { Config } from '#model/config.ts';
import { ApiError } from '#model/errors.ts';
import type { Store } from '#store/store.ts';
import type { Authenticator } from '../http/context.ts';
import { requireToken, type Service } from '../http/frame.ts';
import type { Log } from '../http/log.ts';
import { bootstrapImages } from './bootstrap.ts';
import { ImageFiles } from './image-file.ts';
import { type ImageQuery, listImages, pageLink } from './image-list.ts';
import { applyPatch, PATCH_TYPE } from './image-patch.ts';
import { createImage, images, imageToChange, mayWrite, readChanges, readId, updateImage, visibleImage } from './images.ts';
import { wireImage } from './image-view.ts';
import { imageSchema, imagesSchema } from './schemas.ts';

// An import makes Node read every export, and that loads its fetch client: 55 ms.
const { STATUS_CODES } = process.getBuiltinModule('node:http');

export interface ImageDeps {
  readonly store: Store;
  readonly config: Config;
  readonly authenticator: Authenticator;
  readonly publicEndpoint: string;
  readonly log: Log;
  /** Uploaded images are files in its `images` folder. */
  readonly stateDir: string;
}

const OCTETS = 'application/octet-stream';
type ById = { Params: { id: string } };

export interface ImageService extends Service {
  /** Makes the built-in images and clears what a crash left behind; to be called before listening. */
  bootstrap(): Promise<void>;
  /** Where the data of an uploaded image is. */
  file(id: string): string;
}

export function imageService({ store, authenticator, publicEndpoint, stateDir }: ImageDeps): ImageService {
  const files = new ImageFiles(store, stateDir);
  return {
    prefix: '/image',
    envelope: imageEnvelope,
    bootstrap: async () => {
      await files.sweep();
      await bootstrapImages(store);
    },
    file: (id) => files.path(id),
    routes(app) {
      versionRoutes(app, `${publicEndpoint}/image`);
      void app.register(async (api) => {
        api.addHook('onRequest', requireToken(authenticator, `${publicEndpoint}/identity`));
        api.addHook('onRequest', async (request) => {
          // No id or name holds a NUL, and PostgreSQL would refuse it as an error of ours.
          if (request.url.includes('%00')) throw new ApiError('badRequest', { reason: 'The URL holds a NUL character.' });
        });
        api.get('/schemas/image', async () => imageSchema());
        api.get('/schemas/images', async () => imagesSchema());
        imageRoutes(api, store, files);
        void api.register(async (scope) => fileRoutes(scope, store, files));
      }, { prefix: '/v2' });
    },
  };
}

/** Glance's JSON form of an error. */
export function imageEnvelope(error: ApiError): unknown {
  return { message: error.message, code: `${error.status} ${STATUS_CODES[error.status] ?? ''}`.trim(), title: STATUS_CODES[error.status] ?? 'Error' };
}

function versionRoutes(app: FastifyInstance, base: string): void {
  const versions = ['v2.7', 'v2.6', 'v2.5', 'v2.4', 'v2.3', 'v2.2', 'v2.1', 'v2.0'].map((id, i) => ({ id, status: i === 0 ? 'CURRENT' : 'SUPPORTED', links: [{ rel: 'self', href: `${base}/v2/` }] }));
  app.get('/', async (_request, reply) => reply.code(300).send({ versions }));
  app.get('/versions', async () => ({ versions }));
  app.get('/v2', async () => ({ versions }));
}

function imageRoutes(api: FastifyInstance, store: Store, files: ImageFiles): void {
  api.get('/images', async (request) => {
    const query = request.query as ImageQuery;
    const { page, more } = await listImages(store.reader, request.context, query);
    return { images: page.map(wireImage), first: pageLink(query), schema: '/v2/schemas/images', ...(more ? { next: pageLink(query, page.at(-1)!.id) } : {}) };
  });
  api.get<ById>('/images/:id', async (request) => wireImage(await visibleImage(store.reader, request.context, request.params.id)));

  api.post('/images', async (request, reply) => {
    mayWrite(request.context, 'add_image');
    const body = request.body;
    if (typeof body !== 'object' || body === null || Array.isArray(body)) throw new ApiError('badRequest', { reason: 'The request body must be an object of image attributes' });
    const { id: given, ...attributes } = body as Record<string, unknown>;
    const id = readId(given);
    const changes = readChanges(request.context, attributes);
    const created = await store.write((tx) => createImage(tx, request.context, id, changes), request.requestId);
    return reply.code(201).header('location', `/v2/images/${id}`).send(wireImage(created));
  });

  api.patch<ById>('/images/:id', async (request) => {
    const type = request.headers['content-type']?.split(';')[0];
    if (type !== PATCH_TYPE) throw new ApiError('ImageUnsupportedMediaType', { type: type ?? 'of this body', wanted: PATCH_TYPE });
    return wireImage(await store.write(async (tx) => {
      const image = await imageToChange(tx, request.context, request.params.id);
      return updateImage(tx, image, applyPatch(request.context, image, request.body));
    }, request.requestId));
  });

  api.delete<ById>('/images/:id', async (request, reply) => {
    const { id } = request.params;
    await store.write(async (tx) => {
      const image = await imageToChange(tx, request.context, id);
      if (image.protected) throw new ApiError('ImageForbidden', { reason: `Image ${id} is protected and cannot be deleted.` });
      await images.delete(tx, id);
    }, request.requestId);
    await files.remove(id);
    return reply.code(204).send();
  });

  for (const [action, from, to] of [['deactivate', 'active', 'deactivated'], ['reactivate', 'deactivated', 'active']] as const) {
    api.post<ById>(`/images/:id/actions/${action}`, async (request, reply) => {
      if (!request.context.is_admin) throw new ApiError('ImageForbidden', { reason: `You are not authorized to complete ${action} action.` });
      await store.write(async (tx) => {
        const image = await imageToChange(tx, request.context, request.params.id);
        if (image.status !== from && image.status !== to) throw new ApiError('ImageForbidden', { reason: `Not allowed to ${action} image in status '${image.status}'` });
        await updateImage(tx, image, { status: to });
      }, request.requestId);
      return reply.code(204).send();
    });
  }

  const tagging = (change: (tags: readonly string[], tag: string) => string[]) => async (request: any, reply: any) => {
    const { id, tag } = request.params as { id: string; tag: string };
    await store.write(async (tx) => {
      const image = await imageToChange(tx, request.context, id);
      await updateImage(tx, image, readChanges(request.context, { tags: change(image.tags, tag) }, image));
    }, request.requestId);
    return reply.code(204).send();
  };
  api.put('/images/:id/tags/:tag', tagging((tags, tag) => [...tags, tag]));
  api.delete('/images/:id/tags/:tag', tagging((tags, tag) => {
    if (!tags.includes(tag)) throw new ApiError('itemNotFound', { reason: `Tag ${tag} could not be found` });
    return tags.filter((each) => each !== tag);
  }));
}

/** The data streams through, so the body's limit does not hold here. */
function fileRoutes(scope: FastifyInstance, store: Store, files: ImageFiles): void {
  scope.addContentTypeParser(OCTETS, (_request, payload, done) => done(null, payload));

  scope.put<ById>('/images/:id/file', async (request, reply) => {
    const type = request.headers['content-type']?.split(';')[0];
    if (type !== OCTETS) throw new ApiError('ImageUnsupportedMediaType', { type: type ?? 'of this body', wanted: OCTETS });
    // Fastify has no body for a request of length 0.
    await files.upload(request.context, request.params.id, request.body instanceof Readable ? request.body : Readable.from([]));
    return reply.code(204).send();
  });

  scope.get<ById>('/images/:id/file', async (request, reply) => {
    const image = await visibleImage(store.reader, request.context, request.params.id);
    if (image.status === 'deactivated' && !request.context.is_admin) throw new ApiError('ImageForbidden', { reason: 'The requested image has been deactivated. Image data download is forbidden.' });
    const data = image.status === 'active' || image.status === 'deactivated' ? await files.read(image) : undefined;
    if (!data) return reply.code(204).send();
    void reply.headers({ 'content-type': OCTETS, 'content-length': data.size, 'content-md5': image.checksum ?? '' });
    return reply.send(data.stream);
  });
}
