// Attacks a process with the image's command line and the chart's memory limit: npm run bench:hostile [-- --json FILE].
import { mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startApiStandIn } from '../test/doubles/api-server/api-stand-in.ts';
import { startEcrDouble } from '../test/doubles/ecr/ecr-double.ts';
import { installServiceAccount } from '../test/support/installation.ts';
import { bundleInto, createCertificateFiles } from '../test/support/program.ts';
import type { Attack, Scene } from './hostile-attack.ts';
import { attacks } from './hostile-attacks.ts';
import { type Launched, launch } from './hostile-launch.ts';
import { chartMemoryLimit, imageLaunch } from './hostile-limits.ts';
import { goalsText, missedGoals, type Row, table } from './hostile-report.ts';
import { Tenants } from './hostile-tenants.ts';
import { writeResult } from './results.ts';

/*
 * Each attack gets a new process between the stand-ins of the API server and of Amazon ECR. The effects on other tenants
 * are measured before the attack and during it, so that a slow machine affects both. Linux only.
 */
const { values } = parseArgs({
  options: {
    /** File for the figures. */
    json: { type: 'string' },
    /** Part of the names of the attacks to run; defaults to all. */
    only: { type: 'string', multiple: true, default: [''] },
  },
});

/** Other tenants use another region during the attack than before it, so that its tokens are not cached yet. */
const regions = { before: 'eu-central-1', during: 'eu-west-1' };
const measureBeforeMs = 5_000;

type Stop = () => unknown;

const directory = await mkdtemp(join(tmpdir(), 'bench-'));
const rows: Row[] = [];
const kinds = new Set<string>();
const load = loadavg()[0] ?? Number.NaN;
try {
  const program = join(directory, 'main.mjs');
  await bundleInto(program);
  const certificates = await createCertificateFiles(directory);
  for (const attack of attacks.filter(({ name }) => values.only.some((part) => name.includes(part)))) {
    process.stderr.write(`${attack.name}\n`);
    rows.push(await measure(attack, program, certificates));
  }
} finally {
  await rm(directory, { recursive: true, force: true });
}
await report();

async function measure(
  attack: Attack,
  program: string,
  certificates: { directory: string; caPem: string },
): Promise<Row> {
  const stops: Stop[] = [];
  try {
    const cluster = await startApiStandIn();
    stops.push(() => cluster.stop());
    const ecr = await startEcrDouble();
    stops.push(() => ecr.stop());
    const kubeconfigPath = await installServiceAccount(cluster);
    const { stalledReader = false, registries = [] } = attack;
    const start = () =>
      launch({ program, certificates, kubeconfigPath, environment: ecr.env(), stalledReader, registries });
    const tenants = new Tenants(cluster);
    stops.push(() => tenants.close());
    await tenants.prepare(regions.before);
    await tenants.prepare(regions.during);
    const scene: Scene = {
      cluster,
      ecr,
      program: await start(),
      restart: async () => {
        await scene.program.stop();
        scene.program = await start();
      },
    };
    stops.push(() => scene.program.stop());
    return await measureAttack(attack, scene, tenants, stops);
  } finally {
    for (const stop of stops.reverse()) {
      await stop();
    }
  }
}

async function measureAttack(attack: Attack, scene: Scene, tenants: Tenants, stops: Stop[]): Promise<Row> {
  kinds.add(scene.program.limitKind);
  await tenants.warmUp(scene.program, regions.before);
  const before = await tenants.measure(scene.program, regions.before, sleep(measureBeforeMs), 30_000);
  const first: Launched = scene.program;
  let stalls = await first.stalls();
  const { complete, end } = await attack.start(scene);
  let ending: ReturnType<typeof end> | undefined;
  const endOnce = () => {
    ending ??= end();
    return ending;
  };
  stops.push(() => endOnce().catch(() => undefined)); // An error is thrown below.
  if (scene.program !== first) {
    await stalls(); // Of the process before the restart.
    stalls = await scene.program.stalls();
    await tenants.warmUp(scene.program, regions.during);
  }
  const minimum = Promise.all([sleep(attack.watchMs), complete]);
  const during = await tenants.measure(scene.program, regions.during, minimum, attack.renewWithinMs);
  // A process that has exited has no metrics.
  const findings = await endOnce().catch((error: unknown) => {
    if (scene.program.death() === undefined) {
      throw error;
    }
    return [];
  });
  return {
    name: attack.name,
    death: scene.program.death(),
    stallMs: await stalls(),
    peakBytes: scene.program.peakBytes(),
    before,
    during,
    findings,
  };
}

async function report(): Promise<void> {
  const limitBytes = chartMemoryLimit();
  if (values.json !== undefined) {
    await writeResult(values.json, { attacks: rows });
  }
  const flags = imageLaunch().nodeOptions.join(' ') || 'no options';
  process.stdout.write(
    `Memory limit: ${limitBytes / 1024 / 1024} MiB, enforced by ${[...kinds].join(' and ')}. Node: ${flags}. ` +
      `Load average of the machine before: ${load.toFixed(1)}.\n\n` +
      `${table(rows, limitBytes)}\n\n${goalsText(limitBytes)}\n`,
  );
  process.exitCode = rows.every((row) => missedGoals(row, limitBytes).length === 0) ? 0 : 1;
}
