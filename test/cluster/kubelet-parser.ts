// Runs the kubelet's own parser of dockerconfigjson, built from the module of the Kubernetes version under test.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';
import { isExecutable } from '../support/executables.ts';
import { getUserCache, hasGo } from './binaries.ts';
import { killOnExit } from './child-process.ts';
import { isCi } from './cluster-suite.ts';
import { type PrintLine, type Product, tryToBuildOnce } from './go-build.ts';
import { getRequestedVersion, hashModule } from './kubernetes-versions.ts';

const source = join(import.meta.dirname, 'kube', 'kubelet-parser.go');

const product: Product = {
  name: "the kubelet's parser of Kubernetes",
  buildTime: 'seconds after kube-apiserver, otherwise one or two minutes',
  sources: [source],
  renames: {},
};

/** The result of the kubelet's parser: registry → username, password and email. */
export type KubeletReading = Readonly<Record<string, readonly [string, string, string]>>;

export interface KubeletParser {
  /** Returns undefined if the kubelet refuses the document, which makes every pull of the pod fail. */
  read(document: string | Uint8Array): Promise<KubeletReading | undefined>;
  /**
   * Returns the credentials that the kubelet tries for the pull of an image with a Secret that holds the document, in order:
   * username, password and email. Returns undefined if the kubelet refuses the document.
   */
  lookUp(document: string, image: string): Promise<readonly KubeletReading[string][] | undefined>;
  stop(): void;
}

/** Set by test/run.ts to the reason if the program could not be built. */
export const kubeletParserUnavailableVariable = 'TEST_KUBELET_PARSER_UNAVAILABLE';

/**
 * Declares a suite with the kubelet's parser, which is started before and stopped after the suite. The file must have a name
 * that {@link needsKubeletParser} matches. If the program is neither cached nor can be built, the suite is skipped with the
 * reason; in CI it fails.
 * @param body declares the tests; its argument returns the parser within a test or a hook
 */
export function describeWithKubeletParser(name: string, body: (parser: () => KubeletParser) => void): void {
  const reason = process.env[kubeletParserUnavailableVariable] ?? findObstacle(process.env);
  if (reason !== undefined) {
    it(name, { skip: !isCi(process.env) && `NO KUBELET PARSER: ${reason}` }, () => assert.fail(reason));
    return;
  }
  describe(name, () => {
    let parser: KubeletParser | undefined;
    before(async () => {
      parser = await startKubeletParser();
    });
    after(() => parser?.stop());
    body(() => {
      assert.ok(parser, 'the parser is available within tests and hooks only');
      return parser;
    });
  });
}

/**
 * True for the files whose tests need the parser. They are named `*.cluster.test.ts`, so that they run with every Kubernetes
 * version of the cluster tests.
 */
export function needsKubeletParser(file: string): boolean {
  return file.endsWith('kubelet.cluster.test.ts');
}

/**
 * Builds the program with Go if it is not in the user's cache.
 * @returns the reason why there is no program; undefined if there is one
 * @throws {UnknownVersionError} if K8S_VERSION names a version without a module
 */
export async function prepareKubeletParser(
  env: NodeJS.ProcessEnv,
  printLine: PrintLine,
): Promise<string | undefined> {
  const reason = findObstacle(env);
  if (reason !== undefined) {
    return reason;
  }
  const version = getRequestedVersion(env);
  const isPresent = () => isExecutable(getProgramPath(env));
  const target = dirname(getProgramPath(env));
  return await tryToBuildOnce({ product, version, target, isPresent, env, printLine });
}

function getProgramPath(env: NodeJS.ProcessEnv): string {
  const version = getRequestedVersion(env);
  const folder = `${version}-${hashModule(version, source)}`;
  return join(getUserCache(env), 'kubelet-parser', folder, 'kubelet-parser');
}

function findObstacle(env: NodeJS.ProcessEnv): string | undefined {
  if (isExecutable(getProgramPath(env)) || hasGo(env)) {
    return undefined;
  }
  return `no kubelet parser in ${dirname(getProgramPath(env))}, and no Go to build it with`;
}

async function startKubeletParser(): Promise<KubeletParser> {
  const reason = await prepareKubeletParser(process.env, (line) => process.stderr.write(`${line}\n`));
  assert.equal(reason, undefined);
  const child = spawn(getProgramPath(process.env), { stdio: ['pipe', 'pipe', 'inherit'] });
  killOnExit(child);
  const pending: PromiseWithResolvers<unknown>[] = [];
  createInterface(child.stdout).on('line', (line) => pending.shift()?.resolve(JSON.parse(line) ?? undefined));
  const failAll = (error: Error) => {
    for (const { reject } of pending.splice(0)) {
      reject(error);
    }
  };
  child.once('error', failAll);
  child.stdin.on('error', failAll);
  child.once('close', (code) => failAll(new Error(`the kubelet parser exited with code ${code}`)));
  const ask = async (document: string | Uint8Array, image?: string): Promise<unknown> => {
    const result = Promise.withResolvers<unknown>();
    pending.push(result);
    child.stdin.write(`${JSON.stringify({ document: Buffer.from(document).toString('base64'), image })}\n`);
    return await result.promise;
  };
  return {
    read: async (document) => (await ask(document)) as KubeletReading | undefined,
    lookUp: async (document, image) => (await ask(document, image)) as KubeletReading[string][] | undefined,
    stop: () => child.stdin.end(),
  };
}
