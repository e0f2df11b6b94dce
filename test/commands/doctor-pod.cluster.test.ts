// Tests doctor pod and doctor image with the real program, a real API server, and a real registry behind ECR's hosts.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, it } from 'node:test';
import { stringify } from 'yaml';
import type { Chain } from '../../src/diagnosis/chain.ts';
import type { CheckResult } from '../../src/diagnosis/check.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { type FailingPodOptions, createFailingPod as storeFailingPod } from '../diagnosis/stored-findings.ts';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { createAccountWithRules } from '../provisioning/provisioning-fixture.ts';
import { denyPull, type EcrHosts, type InterceptedResponse, startEcrHosts } from '../pull/ecr-hosts.ts';
import { type Registry, startRegistry } from '../pull/local-registry.ts';
import { findPullTestObstacle } from '../pull/pull-tools.ts';
import { eventually } from '../support/eventually.ts';
import {
  expectCreated,
  installServiceAccount,
  type RegisteredWebhook,
  registerWebhook,
} from '../support/installation.ts';
import { type RunningProgram, startProgram } from '../support/program.ts';
import { readPullSecret } from '../support/pull-secret.ts';
import { declareUnless } from '../support/required-tools.ts';
import { type Ended, runCommand } from './run-command.ts';

const host = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
const image = `${host}/cart:1`;
const name = 'doctor pod and doctor image';

declareUnless(findPullTestObstacle(process.env), name, () => describeOnCluster(name, suite));

