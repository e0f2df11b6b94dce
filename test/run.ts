// Runs the tests: npm test
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
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
import {
  gitopsUnavailableVariable,
  needsGitopsProgram,
  prepareGitopsProgram,
} from './gitops/gitops-program.ts';
import { ClusterTestCounter, type ClusterTests, needsCluster } from './reporters/cluster-tests.ts';
import { RunTotals } from './reporters/run-totals.ts';
import { StallGuard } from './reporters/stall-guard.ts';
import { apiServerVariable } from './support/api-server-suites.ts';

const usage = `Runs the tests.

  node test/run.ts [PART OF A PATH …] [--filter PATTERN]

Without a path: all of test/**/*.test.ts and test/**/*.suite.ts. --filter takes part of a test's name, or a regular expression (/…/).
Files named *.cluster.test.ts need a real API server, see test/cluster/README.md. Files named *.suite.ts run twice: as
X.standin.test.ts against the API stand-in, and as X.cluster.test.ts against a real API server.

  K8S_VERSION=1.30.14   against that version
  TEST_KUBECONFIG=FILE  against that cluster
  CI=true               fails where a test that needs an API server cannot run
  REQUIRE_CLUSTER=1     fails where no test ran against a real API server (CI=true does, too)
`;

const root = join(import.meta.dirname, '..');
/** Timeout of a test or suite, in ms. A suite that needs longer sets its own. */
const timeoutMs = 180_000;
/** How long the run may make no progress, in ms. It is longer than the timeout of a test. */
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
  const entries = selectEntries(positionals);
  if (entries.length === 0) {
    print(`no test file has ${positionals.join(' or ')} in its path`);
    return 2;
  }
  const isFullRun = positionals.length === 0 && values.filter === undefined;
  const apiServerName = entries.some(({ path }) => needsCluster(path))
    ? await prepareApiServer(process.env)
    : undefined;
  await prepareGoPrograms(entries);
  const { success, counts } = await runEntries(entries, values.filter);
  if (apiServerName !== undefined) {
    print(formatClosingLine(apiServerName, counts));
  }
  const required = isFullRun && (isCi(process.env) || Boolean(process.env['REQUIRE_CLUSTER']));
  const missing = required && counts.ran === 0;
  if (missing) {
    print('FAILED: no test ran against a real API server, and this run must have some');
  }
  return success && !missing ? 0 : 1;
}

/** Builds the programs that the tests need beside the API server, because a build takes longer than a test may. */
async function prepareGoPrograms(entries: readonly Entry[]): Promise<void> {
  if (entries.some(({ path }) => needsKubeletParser(path))) {
    const reason = await prepareKubeletParser(process.env, print);
    if (reason !== undefined) {
      process.env[kubeletParserUnavailableVariable] = reason;
    }
  }
  if (entries.some(({ path }) => needsGitopsProgram(path))) {
    const reason = await prepareGitopsProgram(process.env, print);
    if (reason !== undefined) {
      process.env[gitopsUnavailableVariable] = reason;
    }
  }
}

/** A test file, or a suite on one of the two API servers that it runs against. */
interface Entry {
  readonly file: string;
  /** What the command line selects by: for a suite, the name that a file for this API server alone would have. */
  readonly path: string;
  readonly apiServer: 'stand-in' | 'real';
}

function selectEntries(parts: readonly string[]): Entry[] {
  const patterns = parts.map((part) => part.replace(`${root}/`, '').replace(/^\.\//, ''));
  const tests = globSync('test/**/*.test.ts', { cwd: root }).map(
    (file): Entry => ({ file, path: file, apiServer: 'stand-in' }),
  );
  const suites = globSync('test/**/*.suite.ts', { cwd: root }).flatMap((file): Entry[] => [
    { file, path: file.replace('.suite.ts', '.standin.test.ts'), apiServer: 'stand-in' },
    { file, path: file.replace('.suite.ts', '.cluster.test.ts'), apiServer: 'real' },
  ]);
  const isWanted = ({ file, path }: Entry) =>
    patterns.length === 0 || patterns.some((part) => path.includes(part) || file.includes(part));
  return [...tests, ...suites].filter(isWanted).sort((a, b) => (a.path < b.path ? -1 : 1));
}

/**
 * Builds or downloads the binaries before any suite needs them, so that this happens once and is visible.
 * @returns where the cluster tests will run, for the closing line
 */
async function prepareApiServer(env: NodeJS.ProcessEnv): Promise<string> {
  if (env['TEST_KUBECONFIG']) {
    const cluster = await startCluster();
    await cluster.stop();
    return `Kubernetes ${cluster.version} of TEST_KUBECONFIG`;
  }
  const search = await obtainBinaries(env, print);
  if (search.binaries !== undefined) {
    return `Kubernetes ${search.binaries.version}`;
  }
  env[clusterUnavailableVariable] = search.reason;
  const consequence = isCi(env) ? 'fail' : 'are skipped';
  print(`\n*** NO REAL API SERVER: ${search.reason}\n*** The tests that need one ${consequence}.\n`);
  return 'none to be had';
}

/** Runs all test files, and the suites on the stand-in; then the suites on a real API server. */
async function runEntries(entries: readonly Entry[], filter: string[] | undefined) {
  const counter = new ClusterTestCounter();
  const totals = new RunTotals();
  const stop = new AbortController();
  const stall = new StallGuard(stallMs, (unfinished) => {
    print(`\n*** nothing happened for ${stallMs / 1000} s; these do not end: ${unfinished.join(', ')}\n`);
    stop.abort();
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => stop.abort());
  }
  async function* runAll(): AsyncGenerator<TestEvent> {
    for (const apiServer of ['stand-in', 'real'] as const) {
      const files = entries.filter((entry) => entry.apiServer === apiServer).map(({ file }) => file);
      for await (const event of startRun(files, apiServer, filter, stop.signal)) {
        stall.take(event);
        counter.take(event, (file) => apiServer === 'real' || needsCluster(file));
        if (!totals.take(event)) {
          yield event;
        }
      }
    }
    yield* totals.events();
  }
  for await (const text of Readable.from(runAll()).compose(new spec())) {
    process.stdout.write(String(text));
  }
  stall.end();
  return { success: totals.success && !stop.signal.aborted, counts: counter.counts };
}

function startRun(
  files: readonly string[],
  apiServer: Entry['apiServer'],
  filter: string[] | undefined,
  signal: AbortSignal,
): Iterable<TestEvent> | AsyncIterable<TestEvent> {
  if (files.length === 0 || signal.aborted) {
    return [];
  }
  return run({
    files: files.map((file) => join(root, file)),
    cwd: root,
    concurrency: 2,
    timeout: timeoutMs,
    signal,
    env: { ...process.env, [apiServerVariable]: apiServer },
    ...(filter === undefined ? {} : { testNamePatterns: filter }),
  });
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
  // An invalid flag or environment variable, or a cluster of TEST_KUBECONFIG that does not respond.
  print(`test/run.ts: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 2;
}
