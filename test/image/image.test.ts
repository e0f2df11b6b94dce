// Tests that the image runs as the chart runs it: unprivileged, and on a read-only file system.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { stringify } from 'yaml';
import { findBasePackages } from '../../image/base-packages.ts';
import { isCi } from '../cluster/cluster-suite.ts';
import { startApiStandIn } from '../doubles/api-server/api-stand-in.ts';
import { startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { eventually } from '../support/eventually.ts';
import { installServiceAccount, registerWebhook } from '../support/installation.ts';
import { createPod, podWith } from '../support/pods.ts';
import { createCertificateFiles } from '../support/program.ts';
import { type Container, memoryLimitBytes, startContainer } from './container.ts';
import { findImageTestObstacle } from './image-tools.ts';
import { buildTestImage } from './test-image.ts';

const image = '123456789012.dkr.ecr.eu-central-1.amazonaws.com/app:1';
const mountPoint = '/etc/ecr-pull-secrets';
const obstacle = findImageTestObstacle(process.env);

it('the image injects a pod as user 65532 and as any other user, without any writable path', {
  skip: !isCi(process.env) && obstacle,
}, async (t) => {
  assert.equal(obstacle, undefined);
  const folder = await mkdtemp(join(tmpdir(), 'image-'));
  const cluster = await startApiStandIn();
  const ecr = await startEcrDouble();
  let container: Container | undefined;
  t.after(async () => {
    container?.kill();
    await Promise.all([ecr.stop(), cluster.stop()]);
    await rm(folder, { recursive: true, force: true });
  });
  const testImage = await buildTestImage(folder);
  const before = hashFiles(testImage.rootfs);
  const mountSource = join(folder, 'mount');
  const caPem = await fillMount(mountSource, await installServiceAccount(cluster));

  const started = performance.now();
  const options = {
    mounts: [{ source: mountSource, destination: mountPoint }],
    environment: ecr.env(),
  };
  container = startContainer(join(folder, 'container'), testImage, options);
  const { webhook, status } = await waitUntilReady(container);
  const readyMs = performance.now() - started;
  const { files, bytes, compressedBytes } = testImage.contents;
  assert.deepEqual(
    files.filter(({ path }) => path.startsWith('app/')).map(({ path }) => path),
    ['app/main.mjs', 'app/THIRD-PARTY-LICENSES', 'app/LICENSE', 'app/main.mjs.LEGAL.txt'],
  );
  assert.equal(findBasePackages(testImage.files).nodeVersion, process.versions.node);
  const rss = readStatus(container)['VmRSS'];
  t.diagnostic(
    `image: ${bytes} bytes, ${compressedBytes} to pull; ready after ${Math.round(readyMs)} ms; RSS ${rss}`,
  );

  // The flags of the image apply to the memory limit of the container.
  const flags = testImage.config.Entrypoint.slice(1, -1);
  assert.ok(flags.includes('--max-old-space-size-percentage=50'));
  const heapLimit = Number(
    container.runNode(
      'process.stdout.write(String(v8.getHeapStatistics().heap_size_limit))',
      undefined,
      flags,
    ),
  );
  assert.ok(
    heapLimit > memoryLimitBytes / 2 && heapLimit < memoryLimitBytes * 0.6,
    `${heapLimit} bytes of heap`,
  );

  const registered = await registerWebhook(cluster, { webhookUrl: `${webhook}/mutate`, caPem });
  const namespace = await registered.createNamespace();
  const { pullSecrets, warnings } = await createPod(cluster, namespace, podWith([image]));
  assert.deepEqual([pullSecrets, warnings], [['ecr-pull-secrets'], []]);

  // `kubectl exec` runs doctor beside the server.
  const launcher = '/usr/local/bin/ecr-pull-secrets';
  const args = ['doctor', '--output', 'json', '--config', `${mountPoint}/config.yaml`];
  const { stdout } = await container.run([launcher, ...args]);
  const results: { check: string; outcome: string }[] = JSON.parse(stdout).groups.flatMap(
    ({ checks }: { checks: unknown[] }) => checks,
  );
  for (const check of ['configuration-valid', 'api-server-reachable']) {
    assert.equal(results.find((result) => result.check === check)?.outcome, 'ok', stdout);
  }
  // Both processes fit into the memory limit of the container. The largest size of doctor is reported when it exits.
  const report = 'process.on("exit",()=>process.stderr.write(String(process.resourceUsage().maxRSS)))';
  const [, launcherFlag = ''] =
    /^#!\S+ (.+)$/m.exec(readFileSync(join(testImage.rootfs, launcher), 'utf8')) ?? [];
  const node = ['/nodejs/bin/node', launcherFlag, `--import=data:text/javascript,${report}`, '/app/main.mjs'];
  const doctorKilobytes = Number((await container.run([...node, ...args])).stderr);
  const serverKilobytes = Number.parseInt(readStatus(container)['VmHWM'] ?? '', 10);
  t.diagnostic(`largest RSS: doctor ${doctorKilobytes} kB, server ${serverKilobytes} kB`);
  assert.ok(doctorKilobytes > 10_000);
  // Pages that both share, such as those of node itself, count twice here.
  assert.ok((doctorKilobytes + serverKilobytes) * 1024 < memoryLimitBytes);

  const { Uid, Gid, NSpid, CapEff } = readStatus(container);
  assert.deepEqual(Uid?.split('\t'), Array(4).fill('65532'));
  assert.deepEqual(Gid?.split('\t'), Array(4).fill('65532'));
  assert.equal(NSpid?.split('\t').at(-1), '1');
  assert.equal(Number.parseInt(CapEff ?? '', 16), 0);
  // This also applies to root, because all mounts are read-only.
  for (const user of ['65532:65532', '0:0']) {
    for (const file of ['/x', '/app/x', '/tmp/x', `${mountPoint}/x`]) {
      const script = `try { fs.writeFileSync('${file}', '') } catch ({ code }) { process.stdout.write(code) }`;
      assert.equal(container.runNode(script, user), 'EROFS', `${file} as ${user}`);
    }
  }

  container.signal('SIGTERM');
  assert.equal(await container.exited, 0, container.output());
  assert.equal((await fetch(`${status}/healthz`).catch(() => undefined))?.status, undefined);
  assert.deepEqual(hashFiles(testImage.rootfs), before);

  // As OpenShift runs it: as a user without a name, with group 0, and with the group to which the mounted files belong.
  const id = 1_000_680_000;
  makeReadableFor(mountSource, id);
  container = startContainer(join(folder, 'openshift'), testImage, {
    ...options,
    user: `${id}:0`,
    groups: [id],
  });
  const other = await waitUntilReady(container);
  const second = await registerWebhook(cluster, { webhookUrl: `${other.webhook}/mutate`, caPem });
  const pod = await createPod(cluster, await second.createNamespace(), podWith([image]));
  assert.deepEqual([pod.pullSecrets, pod.warnings], [['ecr-pull-secrets'], []]);
  const identity = readStatus(container);
  assert.deepEqual(
    [identity['Uid'], identity['Gid'], identity['Groups']?.trim()],
    [Array(4).fill(id).join('\t'), Array(4).fill(0).join('\t'), String(id)],
  );
  container.signal('SIGTERM');
  assert.equal(await container.exited, 0, container.output());
  assert.deepEqual(hashFiles(testImage.rootfs), before);
});

/** Creates the mounted files: configuration, certificate and kubeconfig. Returns the CA. */
async function fillMount(folder: string, kubeconfig: string): Promise<string> {
  const { caPem } = await createCertificateFiles(join(folder, 'tls'));
  copyFileSync(kubeconfig, join(folder, 'kubeconfig'));
  const settings = {
    webhook: {
      address: '127.0.0.1',
      port: 0,
      certFile: `${mountPoint}/tls/tls.crt`,
      keyFile: `${mountPoint}/tls/tls.key`,
      shutdownDelay: '0s',
    },
    status: { address: '127.0.0.1', port: 0 },
    kubernetes: { kubeconfig: `${mountPoint}/kubeconfig` },
  };
  writeFileSync(join(folder, 'config.yaml'), stringify(settings));
  for (const path of ['', ...readdirSync(folder, { recursive: true, encoding: 'utf8' })]) {
    chownSync(join(folder, path), 65_532, 65_532);
  }
  return caPem;
}

/** Sets owner and mode of mounted files as the kubelet does for a pod with this file system group. */
function makeReadableFor(folder: string, group: number): void {
  for (const entry of ['', ...readdirSync(folder, { recursive: true, encoding: 'utf8' })]) {
    const path = join(folder, entry);
    chownSync(path, 0, group);
    chmodSync(path, statSync(path).isDirectory() ? 0o750 : 0o440);
  }
}

async function waitUntilReady(container: Container): Promise<{ webhook: string; status: string }> {
  const listening = await eventually(
    'the container listens',
    () => {
      const line = container
        .output()
        .split('\n')
        .find((text) => text.includes('"msg":"listening"'));
      return line === undefined ? undefined : JSON.parse(line);
    },
    20_000,
  ).catch((cause) => {
    throw new Error(`the container does not listen:\n${container.output()}`, { cause });
  });
  await eventually(
    'the container is ready',
    async () => (await fetch(`${listening.status}/readyz`)).ok,
    20_000,
  );
  return listening;
}

/** Reads /proc/PID/status. */
function readStatus(container: Container): Record<string, string> {
  const lines = readFileSync(`/proc/${container.pid()}/status`, 'utf8').trim().split('\n');
  return Object.fromEntries(lines.map((line) => line.split(/:\s*/, 2)));
}

/** Returns the hash of each regular file. Folders are ignored, because the runtime creates an empty one for each mount. */
function hashFiles(folder: string): Record<string, string> {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const hash = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex');
  return Object.fromEntries(files.sort().map((file) => [file, hash(file)]));
}
