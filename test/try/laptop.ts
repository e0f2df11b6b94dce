// A laptop for npm run try without docker: scripts in the place of docker and k3d, and the nodes of its cluster in this process.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setInterval } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { getValueAt, type KubeObject, parseConfigFile } from '../chart/rendered-objects.ts';
import { killOnExit } from '../cluster/child-process.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { type RunningProgram, startProgram } from '../support/program.ts';
import { type ProcessOutput, runProgram } from '../support/run-program.ts';

const script = fileURLToPath(new URL('../../try/try.ts', import.meta.url));

/** Writes down its arguments. `docker inspect` prints the ID of the node, which exists while its file does. */
const docker = `case $1 in inspect) exec cat "$LAPTOP/node" ;; esac`;
const k3d = `case "$1 $2" in
  'cluster create') echo "node-$$" > "$LAPTOP/node" ;;
  'cluster delete') rm "$LAPTOP/node" ;;
  'kubeconfig write') while [ "$1" != --output ]; do shift; done; cp "$LAPTOP/kubeconfig" "$2" ;;
esac`;

export interface Laptop {
  /** For `--folder`. */
  readonly folder: string;
  /** Runs npm run try. */
  run(args: readonly string[], environment?: Readonly<Record<string, string>>): Promise<ProcessOutput>;
}

/** @param folder an empty folder */
export async function createLaptop(folder: string, kubeconfig: string): Promise<Laptop> {
  const programs = join(folder, 'programs');
  await mkdir(programs);
  await writeFile(join(folder, 'kubeconfig'), kubeconfig);
  for (const [name, body] of Object.entries({ docker, k3d })) {
    const file = join(programs, name);
    await writeFile(file, `#!/bin/sh\n${body}\n`);
    await chmod(file, 0o755);
  }
  const tryFolder = join(folder, 'try');
  const path = [programs, process.env['PATH']].join(delimiter);
  return {
    folder: tryFolder,
    run: (args, environment = {}) =>
      runProgram(process.execPath, [script, '--folder', tryFolder, ...args], {
        env: { PATH: path, HOME: process.env['HOME'], NO_COLOR: '1', LAPTOP: folder, ...environment },
        timeout: 120_000,
      }),
  };
}

interface NodeOptions {
  readonly cluster: Cluster;
  /** The bundle of the stand-in. */
  readonly standInFile: string;
  /** A tar archive for the image. */
  readonly layerFile: string;
}

/** What a node of the cluster would do. */
export interface SimulatedNode {
  /** The images that were pulled with a pull Secret. */
  readonly pulled: readonly string[];
  stop(): Promise<void>;
}

/**
 * Starts what the Deployments would start: the stand-in, and the program as the API server calls it. Pulls the images of pods,
 * and reports all as ready.
 */
export function startNode(options: NodeOptions): SimulatedNode {
  const node = new Node(options);
  const abort = new AbortController();
  const done = (async () => {
    try {
      for await (const _ of setInterval(100, undefined, { signal: abort.signal })) {
        await node.tick();
      }
    } catch (error) {
      if (!abort.signal.aborted) {
        throw error;
      }
    }
  })();
  done.catch(() => undefined);
  return {
    pulled: node.pulled,
    stop: async () => {
      abort.abort();
      await done.finally(() => node.stop());
    },
  };
}

class Node {
  readonly pulled: string[] = [];
  readonly #options: NodeOptions;
  #standIn:
    | { readonly child: ChildProcess; readonly apiUrl: string; readonly registryUrl: string }
    | undefined;
  #program: RunningProgram | undefined;
  #restoreWebhook: (() => Promise<void>) | undefined;

  constructor(options: NodeOptions) {
    this.#options = options;
  }

  async tick(): Promise<void> {
    for (const deployment of await this.#list('/apis/apps/v1/deployments')) {
      if (
        getValueAt(deployment, 'status.observedGeneration') !== getValueAt(deployment, 'metadata.generation')
      ) {
        await this.#startContainer(deployment);
        await this.#reportAvailable(deployment);
      }
    }
    for (const pod of await this.#list('/api/v1/namespaces/default/pods')) {
      if (getValueAt(pod, 'status.phase') === 'Pending') {
        await this.#runPod(pod);
      }
    }
  }

  async stop(): Promise<void> {
    this.#standIn?.child.kill();
    await this.#program?.stop();
  }

