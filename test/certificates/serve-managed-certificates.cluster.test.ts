// Tests that a real API server calls the program with a certificate that the program issued itself.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { findFreePort } from '../cluster/server-process.ts';
import { startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { eventually } from '../support/eventually.ts';
import { createPod, podWith } from '../support/pods.ts';
import { bundleInto, startProgram } from '../support/program.ts';
import { createCertificatesFixture } from './managed-certificates-fixture.ts';

describeOnCluster('the program with managed certificates', (cluster) => {
  it('runs from its bundle, answers probes while it waits, and is called by the API server', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'bundle-'));
    const bundle = join(directory, 'main.mjs');
    await bundleInto(bundle);
    const port = await findFreePort();
    const team = await cluster().createNamespace('team');
    const fixture = await createCertificatesFixture(cluster(), {
      url: `https://127.0.0.1:${port}/mutate`,
      namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': team } },
    });
    const ecr = await startEcrDouble();
    const { namespace, webhookConfiguration } = fixture.location;
    const program = await startProgram({
      kubeconfigPath: cluster().kubeconfigPath,
      environment: ecr.env(),
      program: bundle,
      config: {
        webhook: { port },
        certificates: {
          source: 'managed',
          namespace,
          webhookConfiguration,
          ipAddresses: ['127.0.0.1'],
        },
      },
    });
    const image = '123456789012.dkr.ecr.eu-central-1.amazonaws.com/app:1';
    await eventually('a pod is injected', async () => {
      const { pullSecrets } = await createPod(cluster(), team, podWith([image]), { dryRun: true });
      return pullSecrets.length === 1;
    });
    const key = (await fixture.stored())?.caKeyPem ?? '';
    assert.match(key, /PRIVATE KEY/);
    assert.ok(!program.output().includes('PRIVATE KEY'));
    await program.stop();
    await ecr.stop();
    await rm(directory, { recursive: true, force: true });
  });
});
