// Tests doctor's group of Secrets on a real API server: with the program's rights from inside, and with less from outside.
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import type { ReportTimeline } from '../../src/diagnosis/report-timeline.ts';
import { createSecretChecks } from '../../src/diagnosis/secret-checks.ts';
import { shareSurvey } from '../../src/diagnosis/secret-survey.ts';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { createAccountWithRules, podsRule, secretsRule } from '../provisioning/provisioning-fixture.ts';
import { eventually } from '../support/eventually.ts';
import { createPod, podWith } from '../support/pods.ts';
import { secretPath, secretsPath } from '../support/pull-secret.ts';
import { bindPolicy, createAdmissionPolicy, createSecretQuota } from '../support/secret-refusers.ts';
import {
  createFailingPod,
  editAnnotation,
  host,
  issuedHoursAgo,
  openTestInstallation,
  reportFailure,
  storePullSecret,
} from './stored-findings.ts';

describeOnCluster("doctor's group secrets", (cluster) => {
  let program: string;
  const created: string[] = [];
  const createNamespace = async () => {
    const name = await cluster().createNamespace();
    created.push(name);
    return name;
  };
  before(async () => {
    program = await createAccountWithRules(cluster(), [secretsRule, podsRule]);
  });
  /** Each test has the Secrets of the cluster to itself. */
  const cleanUp = async () => {
    for (const namespace of created.splice(0)) {
      await cluster().request('DELETE', secretPath(namespace));
      await cluster().request('DELETE', `/api/v1/namespaces/${namespace}/pods?gracePeriodSeconds=0`);
      await cluster().request('DELETE', `/api/v1/namespaces/${namespace}/events`);
    }
  };
  after(cleanUp);

  const results = async (
    kubeconfigPath = program,
    viewpoint: 'inside' | 'outside' = 'inside',
    onTimeline: (timeline: ReportTimeline) => void = () => undefined,
  ) => {
    const opened = openTestInstallation(kubeconfigPath, {}, viewpoint);
    return await opened.run(createSecretChecks(shareSurvey(), onTimeline)).finally(() => opened.close());
  };

  it('is ok where all tokens are valid and the Secret can be written, and returns the expiries', async () => {
    const namespace = await createNamespace();
    const lifetime = issuedHoursAgo(1);
    await storePullSecret(cluster(), namespace, new Map([[host, lifetime]]));
    const before = (await cluster().request('GET', secretPath(namespace))).body;
    let timeline: ReportTimeline = [];
    const found = await results(program, 'inside', (entries) => {
      timeline = entries;
    });
    assert.deepEqual(
      [...found].map(([check, { outcome }]) => [check, outcome]),
      [
        'secret-type',
        'secret-unmanaged',
        'secret-writable',
        'secret-full',
        'secret-edited',
        'secret-tokens',
      ].map((check) => [check, 'ok']),
    );
    assert.match(
      found.get('secret-tokens')?.text ?? '',
      /^1 token valid in 1 namespace; .+ expires in 10h59m/,
    );
    const expiresAt = Math.floor(lifetime.expiresAt / 1000) * 1000;
    assert.deepEqual(timeline, [{ namespace, host, expiresAt, failure: undefined }]);
    assert.deepEqual((await cluster().request('GET', secretPath(namespace))).body, before);
    await cleanUp();
  });

  it('names unmanaged Secrets, Secrets of another type and edited Secrets', async () => {
    const [unmanaged, otherType, edited] = [
      await createNamespace(),
      await createNamespace(),
      await createNamespace(),
    ];
    const labels = { 'app.kubernetes.io/managed-by': 'ecr-pull-secrets' };
    const type = 'kubernetes.io/dockerconfigjson';
    const data = { '.dockerconfigjson': btoa('{}') };
    await cluster().request('POST', secretsPath(unmanaged), {
      metadata: { name: 'ecr-pull-secrets' },
      type,
      data,
    });
    await cluster().request('POST', secretsPath(otherType), {
      metadata: { name: 'ecr-pull-secrets', labels },
    });
    await storePullSecret(cluster(), edited, new Map([[host, issuedHoursAgo(1)]]));
    await editAnnotation(cluster(), edited, {});
    const found = await results();
    const textOf = (check: string) => `${found.get(check)?.outcome}: ${found.get(check)?.text}`;
    assert.match(
      textOf('secret-unmanaged'),
      new RegExp(`^failed: Secret ${unmanaged}/ecr-pull-secrets exists, but`),
    );
    assert.match(
      textOf('secret-unmanaged'),
      new RegExp(`kubectl delete secret -n ${unmanaged} ecr-pull-secrets`),
    );
    assert.match(
      textOf('secret-type'),
      new RegExp(`^failed: Secret ${otherType}/ecr-pull-secrets is not of type`),
    );
    assert.match(textOf('secret-edited'), new RegExp(`^warning: .+ ${edited}, .+ changed its content`));
    await cleanUp();
  });

  it('names a quota that refuses the Secret of a waiting pod, although there is no Secret', async () => {
    const namespace = await createNamespace();
    await createSecretQuota(cluster(), namespace, 'no-secrets');
    await createFailingPod(cluster(), namespace);
    await reportFailure(cluster(), namespace, `${host}: exceeded quota`, 'PullTokenRefused');
    const found = await results();
    const { outcome, text = '' } = found.get('secret-writable') ?? {};
    assert.equal(outcome, 'failed');
    assert.match(
      text,
      new RegExp(`Secret ${namespace}/ecr-pull-secrets cannot be written: exceeded quota "no-secrets"`),
    );
    assert.match(text, /Raise that quota/);
    await cluster().request('DELETE', `/api/v1/namespaces/${namespace}/resourcequotas/no-secrets`);
    await cleanUp();
  });

  it('names a policy that refuses changes, an immutable Secret, and a missing right', async () => {
    const [policed, immutable] = [await createNamespace(), await createNamespace()];
    const expired = new Map([[host, issuedHoursAgo(13)]]);
    await storePullSecret(cluster(), policed, expired);
    await storePullSecret(cluster(), immutable, expired);
    const validations = [{ expression: 'false', message: 'no' }];
    await createAdmissionPolicy(cluster(), 'Validating', 'no-changes', { validations });
    await bindPolicy(cluster(), 'Validating', 'no-changes', policed);
    await eventually('the policy is in force', async () => {
      const path = `${secretsPath(policed)}?dryRun=All`;
      const { status } = await cluster().request('POST', path, { metadata: { name: 'probe' } });
      return status >= 400;
    });
    const options = { contentType: 'application/merge-patch+json' };
    await cluster().request('PATCH', secretPath(immutable), { immutable: true }, options);
    const found = await results();
    const text = found.get('secret-writable')?.text ?? '';
    assert.match(text, new RegExp(`${policed}: .+ValidatingAdmissionPolicy 'no-changes'`));
    assert.match(text, new RegExp(`${immutable}: .+the Secret is immutable`));
    // The Secrets explain the expired tokens.
    assert.equal(found.get('secret-tokens')?.outcome, 'skipped');

    const reader = await createAccountWithRules(cluster(), [{ ...secretsRule, verbs: ['get', 'list'] }]);
    assert.match(
      (await results(reader)).get('secret-writable')?.text ?? '',
      /no permission to patch secrets/,
    );
    await cleanUp();
  });

  it('names the cause in an Event, and says that it may not read it', async () => {
    const namespace = await createNamespace();
    await storePullSecret(cluster(), namespace, new Map([[host, undefined]]));
    await reportFailure(cluster(), namespace, `${host}: AWS returned AccessDeniedException`);
    const unused = (await results(cluster().kubeconfigPath, 'outside')).get('secret-tokens');
    assert.deepEqual([unused?.outcome, /which no pod needs/.test(unused?.text ?? '')], ['warning', true]);
    const references = { imagePullSecrets: [{ name: 'ecr-pull-secrets' }] };
    await createPod(cluster(), namespace, podWith([`${host}/app:1`], references));
    const outside = await results(cluster().kubeconfigPath, 'outside');
    const { outcome, text = '' } = outside.get('secret-tokens') ?? {};
    assert.equal(outcome, 'failed');
    assert.match(text, /^1 host without a valid token in 1 namespace: AWS returned AccessDeniedException/);
    assert.equal(outside.get('secret-writable')?.outcome, 'skipped');
    assert.match(
      (await results()).get('secret-tokens')?.text ?? '',
      /the cause is not known, because there is no right to list events/,
    );
    await cleanUp();
  });

  it('is skipped without the right to list Secrets', async () => {
    const nobody = await createAccountWithRules(cluster(), [podsRule]);
    const found = await results(nobody, 'outside');
    assert.deepEqual(
      [...found].map(([check, { outcome }]) => [check, outcome]),
      [['secret-tokens', 'skipped']],
    );
    assert.match(found.get('secret-tokens')?.text ?? '', /there is no right to list secrets/);
  });
});
