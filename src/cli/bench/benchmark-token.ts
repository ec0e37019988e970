/** Tokens: issued by password, validated by a service that has the key and by one that asks. */
import { identityService } from '#control/identity/identity-service.ts';
import { loadConfig } from '#model/config.ts';
import { jsonLog } from '#protocol/log.ts';
import { openStore } from '#store/open.ts';
import { join } from 'node:path';
import { authRequest } from './api-client.ts';
import { defineBenchmark } from './benchmark.ts';
import { round, statisticsOf, timeEach } from './statistics.ts';

export const benchmark = defineBenchmark({
  figures: {
    token_issue: { title: 'token issue (scrypt 16384), p50', unit: 'ms', target: 70, neutron: 283 },
    token_validate: { title: 'token validation in process, p50', unit: 'ms', target: 0.2 },
    token_validate_http: { title: 'token validation by GET /auth/tokens, p50', unit: 'ms' },
  },
  async run(lab) {
    const [controller, client] = [await lab.controller(), await lab.client()];
    const path = '/identity/v3/auth/tokens';
    const issue = statisticsOf(await timeEach(lab.count(30, 5), () => client.call('POST', path, authRequest(controller.credentials))));
    const asked = statisticsOf(await timeEach(lab.count(200), () => client.call('GET', path, undefined, { 'x-subject-token': client.token! })));
    const validated = await validateInProcess(controller.state, client.token!, lab.count(2000, 200));
    return {
      token_issue: { value: issue.p50, samples: issue, limit: await lab.httpLimit() },
      token_validate: { value: validated.p50, samples: validated },
      token_validate_http: { value: asked.p50, samples: asked, limit: await lab.httpLimit() },
    };
  },
});

/** As the Networking API does it for every request: a second opening of the same store, in this process. */
async function validateInProcess(state: string, token: string, count: number) {
  const log = jsonLog('bench', () => {});
  const store = await openStore(`sqlite:///${join(state, 'patchbay.db')}`);
  const identity = identityService({ store, config: loadConfig(''), stateDir: state, publicEndpoint: 'http://127.0.0.1', log });
  try {
    const samples = await timeEach(count, async () => {
      if (!(await identity.authenticator.authenticate(token))) throw new Error('the token of this run is not valid');
    });
    return statisticsOf(samples.map(round));
  } finally {
    identity.close();
    await store.close();
  }
}
