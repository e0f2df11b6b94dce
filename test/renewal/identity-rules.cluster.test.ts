// Each kind of identity rule with the whole program, a real API server, and doubles of ECR and STS that verify who calls.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, it } from 'node:test';
import { getField, getItems } from '../../src/util/json.ts';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import type { RoleTrust } from '../doubles/ecr/sts-sessions.ts';
import { createAccountWithRules, createServiceAccount } from '../provisioning/provisioning-fixture.ts';
import { eventually } from '../support/eventually.ts';
import { type RegisteredWebhook, registerWebhook } from '../support/installation.ts';
import { readOidcProviders } from '../support/oidc-issuer.ts';
import { createPod, podWith } from '../support/pods.ts';
import { type RunningProgram, startProgram } from '../support/program.ts';
import { readPullSecret } from '../support/pull-secret.ts';

const host = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
const audience = 'sts.amazonaws.com';
const roleArn = (name: string) => `arn:aws:iam::123456789012:role/${name}`;
const sessionPolicy = { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }] };
const registries = [
  {
    namespaces: { names: ['payments-*'] },
    webIdentity: { serviceAccount: 'ecr-pull' },
    allowedRoles: [roleArn('ecr-payments-*')],
  },
  {
    namespaces: { selector: 'identity=tags' },
    roleArn: roleArn('ecr-tags'),
    externalId: 'tenant-1',
    sessionTags: { 'kubernetes-namespace': '{namespace}' },
    sessionPolicy,
  },
  { namespaces: { selector: 'identity=template' }, roleArn: roleArn('ecr-{namespace}') },
  { namespaces: { selector: 'identity=profile' }, credentials: { profile: 'other' } },
  { namespaces: { selector: 'identity=denied' }, access: 'deny' },
];
const permissions = [
  {
    apiGroups: [''],
    resources: ['secrets'],
    resourceNames: ['ecr-pull-secrets'],
    verbs: ['get', 'list', 'watch', 'create', 'patch'],
  },
  { apiGroups: [''], resources: ['events'], verbs: ['create'] },
  { apiGroups: [''], resources: ['pods'], verbs: ['list'] },
  { apiGroups: [''], resources: ['namespaces'], verbs: ['list', 'watch'] },
  { apiGroups: [''], resources: ['serviceaccounts'], resourceNames: ['ecr-pull'], verbs: ['list', 'watch'] },
  { apiGroups: [''], resources: ['serviceaccounts/token'], resourceNames: ['ecr-pull'], verbs: ['create'] },
];