  async #startContainer(deployment: KubeObject): Promise<void> {
    const container = getValueAt(deployment, 'spec.template.spec.containers.0');
    if (deployment.metadata.name === 'ecr-stand-in') {
      this.#standIn ??= await this.#startStandIn(container.args);
    } else if (deployment.metadata.name === 'ecr-pull-secrets') {
      this.#program ??= await this.#startProgram(container);
      this.#restoreWebhook ??= await this.#pointWebhookTo(this.#program);
    }
  }

  /** Free ports on loopback replace those of the manifest. */
  async #startStandIn(args: readonly string[]) {
    const { standInFile, layerFile } = this.#options;
    const ports = ['--api-host=127.0.0.1', '--api-port=0', '--registry-port=0', `--layer=${layerFile}`];
    const child = spawn(process.execPath, [standInFile, ...args, ...ports], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    killOnExit(child);
    const [line] = await once(createInterface(child.stdout), 'line');
    const { api, registry } = JSON.parse(String(line).replace('listening: ', ''));
    return { child, apiUrl: api, registryUrl: `http://127.0.0.1:${registry.port}` };
  }

  /** Starts the program with its installed configuration, environment and permissions. */
  async #startProgram(container: unknown): Promise<RunningProgram> {
    const { cluster } = this.#options;
    const inNamespace = '/api/v1/namespaces/ecr-pull-secrets';
    const keys = await this.#get(
      `${inNamespace}/secrets/${getValueAt(container, 'envFrom.0.secretRef.name')}`,
    );
    const variables = getValueAt(container, 'env').map(({ name, value }: Record<string, string>) => [
      name,
      value?.replace('http://ecr-stand-in.ecr-stand-in.svc:5080', this.#standIn?.apiUrl ?? ''),
    ]);
    return await startProgram({
      kubeconfigPath: await cluster.serviceAccountKubeconfig('ecr-pull-secrets', 'ecr-pull-secrets'),
      environment: { ...decode(getValueAt(keys, 'data')), ...Object.fromEntries(variables) },
      config: parseConfigFile(await this.#get(`${inNamespace}/configmaps/ecr-pull-secrets`)),
    });
  }

  /** Makes the API server call the program on this machine. Returns a function that restores what Helm has written. */
  async #pointWebhookTo({ webhookUrl, caPem }: RunningProgram): Promise<() => Promise<void>> {
    const path = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/zz-ecr-pull-secrets';
    const original = getValueAt(await this.#get(path), 'webhooks.0.clientConfig');
    const replace = (value: unknown) =>
      this.#patch(path, [{ op: 'replace', path: '/webhooks/0/clientConfig', value }]);
    await replace({ url: webhookUrl, caBundle: Buffer.from(caPem).toString('base64') });
    return () => replace(original);
  }

  async #reportAvailable(deployment: KubeObject): Promise<void> {
    const { name, namespace } = deployment.metadata;
    const replicas = getValueAt(deployment, 'spec.replicas');
    const status = {
      ...{ observedGeneration: getValueAt(deployment, 'metadata.generation'), replicas },
      ...{ updatedReplicas: replicas, readyReplicas: replicas, availableReplicas: replicas },
      conditions: [
        { type: 'Available', status: 'True', reason: 'MinimumReplicasAvailable' },
        { type: 'Progressing', status: 'True', reason: 'NewReplicaSetAvailable' },
      ],
    };
    await this.#patch(`/apis/apps/v1/namespaces/${namespace}/deployments/${name}/status`, { status });
  }

  /** Pulls the image like a kubelet: with the token in the pull Secrets of the pod, from the registry that replaces its host. */
  async #runPod(pod: KubeObject): Promise<void> {
    const image = String(getValueAt(pod, 'spec.containers.0.image'));
    const [host = '', ...path] = image.replace(/:[^:]+$/, '').split('/');
    const secret = getValueAt(pod, 'spec.imagePullSecrets.0.name');
    const stored = await this.#get(`/api/v1/namespaces/default/secrets/${secret}`);
    const { auths } = JSON.parse(decode(getValueAt(stored, 'data'))['.dockerconfigjson'] ?? '');
    const url = `${this.#standIn?.registryUrl}/v2/${path.join('/')}/manifests/${image.split(':').at(-1)}?ns=${host}`;
    const { status } = await fetch(url, { headers: { authorization: `Basic ${auths[host].auth}` } });
    if (status !== 200) {
      throw new Error(`GET ${url}: ${status}`);
    }
    this.pulled.push(image);
    const { name, uid } = Object(pod.metadata);
    await this.#options.cluster.request('POST', '/api/v1/namespaces/default/events', {
      ...{ apiVersion: 'v1', kind: 'Event', metadata: { name: `${name}.${uid}`, namespace: 'default' } },
      ...{ type: 'Normal', reason: 'Pulled', message: `Successfully pulled image "${image}"` },
      involvedObject: { kind: 'Pod', namespace: 'default', name, uid },
    });
    // A later run of Helm would find another address than its own.
    await this.#restoreWebhook?.();
    this.#restoreWebhook = undefined;
    await this.#patch(`/api/v1/namespaces/default/pods/${name}/status`, {
      status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] },
    });
  }

  async #list(path: string): Promise<KubeObject[]> {
    return getValueAt(await this.#get(path), 'items');
  }

  async #get(path: string): Promise<KubeObject> {
    const { status, body } = await this.#options.cluster.request('GET', path);
    if (status !== 200) {
      throw new Error(`GET ${path}: ${status} ${JSON.stringify(body)}`);
    }
    return body as KubeObject;
  }

  async #patch(path: string, patch: object): Promise<void> {
    const contentType = `application/${Array.isArray(patch) ? 'json' : 'merge'}-patch+json`;
    const { status, body } = await this.#options.cluster.request('PATCH', path, patch, { contentType });
    if (status !== 200) {
      throw new Error(`PATCH ${path}: ${status} ${JSON.stringify(body)}`);
    }
  }
}

/** The data of a Secret. */
function decode(data: Readonly<Record<string, string>>): Record<string, string> {
  const entries = Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]);
  return Object.fromEntries(entries);
}
