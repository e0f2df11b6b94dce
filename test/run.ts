import { globSync } from 'node:fs';
import { join } from 'node:path';
import { run } from 'node:test';
import { spec, type TestEvent } from 'node:test/reporters';
import { parseArgs } from 'node:util';
import { obtainBinaries } from './cluster/binaries.ts';
import { startCluster } from './cluster/cluster.ts';
import { clusterUnavailableVariable, isCi } from './cluster/cluster-suite.ts';
import {
  kubeletParserUnavailableVariable,
  needsKubeletParser,
  prepareKubeletParser,
} from './cluster/kubelet-parser.ts';
import { ClusterTestCounter, type ClusterTests, needsCluster } from './reporters/cluster-tests.ts';
import { StallGuard } from './reporters/stall-guard.ts';

const usage = `Runs the tests.

  node test/run.ts [PART OF A PATH …] [--filter PATTERN]

Without a path: all of test/**/*.test.ts. --filter takes part of a test's name, or a regular expression (/…/).
Files named *.cluster.test.ts need a real API server, see test/cluster/README.md.

  K8S_VERSION=1.30.14   against that version
  TEST_KUBECONFIG=FILE  against that cluster
  CI=true               fails where a test that needs an API server cannot run
  REQUIRE_CLUSTER=1     fails where no test ran against a real API server (CI=true does, too)
`;

const root = join(import.meta.dirname, '..');
/** For one test or one suite, ms. A suite that needs longer sets its own. */
const timeoutMs = 180_000;
/** For the whole run to stand still, ms: longer than the one test that it may be waiting for. */
const stallMs = timeoutMs + 30_000;

async function main(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { filter: { type: 'string', multiple: true }, help: { type: 'boolean' } },
    allowPositionals: true,
  });
  if (values.help) {
    print(usage);
    return 0;
  }
  const files = selectFiles(positionals);
  if (files.length === 0) {
    print(`no test file has ${positionals.join(' or ')} in its path`);
    return 2;
  }
  const whole = positionals.length === 0 && values.filter === undefined;
  const apiServerName = files.some(needsCluster) ? await prepareApiServer(process.env) : undefined;
  if (files.some(needsKubeletParser)) {
    const reason = await prepareKubeletParser(process.env, print);
    if (reason !== undefined) process.env[kubeletParserUnavailableVariable] = reason;
  }
  const { success, counts } = await runFiles(files, values.filter);
  if (apiServerName !== undefined) print(formatClosingLine(apiServerName, counts));
  const required = whole && (isCi(process.env) || Boolean(process.env['REQUIRE_CLUSTER']));
  const missing = required && counts.ran === 0;
  if (missing) print('FAILED: no test ran against a real API server, and this run must have some');
  return success && !missing ? 0 : 1;
}

function selectFiles(parts: readonly string[]): string[] {
  const all = globSync('test/**/*.test.ts', { cwd: root }).sort();
  const wanted = parts.map((part) => part.replace(`${root}/`, '').replace(/^\.\//, ''));
  return all.filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)));
}

/**
 * Sees to the binaries before any suite asks for them, so that a build is seen and happens once.
 * @returns where the cluster tests will run, for the closing line
 */
async function prepareApiServer(env: NodeJS.ProcessEnv): Promise<string> {
  if (env['TEST_KUBECONFIG']) {
    const cluster = await startCluster();
    await cluster.stop();
    return `Kubernetes ${cluster.version} of TEST_KUBECONFIG`;
  }
  const search = await obtainBinaries(env, print);
  if (search.binaries !== undefined) return `Kubernetes ${search.binaries.version}`;
  env[clusterUnavailableVariable] = search.reason;
  const consequence = isCi(env) ? 'fail' : 'are skipped';
  print(`\n*** NO REAL API SERVER: ${search.reason}\n*** The tests that need one ${consequence}.\n`);
  return 'none to be had';
}

async function runFiles(files: readonly string[], filter: string[] | undefined) {
  const counter = new ClusterTestCounter();
  const stop = new AbortController();
  let success = false;
  const stall = new StallGuard(stallMs, (unfinished) => {
    print(`\n*** nothing happened for ${stallMs / 1000} s; these do not end: ${unfinished.join(', ')}\n`);
    stop.abort();
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stop.abort());
  const stream = run({
    files: files.map((file) => join(root, file)),
    cwd: root,
    concurrency: 2,
    timeout: timeoutMs,
    signal: stop.signal,
    ...(filter === undefined ? {} : { testNamePatterns: filter }),
  });
  stream.on('data', (event: TestEvent) => {
    stall.take(event);
    counter.take(event);
    if (event.type === 'test:summary' && event.data.file === undefined) success = event.data.success;
  });
  for await (const text of stream.compose(new spec())) process.stdout.write(String(text));
  stall.end();
  return { success, counts: counter.counts };
}

function formatClosingLine(apiServerName: string, { ran, skipped }: ClusterTests): string {
  return `real API server (${apiServerName}): ${ran} ${ran === 1 ? 'test' : 'tests'} ran, ${skipped} skipped`;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  // A flag or a variable of the environment that cannot be, or a cluster of TEST_KUBECONFIG that does not answer.
  print(`test/run.ts: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 2;
}