function suite(cluster: () => Cluster): void {
  let ecr: EcrDouble;
  let registry: Registry;
  let hosts: EcrHosts;
  let program: RunningProgram;
  let webhook: RegisteredWebhook;
  let folder: string;
  let kubeconfigPath: string;
  let intercepted: InterceptedResponse | undefined;

  before(async () => {
    ecr = await startEcrDouble();
    registry = await startRegistry();
    await registry.push('cart', '1');
    await registry.pushIndex('shop/cart', '1', ['linux/amd64']);
    hosts = await startEcrHosts({
      ecr,
      regions: ['eu-central-1', 'eu-west-1'],
      socketPath: registry.socketPath,
      intercept: () => intercepted,
    });
    folder = await mkdtemp(join(tmpdir(), 'doctor-'));
    await writeFile(join(folder, 'ca.crt'), hosts.caPem);
    kubeconfigPath = await installServiceAccount(cluster(), { watchesNamespaces: true });
    program = await startProgram({ kubeconfigPath, environment: ecr.env() });
    webhook = await registerWebhook(cluster(), program);
  });
  beforeEach(() => {
    intercepted = undefined;
  });
  after(async () => {
    await webhook?.remove();
    await program?.stop();
    await hosts?.stop();
    await registry?.stop();
    await ecr?.stop();
    await rm(folder, { recursive: true });
  });

  /** Runs a command with the program's rights, or with those of a kubeconfig from another machine. */
  async function run(
    args: readonly string[],
    settings: Record<string, unknown> = {},
    outsideKubeconfig?: string,
  ): Promise<Ended> {
    const file = join(folder, 'config.yaml');
    await writeFile(file, stringify({ ...settings, kubernetes: { kubeconfig: kubeconfigPath } }));
    const where = outsideKubeconfig === undefined ? ['--config', file] : ['--kubeconfig', outsideKubeconfig];
    const environment = {
      ...ecr.env(),
      HTTPS_PROXY: hosts.proxyUrl,
      AWS_CA_BUNDLE: join(folder, 'ca.crt'),
    };
    const ended = await runCommand(['doctor', ...args, ...where], { environment });
    const shown = ended.stdout + ended.stderr;
    assert.ok(ecr.secrets().every((secret) => !shown.includes(secret)));
    return ended;
  }

  async function examine(
    ...call: Parameters<typeof run>
  ): Promise<{ code: number; checks: readonly CheckResult[] }> {
    const [args, ...rest] = call;
    const { code, stdout } = await run([...args, '--output', 'json'], ...rest);
    const { parts }: Chain = JSON.parse(stdout);
    return { code, checks: parts.flatMap(({ checks }) => checks) };
  }

  function firstFailed(checks: readonly CheckResult[]): CheckResult {
    const found = checks.find(({ outcome }) => outcome === 'failed');
    assert.ok(found, JSON.stringify(checks, undefined, 1));
    return found;
  }

  function outcomeOf(checks: readonly CheckResult[], name: string): string | undefined {
    return checks.find(({ check }) => check === name)?.outcome;
  }

  /** Creates a pod, as the kubelet shows it while it cannot pull. Returns its namespace and name. */
  async function createFailingPod(
    namespace: string,
    of = image,
    more: Pick<FailingPodOptions, 'spec' | 'annotations'> = {},
  ): Promise<string> {
    const message = `Back-off pulling image "${of}"`;
    const options = { image: of, hasReference: false, message, ...more };
    return `${namespace}/${await storeFailingPod(cluster(), namespace, options)}`;
  }

  async function createNamespaceWithToken(): Promise<string> {
    const namespace = await webhook.createNamespace();
    await createFailingPod(namespace);
    await eventually('the token', async () => (await readPullSecret(cluster(), namespace))?.auths[host]);
    return namespace;
  }

  it('find nothing wrong with a pod whose image can be pulled', async () => {
    const namespace = await createNamespaceWithToken();
    const pod = await createFailingPod(namespace);
    const { code, checks } = await examine(['pod', pod]);
    assert.equal(code, 0, JSON.stringify(checks, undefined, 1));
    for (const name of ['pod-injection', 'pod-reference', 'pull-secret', 'pull-token', 'image-manifest']) {
      assert.equal(outcomeOf(checks, name), 'ok', name);
    }
    const { stdout } = await run(['pod', pod]);
    assert.match(stdout, new RegExp(`^pod ${pod}\n`));
    assert.match(stdout, /\[ok\] .* returns the manifest of cart:1/);
  });

  it('name what is missing: the pod, the tag or the platform', async () => {
    const namespace = await createNamespaceWithToken();
    const none = await examine(['pod', `${namespace}/none`]);
    assert.equal(none.code, 1);
    assert.match(firstFailed(none.checks).summary, /pod .*\/none does not exist/);

    const noTag = await examine(['pod', await createFailingPod(namespace, `${host}/cart:2`)]);
    assert.match(firstFailed(noTag.checks).summary, /repository cart of .* has no tag 2/);

    const noPlatform = await createFailingPod(namespace, `${host}/shop/cart:1`, {
      spec: { nodeSelector: { 'kubernetes.io/arch': 'arm64' } },
    });
    const { checks } = await examine(['pod', noPlatform]);
    assert.match(firstFailed(checks).summary, /not available for linux\/arm64, only for linux\/amd64/);
  });

  it('name the action and the ARN if ECR refuses the pull', async () => {
    const namespace = await createNamespaceWithToken();
    const message =
      'User: arn:aws:iam::111122223333:user/puller is not authorized to perform: ecr:BatchGetImage on resource: ' +
      'arn:aws:ecr:eu-central-1:123456789012:repository/cart because no resource-based policy allows the ecr:BatchGetImage action';
    intercepted = denyPull(message);
    const { code, checks } = await examine(['image', image, '--namespace', namespace]);
    assert.equal(code, 1);
    const { summary, remedy = '' } = firstFailed(checks);
    assert.match(summary, /arn:aws:iam::111122223333:user\/puller is denied ecr:BatchGetImage on/);
    assert.match(
      remedy,
      /another account .* repository policy of arn:aws:ecr:eu-central-1:123456789012:repository\/cart/,
    );
  });

  it('name why the webhook skips the pod, and not what follows from it', async () => {
    const namespace = await webhook.createNamespace();
    const optOut = { 'ecr-pull-secrets.io/inject': 'false' };
    const optedOut = await examine([
      'pod',
      await createFailingPod(namespace, image, { annotations: optOut }),
    ]);
    assert.match(firstFailed(optedOut.checks).summary, /annotation ecr-pull-secrets\.io\/inject=false/);

    const excluded = { exclude: { namespaces: [namespace] } };
    const other = await examine(
      ['pod', await createFailingPod(namespace, image, { annotations: optOut })],
      excluded,
    );
    assert.match(firstFailed(other.checks).summary, new RegExp(`excludes namespace ${namespace}`));

    const denied = await examine(['image', image, '--namespace', namespace], {
      registries: [{ access: 'deny' }],
    });
    assert.match(firstFailed(denied.checks).summary, /registries\[0\] of the configuration denies/);

    const similar = '12345678901.dkr.ecr.eu-central-1.amazonaws.com';
    const misspelt = await examine(['pod', await createFailingPod(namespace, `${similar}/cart:1`)]);
    assert.match(
      firstFailed(misspelt.checks).summary,
      /looks like a host of Amazon ECR, but is not one: .* 11 digits/,
    );

    for (const { checks } of [optedOut, other, denied, misspelt]) {
      assert.equal(checks.filter(({ outcome }) => outcome === 'failed').length, 1);
    }
  });

  it('name a namespace that is opted out by its label', async () => {
    const namespace = await cluster().createNamespace();
    await cluster().request(
      'PATCH',
      `/api/v1/namespaces/${namespace}`,
      { metadata: { labels: { 'ecr-pull-secrets.io/inject': 'false' } } },
      { contentType: 'application/merge-patch+json' },
    );
    const pod = await createFailingPod(namespace);
    const { checks } = await examine(['pod', pod]);
    const { summary, remedy } = firstFailed(checks);
    assert.match(summary, /has the label ecr-pull-secrets\.io\/inject=false/);
    assert.match(remedy ?? '', /kubectl label namespace/);
  });

  it('name a pod that was created without the webhook', async () => {
    const namespace = await cluster().createNamespace();
    const { checks } = await examine(['pod', await createFailingPod(namespace)]);
    assert.equal(firstFailed(checks).check, 'pod-reference');
    assert.equal(outcomeOf(checks, 'pull-secret'), 'skipped');
  });

  it('name a Secret that the program does not manage', async () => {
    const namespace = await webhook.createNamespace();
    await expectCreated(cluster(), `/api/v1/namespaces/${namespace}/secrets`, {
      apiVersion: 'v1',
      kind: 'Secret',
      type: 'Opaque',
      metadata: { name: 'ecr-pull-secrets' },
    });
    const { checks } = await examine(['pod', await createFailingPod(namespace)]);
    assert.match(firstFailed(checks).summary, /has the wrong type/);
    assert.equal(checks.filter(({ outcome }) => outcome === 'failed').length, 1);
  });

  it('name a host that waits for its token', async () => {
    const other = '123456789012.dkr.ecr.eu-west-1.amazonaws.com';
    const gate = ecr.hold({ region: 'eu-west-1' });
    const namespace = await webhook.createNamespace();
    const pod = await createFailingPod(namespace, `${other}/cart:1`);
    const { checks } = await examine(['pod', pod]);
    gate.open();
    assert.match(firstFailed(checks).summary, /eu-west-1\.amazonaws\.com waits for its first token since/);
    assert.equal(outcomeOf(checks, 'image-manifest'), 'skipped');
  });

  it('follow an image with the token of any namespace that has one', async () => {
    await createNamespaceWithToken();
    const { code, checks } = await examine(['image', image]);
    assert.equal(code, 0, JSON.stringify(checks, undefined, 1));
    assert.equal(outcomeOf(checks, 'image-manifest'), 'ok');
    const unused = await examine(['image', `999999999999.dkr.ecr.eu-central-1.amazonaws.com/cart:1`]);
    assert.equal(unused.code, 0);
    assert.match(unused.checks.at(-1)?.summary ?? '', /no namespace has a valid token/);
  });

  it('skip what a developer may not read, and say so', async () => {
    const namespace = await createNamespaceWithToken();
    const pod = await createFailingPod(namespace);
    const rules = [{ apiGroups: [''], resources: ['pods', 'events'], verbs: ['get', 'list'] }];
    const developer = await createAccountWithRules(cluster(), rules, namespace);
    await expectCreated(cluster(), `/api/v1/namespaces/${namespace}/events`, {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: 'pull' },
      involvedObject: { apiVersion: 'v1', kind: 'Pod', namespace, name: pod.split('/')[1] },
      ...{ type: 'Warning', reason: 'Failed', lastTimestamp: new Date().toISOString() },
      message: 'Failed to pull image "cart:1": \u001b[31mdenied\nfailed',
    });
    const { code, checks } = await examine(['pod', pod], {}, developer);
    assert.equal(code, 0, JSON.stringify(checks, undefined, 1));
    assert.equal(outcomeOf(checks, 'pod-reference'), 'ok');
    assert.match(JSON.stringify(checks), /no right to get secrets named ecr-pull-secrets/);
    const { stdout } = await run(['pod', pod], {}, developer);
    assert.match(stdout, /Failed to pull image "cart:1": <U\+001B>\[31mdenied failed/);
  });
}
