// The commands of `npm run try`, as a pure function of its settings.
import { formatManifests, keyObjects } from './files.ts';
import { clusterName, programImage, standInImage, standInPodImage, type TrySettings } from './settings.ts';

/** One command. */
export interface Step {
  /** What it is for. */
  readonly title: string;
  readonly command: readonly string[];
  /** Its standard input, which is not printed, because it contains credentials. */
  readonly input?: string;
  /** Whether it creates the cluster. */
  readonly isCreation?: boolean;
}

const program = `${programImage.repository}:${programImage.tag}`;
const installation = ['--namespace', 'ecr-pull-secrets'];
const pod = 'cart';

/** The name of the container that is the only node of the cluster. */
export function nodeOf({ tool }: Pick<TrySettings, 'tool'>): string {
  return tool === 'k3d' ? `k3d-${clusterName}-server-0` : `${clusterName}-control-plane`;
}

/** The commands from the sources to a pulled image. They may be repeated. All but the first run with the new kubeconfig. */
export function planTry(settings: TrySettings): Step[] {
  const { keys, folder, image = keys === undefined ? standInPodImage : undefined } = settings;
  const isStandIn = keys === undefined;
  const images = isStandIn ? [program, standInImage] : [program];
  return [
    {
      title: 'Build the image of ecr-pull-secrets',
      command: ['docker', 'build', '--provenance=false', '--tag', program, '.'],
    },
    ...(isStandIn ? [buildStandIn(folder)] : []),
    ...(settings.hasCluster ? [] : [createCluster(settings)]),
    writeKubeconfig(settings),
    loadImages(settings, images),
    ...(isStandIn ? startStandIn(folder) : storeKeys(keys)),
    {
      title: 'Install the chart',
      command: [
        ...['helm', 'upgrade', '--install', 'ecr-pull-secrets', 'charts/ecr-pull-secrets', ...installation],
        ...['--values', `${folder}/values.yaml`, '--wait', '--timeout', '5m'],
      ],
    },
    ...(settings.hasCluster ? restartProgram() : []),
    ...(image === undefined ? [] : pullImage(image)),
  ];
}

function buildStandIn(folder: string): Step {
  const dockerfile = ['--file', 'try/Dockerfile', `${folder}/image`];
  return {
    title: 'Build the ECR stand-in: the APIs of AWS, and a registry that verifies the tokens',
    command: ['docker', 'build', '--provenance=false', '--tag', standInImage, ...dockerfile],
  };
}

function createCluster({ tool, folder }: TrySettings): Step {
  const command =
    tool === 'k3d'
      ? [
          ...['k3d', 'cluster', 'create', clusterName, '--kubeconfig-update-default=false', '--wait'],
          ...['--registry-config', `${folder}/registries.yaml`],
          // AWS is not asked for the image of the stand-in.
          ...['--k3s-arg', '--disable-default-registry-endpoint@server:0'],
          ...['--k3s-arg', '--disable=traefik@server:0'],
        ]
      : [
          ...['kind', 'create', 'cluster', '--name', clusterName, '--wait', '2m'],
          ...['--config', `${folder}/cluster.yaml`, '--kubeconfig', `${folder}/kubeconfig`],
        ];
  return { title: `Create the cluster ${clusterName}`, command, isCreation: true };
}

function writeKubeconfig({ tool, folder }: TrySettings): Step {
  const file = `${folder}/kubeconfig`;
  return {
    title: 'Write its kubeconfig to a file of its own',
    command:
      tool === 'k3d'
        ? ['k3d', 'kubeconfig', 'write', clusterName, '--output', file]
        : ['kind', 'export', 'kubeconfig', '--name', clusterName, '--kubeconfig', file],
  };
}

function loadImages({ tool }: TrySettings, images: readonly string[]): Step {
  return {
    title: 'Load the images into the cluster',
    command:
      tool === 'k3d'
        ? ['k3d', 'image', 'import', ...images, '--cluster', clusterName]
        : ['kind', 'load', 'docker-image', ...images, '--name', clusterName],
  };
}

function startStandIn(folder: string): Step[] {
  const status = ['kubectl', 'rollout', 'status', 'deployment/ecr-stand-in', '--namespace', 'ecr-stand-in'];
  return [
    {
      title: 'Start the ECR stand-in, and store its access key in a Secret',
      command: ['kubectl', 'apply', '--filename', `${folder}/stand-in.yaml`],
    },
    { title: 'Wait for the ECR stand-in', command: [...status, '--timeout', '2m'] },
  ];
}

function storeKeys(keys: NonNullable<TrySettings['keys']>): Step[] {
  return [
    {
      title: 'Store the AWS access key of the environment in a Secret',
      command: ['kubectl', 'apply', '--filename', '-'],
      input: formatManifests(keyObjects(keys)),
    },
  ];
}

/** The image has the same tag as in an earlier run, and the pods read the Secret with the key only when they start. */
function restartProgram(): Step[] {
  const rollout = ['kubectl', 'rollout'];
  return [
    {
      title: 'Restart the program of an earlier run with the new image and the new key',
      command: [...rollout, 'restart', 'deployment', ...installation],
    },
    {
      title: 'Wait for the program',
      command: [...rollout, 'status', 'deployment/ecr-pull-secrets', ...installation, '--timeout', '2m'],
    },
  ];
}

function pullImage(image: string): Step[] {
  return [
    {
      title: 'Delete the pod of an earlier run',
      command: ['kubectl', 'delete', 'pod', pod, '--namespace', 'default', '--ignore-not-found'],
    },
    {
      title: 'Create a pod with an image in ECR, without a pull Secret',
      command: [
        ...['kubectl', 'run', pod, '--namespace', 'default', `--image=${image}`],
        '--image-pull-policy=Always',
      ],
    },
    {
      title: 'Wait until the image is pulled and the pod runs',
      command: [
        ...['kubectl', 'wait', `pod/${pod}`, '--namespace', 'default'],
        ...['--for=condition=Ready', '--timeout=2m'],
      ],
    },
    {
      title: 'Show the pull',
      command: [
        ...['kubectl', 'get', 'events', '--namespace', 'default'],
        ...['--output', 'custom-columns=MESSAGE:.message'],
        ...['--field-selector', `involvedObject.name=${pod},reason=Pulled`],
      ],
    },
    {
      title: 'Show the Secret',
      command: ['kubectl', 'get', 'secret', 'ecr-pull-secrets', '--namespace', 'default'],
    },
  ];
}

/** The commands that remove everything that {@link planTry} creates, except the folder with its files. */
export function planDelete({ tool, folder }: Pick<TrySettings, 'tool' | 'folder'>): Step[] {
  return [
    {
      title: `Delete the cluster ${clusterName}`,
      command:
        tool === 'k3d'
          ? ['k3d', 'cluster', 'delete', clusterName]
          : ['kind', 'delete', 'cluster', '--name', clusterName, '--kubeconfig', `${folder}/kubeconfig`],
    },
    {
      title: 'Delete the images',
      command: ['docker', 'image', 'rm', '--force', program, standInImage],
    },
  ];
}
