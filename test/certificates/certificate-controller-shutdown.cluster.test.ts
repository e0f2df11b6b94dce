// Tests that shutting down the certificate controller waits for a write that a slow webhook delays.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { eventually } from '../support/eventually.ts';
import { startSilentWebhook } from '../support/silent-webhook.ts';
import { createCertificatesFixture } from './managed-certificates-fixture.ts';

const mainFile = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

describeOnCluster('the certificate controller', (cluster) => {
  it('stores a certificate that a slow webhook delays before it exits', async () => {
    const fixture = await createCertificatesFixture(cluster());
    const { namespace, webhookConfiguration } = fixture.location;
    const label = ['kubernetes.io/metadata.name', namespace] as const;
    const webhook = await startSilentWebhook(cluster(), { label, timeoutSeconds: 15 });
    const folder = await mkdtemp(join(tmpdir(), 'certificates-'));
    const config = {
      certificates: { namespace, webhookConfiguration },
      status: { address: '127.0.0.1', port: 0 },
      kubernetes: { kubeconfig: cluster().kubeconfigPath },
    };
    const file = join(folder, 'config.yaml');
    await writeFile(file, stringify(config));
    const child = spawn(process.execPath, [mainFile, 'certificates', '--config', file], {
      env: { PATH: process.env['PATH'] },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    try {
      await eventually('the write is in flight', () => webhook.received > 0, 60_000);
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      assert.deepEqual(await exited, [0, null]);
      assert.ok((await fixture.stored())?.servingCertificate);
    } finally {
      child.kill('SIGKILL');
      await webhook.stop();
      await rm(folder, { recursive: true });
    }
  });
});
