// Tests what explain says about the pods of manifests, with the decision of the webhook and without a cluster.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { stringify } from 'yaml';
import { type Ended, runCommand } from './run-command.ts';

const host = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
const publicImage = 'docker.io/library/nginx:1';

const podOf = (images: readonly string[], more: Record<string, unknown> = {}) => ({
  metadata: { name: 'cart', ...Object(more['metadata']) },
  spec: { containers: images.map((image, index) => ({ name: `c${index}`, image })), ...Object(more['spec']) },
});

describe('explain', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'explain-'));
  });
  after(() => rm(folder, { recursive: true }));

  async function explain(
    documents: readonly object[] | string,
    settings: object = {},
    args: readonly string[] = [],
  ): Promise<Ended> {
    const [manifest, config] = [join(folder, 'manifest.yaml'), join(folder, 'config.yaml')];
    const text =
      typeof documents === 'string' ? documents : documents.map((one) => stringify(one)).join('---\n');
    await writeFile(manifest, text);
    await writeFile(config, stringify(settings));
    return await runCommand(['explain', '-f', manifest, '--config', config, ...args]);
  }

  const explainFirst = async (...args: Parameters<typeof explain>) => {
    const [documents, settings, more = []] = args;
    const { stdout } = await explain(documents, settings, [...more, '--output', 'json']);
    return JSON.parse(stdout).pods[0];
  };

  it('shows the patch, the registries and the resulting references of a Deployment', async () => {
    const template = podOf([`${host}/cart:1`, publicImage], {
      spec: { imagePullSecrets: [{ name: 'mine' }] },
    });
    const deployment = {
      kind: 'Deployment',
      metadata: { name: 'cart', namespace: 'shop' },
      spec: { template },
    };
    const service = { kind: 'Service', metadata: { name: 'cart' }, spec: {} };
    const { code, stdout } = await explain([deployment, service]);
    assert.equal(code, 0);
    assert.equal(
      stdout,
      [
        'Deployment shop/cart gets the reference to the pull Secret',
        '  because            it has an image in a registry of Amazon ECR (ecr-image)',
        `  registry           ${host}: token of the program's own identity`,
        '  patch              [{"op":"add","path":"/spec/imagePullSecrets/-","value":{"name":"ecr-pull-secrets"}}]',
        '  imagePullSecrets   mine, ecr-pull-secrets',
        '',
        'without a pod: Service/cart',
        '',
      ].join('\n'),
    );
  });

  it('says why a pod is skipped', async () => {
    const pod = (...args: Parameters<typeof podOf>) => ({ kind: 'Pod', ...podOf(...args) });
    const ecrPod = pod([`${host}/x`]);
    const optedOut = pod([`${host}/x`], {
      metadata: { annotations: { 'ecr-pull-secrets.io/inject': 'false' } },
    });
    const cases = [
      [pod([publicImage]), {}, 'no-ecr-image'],
      [optedOut, {}, 'opted-out'],
      [ecrPod, { exclude: { namespaces: ['def*'] } }, 'namespace-excluded'],
      [ecrPod, { exclude: { accounts: ['123456789012'] } }, 'account-excluded'],
      [ecrPod, { registries: [{ accounts: ['123456789012'], access: 'deny' }] }, 'denied-by-rule'],
    ] as const;
    for (const [one, settings, reason] of cases) {
      const found = await explainFirst([one], settings);
      assert.deepEqual([found.action, found.reason], ['skip', reason]);
      assert.notEqual(found.text, '');
    }
    const referring = pod([`${host}/x`], { spec: { imagePullSecrets: [{ name: 'ecr-pull-secrets' }] } });
    assert.deepEqual((await explainFirst([referring])).action, 'keep');
  });

  it('evaluates rules with the labels that are given, and says which ones are missing', async () => {
    const roleArn = 'arn:aws:iam::111122223333:role/shop';
    const settings = { registries: [{ namespaces: { selector: 'team=shop' }, roleArn }] };
    const pod = [{ kind: 'Pod', ...podOf([`${host}/x`]) }];
    const identityOf = async (args: readonly string[]) =>
      (await explainFirst(pod, settings, args)).registries[0].identity;
    assert.deepEqual(await identityOf(['--namespace-labels', 'team=shop,env=prod']), {
      kind: 'role',
      roleArn,
      rule: 'registries[0]',
    });
    assert.equal((await identityOf(['--namespace-labels', 'team=cart'])).kind, 'own');
    const { stdout } = await explain(pod, settings);
    assert.match(stdout, /pass them with --namespace-labels/);
  });

  it('takes into account for which namespaces the webhook is called', async () => {
    const settings = {
      catchUp: {
        namespaces: { selector: 'ecr-pull-secrets.io/inject!=false,kubernetes.io/metadata.name!=own' },
      },
    };
    const pod = [{ kind: 'Pod', ...podOf([`${host}/x`]) }];
    const actionOf = async (...args: string[]) => (await explainFirst(pod, settings, args)).action;
    assert.equal(await actionOf('--namespace-labels', 'ecr-pull-secrets.io/inject=false'), 'skip');
    assert.equal(await actionOf('--namespace-labels', 'a=b'), 'inject');
    assert.equal(await actionOf('--namespace-labels', 'a=b', '--namespace', 'own'), 'skip');
    assert.match((await explain(pod, settings)).stdout, /the API server calls the webhook only for/);
  });

  it('reads standard input with several documents', async () => {
    const text = [podOf([`${host}/a`]), podOf([publicImage])]
      .map((pod) => JSON.stringify({ kind: 'Pod', ...pod }))
      .join('\n---\n');
    const { stdout } = await runCommand(['explain', '-f', '-', '--output', 'json'], {
      stdin: streamOf(text),
    });
    assert.deepEqual(
      JSON.parse(stdout).pods.map(({ action }: { action: string }) => action),
      ['inject', 'skip'],
    );
  });

  it('never shows values of environment variables, or the manifest in an error', async () => {
    const secret = 'hunter2-hunter2';
    const containers = [{ name: 'app', image: `${host}/x`, env: [{ name: 'PASSWORD', value: secret }] }];
    const pod = { kind: 'Pod', metadata: { name: 'cart' }, spec: { containers } };
    for (const format of ['text', 'json']) {
      const { stdout } = await explain([pod], {}, ['--output', format]);
      assert.ok(!stdout.includes(secret) && !stdout.includes('PASSWORD'));
    }
    await assert.rejects(explain(`kind: Pod\n  password: ${secret}\n: [`), (error: Error) => {
      assert.match(error.message, /manifest\.yaml is not valid YAML in line \d+ \(\w+\)$/);
      assert.ok(!error.message.includes(secret));
      return true;
    });
  });

  it('shows no key of a manifest in a warning', async (t) => {
    const warnings = t.mock.method(process, 'emitWarning', () => undefined);
    await explain(
      'kind: Pod\nspec: { containers: [{ image: a/b, env: [{ ? { PASSWORD: hunter2 } : x }] }] }\n',
    );
    assert.equal(warnings.mock.callCount(), 0);
  });

  it('resolves merge keys as kubectl does', async () => {
    const text = `base: &base\n  image: ${host}/x\nkind: Pod\nspec:\n  containers:\n  - <<: *base\n    name: app\n`;
    assert.equal((await explainFirst(text)).action, 'inject');
  });

  it('reports a manifest that cannot be read', async () => {
    await assert.rejects(
      runCommand(['explain', '-f', join(folder, 'gone')]),
      /gone cannot be read \(ENOENT\)/,
    );
    await writeFile(join(folder, 'utf16.yaml'), Buffer.from('\ufeffkind: Pod\n', 'utf16le'));
    await assert.rejects(
      runCommand(['explain', '-f', join(folder, 'utf16.yaml')]),
      /utf16\.yaml is not UTF-8/,
    );
    const bomb = `a: &a [x]\nb: &b [${'*a,'.repeat(200)}]\nc: [${'*b,'.repeat(200)}]`;
    await assert.rejects(explain(bomb), /has too many YAML aliases/);
    await assert.rejects(
      explain('kind: Pod\nmetadata: { name: *canary-5e }'),
      /has a YAML alias that is not defined; put texts that begin with \* in quotes/,
    );
    await assert.rejects(explain('kind: *later\nmetadata: &later {}'), /alias that is not defined/);
  });
});

async function* streamOf(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}
