// Hosts that the operator removed from the configuration, on any API server: they keep their tokens until they expire.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createRegistryResolver, resolveRegistries } from '../../src/ecr/registry.ts';
import { runOnce } from '../commands/run-command.ts';
import { secretsRule } from '../provisioning/provisioning-fixture.ts';
import { describeOnEachApiServer } from '../support/api-server-suites.ts';
import { eventually } from '../support/eventually.ts';
import { readPullSecret } from '../support/pull-secret.ts';
import type { TestApiServer } from '../support/test-api-server.ts';
import { declareHousekeepingReplicas, type HousekeepingFixture } from './housekeeping-fixture.ts';

const hourMs = 3_600_000;
const real = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
const mapped = 'registry.example.com:5000';
const settings = {
  hosts: { [mapped]: { account: '123456789012', region: 'eu-central-1' } },
  publicRegistry: true,
};
const registries = resolveRegistries([real, mapped, 'public.ecr.aws'], createRegistryResolver(settings));

describeOnEachApiServer('hosts that are no longer configured', unconfiguredHostsSuite);

/** What happens to the tokens of hosts after the operator removed them from the configuration, on any API server. */
function unconfiguredHostsSuite(apiServer: () => TestApiServer): void {
  const { ecr, start: startFixture } = declareHousekeepingReplicas(apiServer, [secretsRule]);
  /** `REASON NUMBER` for each write to a namespace that removed hosts. */
  const droppedIn = (namespace: string, { dropped }: HousekeepingFixture) =>
    dropped.filter((one) => one.startsWith(namespace)).map((one) => one.slice(namespace.length + 1));
  const hostsIn = async (namespace: string) => {
    const { hosts = {}, auths = {} } = (await readPullSecret(apiServer(), namespace)) ?? {};
    return { hosts: Object.keys(hosts), auths: Object.keys(auths) };
  };
  const [all, onlyReal] = [[real, 'public.ecr.aws', mapped], [real]].map((hosts) => ({
    hosts: hosts.toSorted(),
    auths: hosts.toSorted(),
  }));
  /** A Secret that a replica with the settings has filled; returns a replica without them, which knows the Secret. */
  const removeSettings = async () => {
    const namespace = await apiServer().createNamespace();
    const before = await startFixture(settings);
    assert.deepEqual(await before.secrets.ensure(namespace, registries), []);
    assert.deepEqual(await hostsIn(namespace), all);
    const replica = await startFixture({});
    await eventually('the replica knows the Secret', () => replica.secretCache.get(namespace) !== undefined);
    return { namespace, before, replica };
  };

  it('keep their valid tokens, also when other tokens are renewed', async () => {
    const { namespace, replica } = await removeSettings();
    const { auths: first = {} } = (await readPullSecret(apiServer(), namespace)) ?? {};
    replica.advanceClocks(7 * hourMs);
    ecr().step(7 * hourMs);
    await replica.renewNow();
    await replica.round();
    ecr().step(-7 * hourMs);
    assert.deepEqual(await hostsIn(namespace), all);
    const { auths = {} } = (await readPullSecret(apiServer(), namespace)) ?? {};
    assert.ok(auths[real]?.auth !== first[real]?.auth, 'the other token was renewed');
    assert.ok(auths[mapped]?.auth === first[mapped]?.auth, 'this one was not');
    assert.deepEqual(droppedIn(namespace, replica), []);
    assert.equal(replica.secretCache.get(namespace)?.isIntact, true);
  });

  it('leave the Secret when their tokens have expired, so that images can be pulled without them', async () => {
    const { namespace, replica } = await removeSettings();
    replica.advanceClocks(12 * hourMs + 60_000);
    await replica.round();
    assert.deepEqual(await hostsIn(namespace), onlyReal);
    assert.deepEqual(droppedIn(namespace, replica), ['unconfigured 2']);
    const [line] = replica.log.filter(
      ({ msg, namespace: of }) => msg === 'hosts dropped from the pull Secret' && of === namespace,
    );
    assert.deepEqual(line?.['hosts'], [mapped, 'public.ecr.aws'].toSorted());
    assert.equal(replica.missing.dueNamespaces(Number.POSITIVE_INFINITY).length, 0);
  });

  it('leave it with any write after that', async () => {
    const { namespace, replica } = await removeSettings();
    replica.advanceClocks(12 * hourMs);
    ecr().step(12 * hourMs);
    await replica.renewNow();
    ecr().step(-12 * hourMs);
    assert.deepEqual(await hostsIn(namespace), onlyReal);
    assert.deepEqual(droppedIn(namespace, replica), ['unconfigured 2']);
  });

  it('are renewed again by a replica that has the settings', async () => {
    const { namespace, before, replica } = await removeSettings();
    replica.advanceClocks(12 * hourMs + 60_000);
    await replica.round();
    await eventually('the other has seen it', () => before.secretCache.get(namespace)?.hosts.size === 1);
    assert.deepEqual(await before.secrets.ensure(namespace, registries), []);
    assert.deepEqual(await hostsIn(namespace), all);
  });

  it('can be removed with remove-host before that', async () => {
    const { namespace, replica } = await removeSettings();
    const { kubeconfigPath } = apiServer();
    const args = ['remove-host', '--namespace', namespace, mapped, 'public.ecr.aws'];
    const { code, stdout } = await runOnce(args, kubeconfigPath, {});
    assert.deepEqual([code, [...stdout.matchAll(/ removed\n/g)].length], [0, 2], stdout);
    assert.deepEqual(await hostsIn(namespace), onlyReal);
    await eventually(
      'the replica has seen it',
      () => replica.secretCache.get(namespace)?.unconfigured?.size === 0,
    );
    replica.advanceClocks(13 * hourMs);
    await replica.round();
    assert.deepEqual(droppedIn(namespace, replica), []);
  });
}
