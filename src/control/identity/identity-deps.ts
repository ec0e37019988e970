/** What the parts of the Identity API are made from. */
import type { Config } from '#model/config.ts';
import type { Store } from '#store/store.ts';
import type { Log } from '../http/log.ts';
import type { CatalogService } from './catalog.ts';
import type { PasswordHasher } from './password-hasher.ts';
import type { TokenService } from './token-service.ts';

export interface IdentityDeps {
  readonly store: Store;
  readonly config: Config;
  readonly log: Log;
  readonly tokens: TokenService;
  readonly passwords: PasswordHasher;
  /** `http://127.0.0.1:8770/identity`: what all links begin with. */
  readonly base: string;
  readonly catalog: readonly CatalogService[];
}
