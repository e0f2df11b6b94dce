// Tests which ServiceAccounts of a list are kept in memory.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { listServiceAccounts } from '../../src/kube/service-accounts.ts';
import { type ApiStandIn, startApiStandIn } from '../doubles/api-server/api-stand-in.ts';
import { createConfig } from './secret-api-fixtures.ts';

describe('a list of ServiceAccounts', () => {
  let server: ApiStandIn;
  before(async () => {
    server = await startApiStandIn();
  });
  after(() => server.stop());

  it('keeps only those with the given names or a managed reference', async () => {
    const namespace = await server.createNamespace();
    const path = `/api/v1/namespaces/${namespace}/serviceaccounts`;
    for (const name of ['builder', 'runner', 'unselected']) {
      server.seed(`${path}/${name}`, {});
    }
    server.seed(`${path}/formerly-selected`, {
      metadata: { annotations: { 'ecr-pull-secrets.io/pull-secret': 'ecr-pull-secrets' } },
    });
    const config = createConfig(server.kubeconfigPath);
    const { signal } = new AbortController();
    const namesOf = async (keptNames?: ReadonlySet<string>) =>
      (await listServiceAccounts(config, { namespace, ...(keptNames && { keptNames }) }, signal))
        .map(({ name }) => name)
        .filter((name) => name !== 'default');
    assert.deepEqual((await namesOf()).length, 4);
    assert.deepEqual((await namesOf(new Set(['builder', 'runner']))).sort(), [
      'builder',
      'formerly-selected',
      'runner',
    ]);
    await config.close();
  });
});
