// Tests doctor's groups of pods and provisioning on a real API server.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createPodChecks } from '../../src/diagnosis/pod-checks.ts';
import { checkProvisioning } from '../../src/diagnosis/provisioning-checks.ts';
import { shareSurvey } from '../../src/diagnosis/secret-survey.ts';
import { listRunningPods } from '../../src/kube/pods.ts';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import {
  createAccountWithRules,
  createLabelledNamespace,
  createServiceAccount,
  podsRule,
  secretsRule,
} from '../provisioning/provisioning-fixture.ts';
import {
  createFailingPod,
  host,
  issuedHoursAgo,
  openTestInstallation,
  reportFailure,
  storePullSecret,
} from './stored-findings.ts';

describeOnCluster("doctor's groups pods and provisioning", (cluster) => {
  const podResults = async (settings: object = {}, kubeconfigPath = cluster().kubeconfigPath) => {
    const opened = openTestInstallation(kubeconfigPath, settings, 'outside');
    return await opened.run(createPodChecks(shareSurvey())).finally(() => opened.close());
  };
  const deletePods = (namespaces: readonly string[]) =>
    Promise.all(
      namespaces.map((name) =>
        cluster().request('DELETE', `/api/v1/namespaces/${name}/pods?gracePeriodSeconds=0`),
      ),
    );

  it('is ok without failing pods', async () => {
    const outcomes = [...(await podResults())].map(([check, { outcome }]) => [check, outcome]);
    assert.deepEqual(outcomes, [
      ['pods-without-reference', 'ok'],
      ['pods-waiting', 'ok'],
      ['pods-refused', 'ok'],
    ]);
  });

  it('groups failing pods by cause, and names each pod', async () => {
    const [valid, waiting, bare] = [
      await cluster().createNamespace('valid'),
      await cluster().createNamespace('waiting'),
      await cluster().createNamespace('bare'),
    ];
    await storePullSecret(cluster(), valid, new Map([[host, issuedHoursAgo(1)]]));
    await storePullSecret(cluster(), waiting, new Map([[host, undefined]]));
    await reportFailure(cluster(), waiting, `${host}: role does not exist`);
    const denied = 'User: x is not authorized to perform: ecr:BatchGetImage on resource: y';
    const pods = {
      refused: await createFailingPod(cluster(), valid, { message: denied }),
      notFound: await createFailingPod(cluster(), valid, { message: `${host}/cart:1: not found` }),
      waiting: await createFailingPod(cluster(), waiting),
      noSecret: await createFailingPod(cluster(), bare),
      noReference: await createFailingPod(cluster(), bare, { hasReference: false }),
      optedOut: await createFailingPod(cluster(), bare, {
        hasReference: false,
        annotations: { 'ecr-pull-secrets.io/inject': 'false' },
      }),
      foreign: await createFailingPod(cluster(), bare, { image: 'docker.io/library/nginx:1' }),
    };
    const found = await podResults();
    const textOf = (check: string) => `${found.get(check)?.outcome}: ${found.get(check)?.text}`;
    assert.match(
      textOf('pods-without-reference'),
      new RegExp(`^failed: pod ${bare}/${pods.noReference} cannot pull`),
    );
    assert.match(
      textOf('pods-excluded'),
      new RegExp(`^failed: pod ${bare}/${pods.optedOut} .+ the annotation`),
    );
    assert.match(textOf('pods-waiting'), /^failed: 2 pods cannot pull/);
    assert.match(
      textOf('pods-waiting'),
      new RegExp(`${waiting}/${pods.waiting}: .+ \\(role does not exist\\)`),
    );
    assert.match(
      textOf('pods-waiting'),
      new RegExp(`${bare}/${pods.noSecret}: namespace ${bare} has no such Secret`),
    );
    assert.match(
      textOf('pods-refused'),
      new RegExp(`^failed: pod ${valid}/${pods.refused} .+ecr:BatchGetImage is not allowed`),
    );
    assert.match(textOf('pods-image-not-found'), new RegExp(`^failed: pod ${valid}/${pods.notFound} `));
    assert.ok(![...found.values()].some(({ text }) => text.includes(pods.foreign)));

    const deny = { registries: [{ namespaces: { names: [bare] }, access: 'deny' }] };
    assert.match(
      (await podResults(deny)).get('pods-excluded')?.text ?? '',
      new RegExp(`^3 pods cannot pull, .+registries\\[0\\] denies namespace ${bare} the tokens of ${host}`),
    );
    const excluded = await podResults({ exclude: { namespaces: [bare] } });
    assert.match(excluded.get('pods-excluded')?.text ?? '', /^3 pods cannot pull, .+exclude.namespaces/);
    assert.equal(excluded.get('pods-without-reference')?.outcome, 'ok');
    await deletePods([valid, waiting, bare]);
  });

  it('says why there is no Secret if an Event about another host of the namespace names the refusal', async () => {
    const namespace = await cluster().createNamespace('refused');
    await createFailingPod(cluster(), namespace);
    const other = '210987654321.dkr.ecr.us-east-1.amazonaws.com';
    await reportFailure(cluster(), namespace, `${other}: exceeded quota "few"`, 'PullTokenRefused');
    assert.match(
      (await podResults()).get('pods-waiting')?.text ?? '',
      new RegExp(`: namespace ${namespace} has no such Secret \\(${other}: exceeded quota "few"\\)`),
    );
    await deletePods([namespace]);
  });

  it('says that a pod is excluded by the labels of its namespace', async () => {
    const namespace = await createLabelledNamespace(cluster(), { 'ecr-pull-secrets.io/inject': 'false' });
    await createFailingPod(cluster(), namespace, { hasReference: false });
    const selector = 'ecr-pull-secrets.io/inject!=false';
    const found = await podResults({ catchUp: { namespaces: { selector } } });
    assert.match(found.get('pods-excluded')?.text ?? '', /do not match the selector of the webhook/);
    await deletePods([namespace]);
  });

  it('reads the Events of a pod while the kubelet backs off', async () => {
    const namespace = await cluster().createNamespace();
    await storePullSecret(cluster(), namespace, new Map([[host, issuedHoursAgo(1)]]));
    const image = `${host}/cart:1`;
    const name = await createFailingPod(cluster(), namespace, {
      message: `Back-off pulling image "${image}"`,
    });
    const before = await podResults();
    assert.equal(before.get('pods-unexplained')?.outcome, 'warning');
    const time = new Date().toISOString();
    await cluster().request('POST', `/api/v1/namespaces/${namespace}/events`, {
      metadata: { name: 'pull' },
      involvedObject: { kind: 'Pod', namespace, name },
      ...{ type: 'Warning', reason: 'Failed', firstTimestamp: time, lastTimestamp: time, count: 1 },
      message: `Failed to pull image "${image}": rpc error: code = NotFound desc = ${image}: not found`,
    });
    assert.equal((await podResults()).get('pods-image-not-found')?.outcome, 'failed');
    await deletePods([namespace]);
  });

  it('finds running pods that cannot pull an image again, in a list of bounded length', async () => {
    const namespace = await cluster().createNamespace();
    const message = `${host}/cart:1: not found`;
    const names = [
      await createFailingPod(cluster(), namespace, { phase: 'Running', message }),
      await createFailingPod(cluster(), namespace, { phase: 'Running', message }),
    ];
    const text = (await podResults()).get('pods-image-not-found')?.text ?? '';
    assert.ok(
      names.every((name) => text.includes(`${namespace}/${name}`)),
      text,
    );
    const { installation, close } = openTestInstallation(cluster().kubeconfigPath);
    const list = async (maxPods: number) => {
      let listed = 0;
      const onPage = (pods: readonly unknown[]) => {
        listed += pods.length;
      };
      const limits = { pageSize: 1, maxPods, timeoutMs: 20_000 };
      const { signal } = new AbortController();
      return [await listRunningPods(installation.cluster, onPage, signal, limits), listed];
    };
    assert.deepEqual(await list(1), [false, 1]);
    assert.deepEqual(await list(10), [true, 2]);
    await close();
    await deletePods([namespace]);
  });

  it('does not guess without the right to list Secrets, and is skipped without the right to list pods', async () => {
    const namespace = await cluster().createNamespace();
    await createFailingPod(cluster(), namespace);
    const podReader = await createAccountWithRules(cluster(), [podsRule]);
    const found = await podResults({}, podReader);
    assert.equal(found.get('pods-waiting')?.outcome, 'skipped');
    assert.match(found.get('pods-waiting')?.text ?? '', /there is no right to list secrets/);
    const secretReader = await createAccountWithRules(cluster(), [secretsRule]);
    const skipped = [...(await podResults({}, secretReader)).values()].map(({ outcome }) => outcome);
    assert.deepEqual(skipped, ['skipped']);
    await deletePods([namespace]);
  });

  it('names provisioning settings that match nothing, and ServiceAccounts without the reference', async () => {
    const namespace = await cluster().createNamespace('shop');
    await createServiceAccount(cluster(), namespace, 'builder', {
      imagePullSecrets: [{ name: 'ecr-pull-secrets' }],
    });
    const run = async (
      names: readonly string[],
      serviceAccounts: readonly string[],
      kubeconfigPath?: string,
    ) => {
      const settings = { provisioning: { registries: [host], namespaces: { names }, serviceAccounts } };
      const opened = openTestInstallation(kubeconfigPath ?? cluster().kubeconfigPath, settings, 'outside');
      return await opened.run(checkProvisioning).finally(() => opened.close());
    };
    const misspelt = namespace.replace('shop', 'shpo');
    const wrong = await run([misspelt], ['builder']);
    assert.equal(wrong.get('provisioning-names')?.outcome, 'failed');
    assert.match(
      wrong.get('provisioning-names')?.text ?? '',
      new RegExp(`${misspelt}, .+ did you mean ${namespace}\\?`),
    );
    const missing = await run([namespace], ['builder', 'default']);
    assert.equal(missing.get('provisioning-names')?.outcome, 'ok');
    assert.match(
      missing.get('provisioning-references')?.text ?? '',
      new RegExp(`^ServiceAccount ${namespace}/default lacks the reference`),
    );
    assert.equal((await run([namespace], ['builder'])).get('provisioning-references')?.outcome, 'ok');
    const nobody = await createAccountWithRules(cluster(), [podsRule]);
    const skipped = await run([namespace], ['builder'], nobody);
    assert.deepEqual(
      [...skipped.values()].map(({ outcome }) => outcome),
      ['skipped'],
    );
    const off = openTestInstallation(cluster().kubeconfigPath);
    assert.equal((await off.run(checkProvisioning)).get('provisioning-names')?.outcome, 'ok');
    await off.close();
  });
});
