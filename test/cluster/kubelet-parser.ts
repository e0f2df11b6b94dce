// Runs the kubelet's own parser of dockerconfigjson, built from the module of the Kubernetes version under test.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';
import { hasGo, userCache } from './binaries.ts';
import { killOnExit } from './child-process.ts';
import { isCi } from './cluster-suite.ts';
import { BuildError, buildOnce, type PrintLine, type Product } from './go-build.ts';
import { getRequestedVersion, hashModule } from './kubernetes-versions.ts';

const source = join(import.meta.dirname, 'kube', 'kubelet-parser.go');

const product: Product = {
  name: "the kubelet's parser",
  effort: 'seconds after kube-apiserver, a minute or two from nothing',
  sources: [source],
  renamed: {},
};

/** What the kubelet reads: registry → username, password and email. */
export type KubeletReading = Readonly<Record<string, readonly [string, string, string]>>;

export interface KubeletParser {
  /** Gives undefined where the kubelet refuses the document, which fails every pull of the pod. */
  read(document: string | Uint8Array): Promise<KubeletReading | undefined>;
  stop(): void;
}

/** Set by test/run.ts where the program could not be built: the reason. */
export const kubeletParserUnavailableVariable = 'TEST_KUBELET_PARSER_UNAVAILABLE';

/**
 * A suite with the kubelet's parser: `describe` with a process that is started before and stopped after. Belongs into a
 * file that {@link needsKubeletParser} knows. Where the program is neither cached nor can be built, the suite is skipped and
 * says why; in CI it fails.
 * @param body declares the tests; its argument gives the parser, within a test or a hook
 */
export function describeWithKubeletParser(name: string, body: (parser: () => KubeletParser) => void): void {
  const reason = process.env[kubeletParserUnavailableVariable] ?? findObstacle(process.env);
  if (reason !== undefined) {
    it(name, { skip: !isCi(process.env) && `NO KUBELET PARSER: ${reason}` }, () => assert.fail(reason));
    return;
  }
  describe(name, () => {
    let started: KubeletParser | undefined;
    before(async () => {
      started = await startKubeletParser();
    });
    after(() => started?.stop());
    body(() => {
      assert.ok(started, 'the parser is there within tests and hooks only');
      return started;
    });
  });
}

/**
 * True for the files whose tests need the parser. They are `*.cluster.test.ts`, so that they run with every Kubernetes
 * version that the cluster tests run with.
 */
export function needsKubeletParser(file: string): boolean {
  return file.endsWith('kubelet.cluster.test.ts');
}

/**
 * Makes sure that the program is in the user's cache: builds it with Go where it is not.
 * @returns why there is none; undefined: there is one
 * @throws {UnknownVersionError} K8S_VERSION names a version without a module
 */
export async function prepareKubeletParser(
  env: NodeJS.ProcessEnv,
  say: PrintLine,
): Promise<string | undefined> {
  const reason = findObstacle(env);
  if (reason !== undefined) {
    return reason;
  }
  const version = getRequestedVersion(env);
  const present = () => isExecutable(programPath(env));
  try {
    await buildOnce({ product, version, target: dirname(programPath(env)), present, env, say });
    return undefined;
  } catch (error) {
    if (error instanceof BuildError) {
      return error.message;
    }
    throw error;
  }
}

function programPath(env: NodeJS.ProcessEnv): string {
  const version = getRequestedVersion(env);
  const folder = `${version}-${hashModule(version, source)}`;
  return join(userCache(env), 'kubelet-parser', folder, 'kubelet-parser');
}

function findObstacle(env: NodeJS.ProcessEnv): string | undefined {
  if (isExecutable(programPath(env)) || hasGo(env)) {
    return undefined;
  }
  return `no kubelet parser in ${dirname(programPath(env))}, and no Go to build it with`;
}

async function startKubeletParser(): Promise<KubeletParser> {
  const reason = await prepareKubeletParser(process.env, (line) => process.stderr.write(`${line}\n`));
  assert.equal(reason, undefined);
  const child = spawn(programPath(process.env), { stdio: ['pipe', 'pipe', 'inherit'] });
  killOnExit(child);
  const waiting: PromiseWithResolvers<KubeletReading | undefined>[] = [];
  createInterface(child.stdout).on('line', (line) => waiting.shift()?.resolve(JSON.parse(line) ?? undefined));
  const failAll = (error: Error) => {
    for (const { reject } of waiting.splice(0)) {
      reject(error);
    }
  };
  child.once('error', failAll);
  child.stdin.on('error', failAll);
  child.once('close', (code) => failAll(new Error(`the kubelet parser exited with code ${code}`)));
  return {
    read: (document) => {
      const answer = Promise.withResolvers<KubeletReading | undefined>();
      waiting.push(answer);
      child.stdin.write(`${JSON.stringify(Buffer.from(document).toString('base64'))}\n`);
      return answer.promise;
    },
    stop: () => child.stdin.end(),
  };
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
