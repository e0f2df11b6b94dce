// Tests that finding the registries in use takes bounded memory, whatever tenants write into the metadata of Secrets.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { readConfig } from '../../src/config/load-config.ts';
import { readAwsTargets } from '../../src/diagnosis/aws-use.ts';
import { startRawServer } from '../kube/raw-server.ts';
import { measureHeap } from '../support/heap.ts';

const host = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
const pages = 20;
const pageSize = 50;

/** A page of Secrets with 40 KB of metadata each. */
function listSecrets(page: number): object {
  const items = Array.from({ length: pageSize }, (_, index) => ({
    metadata: {
      ...{ name: 'ecr-pull-secrets', namespace: `n${page}-${index}`, uid: 'u', resourceVersion: '1' },
      labels: { 'app.kubernetes.io/managed-by': 'ecr-pull-secrets' },
      annotations: {
        'ecr-pull-secrets.io/hosts': JSON.stringify({ [host]: null }),
        other: 'x'.repeat(40_000),
      },
    },
  }));
  const next = page + 1 < pages ? String(page + 1) : '';
  return { metadata: { resourceVersion: '1', continue: next }, items };
}

it('the registries in use are found without keeping the metadata of all Secrets', async () => {
  const heap: number[] = [];
  const server = await startRawServer((_, response, url) => {
    heap.push(measureHeap());
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(listSecrets(Number(url.searchParams.get('continue') ?? 0))));
  });
  try {
    const installation = {
      ...({ viewpoint: 'inside', cluster: server.config, namespace: undefined, environment: {} } as const),
      config: readConfig('', 'the test'),
    };
    const { targets } = await readAwsTargets(installation, new AbortController().signal);
    assert.equal(targets.endpoints[0]?.registry.host, host);
    assert.equal(heap.length, pages);
    const megabytes = ((heap.at(-1) ?? 0) - (heap[0] ?? 0)) / 1024 / 1024;
    assert.ok(megabytes < 15, `${megabytes.toFixed(0)} MB`);
  } finally {
    await server.stop();
  }
});
