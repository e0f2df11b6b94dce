// Tests that reading the pull Secrets of very many namespaces takes bounded memory, whatever tenants store.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readConfig } from '../../src/config/load-config.ts';
import { shareSurvey, surveySecrets } from '../../src/diagnosis/secret-survey.ts';
import { startRawServer } from '../kube/raw-server.ts';
import { measureHeap } from '../support/heap.ts';

const config = readConfig('', 'the test');
const pageSize = 500;

/** Starts an API server with Secrets in many namespaces, each with this annotation and 50 KB of others. */
async function startServerWith(namespaces: number, annotation: string) {
  const requests: string[] = [];
  const item = (index: number) => ({
    metadata: {
      ...{ name: 'ecr-pull-secrets', namespace: `n${index}`, uid: `u${index}`, resourceVersion: '1' },
      labels: { 'app.kubernetes.io/managed-by': 'ecr-pull-secrets' },
      annotations: { 'ecr-pull-secrets.io/hosts': annotation, other: 'x'.repeat(10_000) },
    },
  });
  const server = await startRawServer((_, response, url) => {
    requests.push(url.pathname);
    const isListed =
      url.pathname.endsWith('/secrets') && !url.searchParams.get('fieldSelector')?.includes('type!=');
    const from = Number(url.searchParams.get('continue') ?? 0);
    const to = Math.min(from + Math.min(pageSize, Number(url.searchParams.get('limit'))), namespaces);
    const next = isListed && to < namespaces ? String(to) : '';
    const items = isListed ? Array.from({ length: to - from }, (_, index) => item(from + index)) : [];
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ metadata: { resourceVersion: '1', continue: next }, items }));
  });
  return { ...server, requests };
}

function annotationWith(hosts: number, times: object): string {
  const name = (index: number) => `${String(index).padStart(12, '0')}.dkr.ecr.eu-central-1.amazonaws.com`;
  return JSON.stringify(
    Object.fromEntries(Array.from({ length: hosts }, (_, index) => [name(index), times])),
  );
}

describe('a survey of 10,000 namespaces', () => {
  const soon = {
    issuedAt: new Date().toISOString(),
    expiresAt: new Date(Date.now() + 43_200_000).toISOString(),
  };
  const signal = new AbortController().signal;

  it('keeps neither the metadata nor all hosts, and counts what it does not keep', async () => {
    const server = await startServerWith(10_000, annotationWith(40, soon));
    try {
      const before = measureHeap();
      const survey = await surveySecrets({ config, cluster: server.config }, everywhere, signal);
      const megabytes = (measureHeap() - before) / 1024 / 1024;
      assert.equal(survey.secrets.size, 10_000);
      assert.equal(survey.counts.valid, 400_000);
      assert.equal(survey.omittedHosts, 300_000);
      assert.ok(megabytes < 100, `${megabytes.toFixed(0)} MB`);
    } finally {
      await server.stop();
    }
  });

  it('keeps hosts with problems although many valid ones came first', async () => {
    const expired = { issuedAt: '2026-01-01T00:00:00Z', expiresAt: '2026-01-01T12:00:00Z' };
    const hosts = JSON.parse(annotationWith(60, soon));
    const annotation = JSON.stringify({ ...hosts, 'z.example.com': expired });
    const server = await startServerWith(2000, annotation);
    try {
      const survey = await surveySecrets({ config, cluster: server.config }, everywhere, signal);
      const last = survey.secrets.get('n1999');
      assert.deepEqual(
        last?.hosts.map(({ host, state }) => [host, state]),
        [['z.example.com', 'expired']],
      );
    } finally {
      await server.stop();
    }
  });

  it('is read once for several groups of checks', async () => {
    const server = await startServerWith(1, annotationWith(1, soon));
    try {
      const read = shareSurvey();
      const installation = { config, cluster: server.config };
      assert.equal(await read(installation, signal), await read(installation, signal));
      assert.equal(server.requests.filter((path) => path === '/api/v1/events').length, 1);
    } finally {
      await server.stop();
    }
  });
});

const everywhere = { names: undefined, includes: () => true };
