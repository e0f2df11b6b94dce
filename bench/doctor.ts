// Measures how long doctor takes with 1,000 namespaces, for each kind of caller: npm run bench:doctor [-- --json FILE].
import { parseArgs } from 'node:util';
import { obtainHelm } from '../test/chart/helm.ts';
import { startCluster } from '../test/cluster/cluster.ts';
import {
  fullChecks,
  loopbackServices,
  ownHost,
  ownImage,
  startHealthyInstallation,
} from '../test/diagnosis/healthy-installation.ts';
import { createBulkClient } from '../test/support/bulk-requests.ts';
import { formatMarkdownTable } from '../test/support/markdown-table.ts';
import { podWith } from '../test/support/pods.ts';
import { writeResult } from './results.ts';

/*
 * Each namespace has a pull Secret with a valid token and a pod that uses it. The program runs meanwhile, and has them in its cache.
 * The goal is 5 s for each caller.
 */
const { values } = parseArgs({
  options: {
    /** File for the figures. */
    json: { type: 'string' },
    namespaces: { type: 'string', default: '1000' },
    runs: { type: 'string', default: '3' },
  },
});
const callers = ['inside', 'administrator', 'developer'] as const;
const hourMs = 3_600_000;

const cluster = await startCluster({ args: loopbackServices });
try {
  const installation = await startHealthyInstallation(cluster, await obtainHelm());
  try {
    await fillCluster();
    const figures = await measure(installation);
    process.stdout.write(
      formatMarkdownTable([
        ['caller', 'checks', 'failed', 'median', 'longest'],
        ...figures.map(({ caller, checks, failed, durationsMs }) => [
          ...[caller, String(checks), String(failed)],
          ...[durationsMs[Math.floor(durationsMs.length / 2)], durationsMs.at(-1)].map(formatSeconds),
        ]),
      ]),
    );
    if (values.json !== undefined) {
      await writeResult(values.json, { namespaces: Number(values.namespaces), figures });
    }
  } finally {
    await installation.stop();
  }
} finally {
  await cluster.stop();
}

async function fillCluster(): Promise<void> {
  const namespaces = Array.from({ length: Number(values.namespaces) }, (_, index) => `team-${index}`);
  const client = createBulkClient(cluster.kubeconfigPath);
  await client.createNamespaces(namespaces);
  const now = Date.now();
  const lifetime = { issuedAt: now, expiresAt: now + 12 * hourMs };
  await client.storeSecrets(namespaces, new Map([[ownHost, lifetime]]));
  const pod = podWith([ownImage], { imagePullSecrets: [{ name: 'ecr-pull-secrets' }] });
  for (const namespace of namespaces) {
    await client.request('POST', `/api/v1/namespaces/${namespace}/pods`, pod);
  }
  client.close();
}

async function measure({ doctor }: Awaited<ReturnType<typeof startHealthyInstallation>>) {
  const figures = [];
  for (const caller of callers) {
    const durationsMs: number[] = [];
    let checks: Awaited<ReturnType<typeof doctor>>['checks'] = [];
    for (let run = 0; run < Number(values.runs); run += 1) {
      const result = await doctor(caller, fullChecks[caller]);
      durationsMs.push(Math.round(result.durationMs));
      ({ checks } = result);
    }
    durationsMs.sort((a, b) => a - b);
    const failed = checks.filter(({ outcome }) => outcome === 'failed').length;
    figures.push({ caller, checks: checks.length, failed, durationsMs });
  }
  return figures;
}

function formatSeconds(ms = Number.NaN): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
