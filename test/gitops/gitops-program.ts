// Builds and runs test/gitops/program: the code of Argo CD and Flux, and the garbage collector of Kubernetes.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { getUserCache, hasGo } from '../cluster/binaries.ts';
import { killOnExit } from '../cluster/child-process.ts';
import { type PrintLine, type Product, tryToBuildOnce } from '../cluster/go-build.ts';
import { isExecutable } from '../support/executables.ts';
import { runProgram } from '../support/run-program.ts';

const moduleFolder = join(import.meta.dirname, 'program');

/** The version of Kubernetes in go.mod. */
const kubernetesVersion = '1.34.2';

const product: Product = {
  name: 'Argo CD, Flux and the garbage collector of Kubernetes',
  buildTime: '2 to 5 minutes on 2 cores without a build cache',
  sources: ['.'],
  renames: { program: 'gitops' },
};

/** The commands of the program that work on manifests; see main.go. */
export type GitopsCommand =
  | 'argo-sync'
  | 'argo-diff'
  | 'argo-delete'
  | 'flux-apply'
  | 'flux-diff'
  | 'flux-delete'
  | 'helm-diff';

/** Set by test/run.ts to the reason if the program could not be built. */
export const gitopsUnavailableVariable = 'TEST_GITOPS_UNAVAILABLE';

/** True for the files whose tests need the program. */
export function needsGitopsProgram(file: string): boolean {
  return /gitops[/\\][^/\\]*[.]cluster[.]test[.]ts$/.test(file);
}

/** Why the program is not available; undefined: it is built, or can be. */
export function findGitopsObstacle(env: NodeJS.ProcessEnv): string | undefined {
  if (isExecutable(getProgramPath(env)) || hasGo(env)) {
    return undefined;
  }
  return `no program in ${dirname(getProgramPath(env))}, and no Go to build it with`;
}

/**
 * Builds the program with Go if it is not in the user's cache.
 * @returns the reason why there is no program; undefined if there is one
 */
export async function prepareGitopsProgram(
  env: NodeJS.ProcessEnv,
  printLine: PrintLine,
): Promise<string | undefined> {
  const reason = findGitopsObstacle(env);
  if (reason !== undefined) {
    return reason;
  }
  const target = dirname(getProgramPath(env));
  const isPresent = () => isExecutable(getProgramPath(env));
  return await tryToBuildOnce({
    ...{ product, version: kubernetesVersion, moduleFolder, target, isPresent, env, printLine },
  });
}

/**
 * Runs a command of the program.
 * @returns one line of text for each object that was changed, or that differs
 * @throws {Error} with the output of the program if it fails
 */
export async function runGitops(
  command: GitopsCommand,
  kubeconfigPath: string,
  namespace: string,
  manifestsFile?: string,
): Promise<string[]> {
  const args = [command, kubeconfigPath, namespace, ...(manifestsFile === undefined ? [] : [manifestsFile])];
  const { code, stdout, stderr } = await runProgram(getProgramPath(process.env), args, {
    env: process.env,
    timeout: 150_000,
  });
  if (code !== 0) {
    throw new Error(`gitops ${command}: ${stderr}`);
  }
  return JSON.parse(stdout);
}

/** Runs the garbage collector of Kubernetes until `stop` is called. */
export async function startGarbageCollector(kubeconfigPath: string): Promise<{ stop(): Promise<void> }> {
  const child = spawn(getProgramPath(process.env), ['collect-garbage', kubeconfigPath], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  killOnExit(child);
  const exited = once(child, 'exit');
  const [line] = await once(createInterface(child.stdout), 'line');
  if (line !== 'ready') {
    throw new Error(`the garbage collector printed ${line}`);
  }
  return {
    stop: async () => {
      child.stdin.end();
      child.kill('SIGTERM');
      await exited;
    },
  };
}

function getProgramPath(env: NodeJS.ProcessEnv): string {
  const hash = createHash('sha256');
  for (const name of readdirSync(moduleFolder).toSorted()) {
    hash.update(readFileSync(join(moduleFolder, name)));
  }
  return join(getUserCache(env), 'gitops', hash.digest('hex').slice(0, 12), 'gitops');
}