describeOnCluster('identity rules', (cluster) => {
  const roles: Record<string, RoleTrust> = {};
  let directory: string;
  let issuer: string;
  let ecr: EcrDouble;
  let program: RunningProgram;
  let webhook: RegisteredWebhook;
  before(async () => {
    const oidcProviders = await readOidcProviders(cluster(), audience);
    [issuer = ''] = Object.keys(oidcProviders);
    ecr = await startEcrDouble({ roles, oidcProviders });
    directory = await mkdtemp(join(tmpdir(), 'identity-rules-'));
    const { accessKeyId, secretAccessKey } = ecr.createUser('arn:aws:iam::123456789012:user/other');
    const credentialsFile = join(directory, 'credentials');
    const keys = `aws_access_key_id=${accessKeyId}\naws_secret_access_key=${secretAccessKey}`;
    await writeFile(credentialsFile, `[other]\n${keys}\n`);
    program = await startProgram({
      kubeconfigPath: await createAccountWithRules(cluster(), permissions),
      environment: { ...ecr.env(), AWS_SHARED_CREDENTIALS_FILE: credentialsFile },
      config: { registries },
    });
    webhook = await registerWebhook(cluster(), program);
  });
  after(async () => {
    await webhook?.remove();
    await program?.stop();
    await ecr?.stop();
    await rm(directory, { recursive: true, force: true });
  });

  async function merge(path: string, metadata: object): Promise<void> {
    const { status } = await cluster().request(
      'PATCH',
      path,
      { metadata },
      { contentType: 'application/merge-patch+json' },
    );
    assert.equal(status, 200, path);
  }

  const setIdentity = (namespace: string, identity: string | null) =>
    merge(`/api/v1/namespaces/${namespace}`, { labels: { identity } });
  const setRole = (namespace: string, arn: string | null) =>
    merge(`/api/v1/namespaces/${namespace}/serviceaccounts/ecr-pull`, {
      annotations: { 'eks.amazonaws.com/role-arn': arn },
    });
  const admit = (namespace: string) => createPod(cluster(), namespace, podWith([`${host}/app`]));
  /** Who fetched the token that a namespace's Secret holds: a role, or a user. */
  const readOwner = async (namespace: string) => {
    const auth = (await readPullSecret(cluster(), namespace))?.auths[host]?.auth;
    const issued = auth === undefined ? undefined : ecr.findIssued(auth);
    return issued?.origin?.roleArn ?? issued?.principal;
  };
  const waitForOwner = (namespace: string, owner: string) =>
    eventually(`${namespace} has a token of ${owner}`, async () => (await readOwner(namespace)) === owner);
  /** The namespace's role for {@link registries}, with a trust policy for one kind of rule. */
  const trustRole = (namespace: string, trust: RoleTrust = {}) => {
    roles[roleArn(`ecr-${namespace}`)] = trust;
    return roleArn(`ecr-${namespace}`);
  };
  const trustServiceAccount = (namespace: string) =>
    trustRole(namespace, {
      webIdentity: { issuer, subject: `system:serviceaccount:${namespace}:ecr-pull`, audience },
    });
  const withIdentity = async (identity: string) => {
    const namespace = await webhook.createNamespace();
    await setIdentity(namespace, identity);
    return namespace;
  };

  it('fetch tokens as the program itself if no rule matches', async () => {
    const namespace = await webhook.createNamespace();
    assert.deepEqual((await admit(namespace)).warnings, []);
    assert.match(String(await readOwner(namespace)), /:user\//);
  });

  it('assume one role with the namespace as a session tag, an external ID and a policy', async () => {
    const namespace = await withIdentity('tags');
    roles[roleArn('ecr-tags')] = {
      externalId: 'tenant-1',
      sessionTags: { 'kubernetes-namespace': namespace },
      sessionPolicy: JSON.stringify(sessionPolicy),
    };
    await admit(namespace);
    await waitForOwner(namespace, roleArn('ecr-tags'));
  });

  it('assume a role for each namespace, which is named in the warning if it does not exist', async () => {
    const [namespace, other] = [await withIdentity('template'), await withIdentity('template')];
    const role = trustRole(namespace);
    await admit(namespace);
    await waitForOwner(namespace, role);
    await eventually('the rule applies', async () => {
      const { warnings } = await admit(other);
      return warnings.some((text) => text.startsWith(`no pull token for ${host}: `));
    });
    assert.equal(await readOwner(other), undefined);
    const failure = await eventually('the log names the role', () =>
      program.log().find((line) => JSON.stringify(line).includes(`role/ecr-${other}`)),
    );
    assert.match(JSON.stringify(failure), /registries\[2\]/);
    await setIdentity(other, null);
    await eventually('no rule applies any more', async () => /:user\//.test(String(await readOwner(other))));
  });

  it('use a profile of the shared AWS files', async () => {
    const namespace = await withIdentity('profile');
    await admit(namespace);
    await waitForOwner(namespace, 'arn:aws:iam::123456789012:user/other');
  });

  it('exchange a token of the namespace’s ServiceAccount for a session of the role in its annotation', async () => {
    const namespace = await webhook.createNamespace('payments-a');
    const role = trustServiceAccount(namespace);
    await createServiceAccount(cluster(), namespace, 'ecr-pull');
    await setRole(namespace, role);
    await admit(namespace);
    await waitForOwner(namespace, role);
    const auth = (await readPullSecret(cluster(), namespace))?.auths[host]?.auth ?? '';
    assert.equal(ecr.findIssued(auth)?.origin?.subject, `system:serviceaccount:${namespace}:ecr-pull`);
  });

  it('follow the annotation: added later, changed, outside allowedRoles, and removed', async () => {
    const namespace = await webhook.createNamespace('payments-b');
    const role = trustServiceAccount(namespace);
    await createServiceAccount(cluster(), namespace, 'ecr-pull');
    const { pullSecrets } = await admit(namespace);
    assert.deepEqual(pullSecrets, ['ecr-pull-secrets']);
    assert.equal(await readOwner(namespace), undefined);
    await setRole(namespace, role);
    await waitForOwner(namespace, role);

    const second = `${role}-2`;
    roles[second] = roles[role] ?? {};
    await setRole(namespace, second);
    await waitForOwner(namespace, second);

    for (const value of [roleArn('administrator'), null]) {
      await setRole(namespace, value);
      await eventually('the host counts as failing until the operator acts', async () =>
        /failing_hosts\{permanent="true"\} [1-9]/.test(await program.metrics()),
      );
      assert.equal(await readOwner(namespace), second, 'the old token stays');
      await setRole(namespace, second);
      await eventually('it does not fail any more', async () =>
        /failing_hosts\{permanent="true"\} 0/.test(await program.metrics()),
      );
    }
    await setRole(namespace, role);
    await waitForOwner(namespace, role);
  });

  it('apply to a namespace that moves between them, to deny and back', async () => {
    const namespace = await withIdentity('template');
    const role = trustRole(namespace);
    await admit(namespace);
    await waitForOwner(namespace, role);

    await setIdentity(namespace, 'profile');
    await waitForOwner(namespace, 'arn:aws:iam::123456789012:user/other');

    await setIdentity(namespace, 'denied');
    await eventually('the token is removed', async () => {
      const secret = await readPullSecret(cluster(), namespace);
      return (
        secret !== undefined && Object.keys(secret.auths).length + Object.keys(secret.hosts).length === 0
      );
    });
    const denied = await admit(namespace);
    assert.deepEqual(denied.pullSecrets, []);
    assert.deepEqual(denied.warnings, [`no pull token for ${host}: denied by registries[4]`]);
    await eventually('an Event names the rule', async () => {
      const { body } = await cluster().request('GET', `/api/v1/namespaces/${namespace}/events`);
      return getItems(getField(body, 'items')).some(
        (event) =>
          getField(event, 'reason') === 'PullTokenDenied' &&
          String(getField(event, 'message')).includes('registries[4]'),
      );
    });

    await setIdentity(namespace, 'template');
    await eventually('pods get the reference again', async () => {
      return (await admit(namespace)).pullSecrets.includes('ecr-pull-secrets');
    });
    await waitForOwner(namespace, role);
    await setIdentity(namespace, null);
    await eventually('the program itself', async () =>
      /:user\/(?!other)/.test(String(await readOwner(namespace))),
    );
  });
});
