// Checks whether the token of a pull Secret gives access to an image.
import { ConfigError } from '../config/load-config.ts';
import type { Environment } from '../ecr/aws-settings.ts';
import type { ImageReference } from '../ecr/image-reference.ts';
import type { Registry } from '../ecr/registry.ts';
import { checkManifest } from '../ecr/registry-manifest.ts';
import { describeGapStep, hasFailed } from './chain.ts';
import type { CheckResult } from './check.ts';
import { skipCheck } from './check-text.ts';
import type { Installation } from './installation.ts';
import { describeManifest } from './manifest-results.ts';
import type { NamespaceSecret } from './secret-chain.ts';
import { describeToken } from './secret-results.ts';

/** Bounds of one request to a registry, and of all requests for one image, in ms. */
const timeouts = { connectMs: 3_000, requestMs: 8_000 };
const totalMs = 15_000;

const check = 'image-manifest';

export interface ImagePull {
  readonly image: ImageReference;
  readonly registry: Registry;
  readonly secret: NamespaceSecret;
  /** `OS/ARCHITECTURE[/VARIANT]`; undefined: not known. */
  readonly platform: string | undefined;
}

/** Sends the token to the host of the image and to no other. */
export async function checkImagePull(
  installation: Installation,
  pull: ImagePull,
  signal: AbortSignal,
): Promise<CheckResult[]> {
  const { image, secret } = pull;
  const token = secret.status && describeToken(image.host, secret.status, Date.now());
  const results = token === undefined ? [] : [token];
  const auth = secret.credentials?.auth(image.host);
  if (hasFailed(results)) {
    return [...results, skipCheck(check, 'there is no valid token for the host')];
  }
  if (auth === undefined) {
    const { gap } = secret;
    return [
      ...results,
      gap === undefined
        ? skipCheck(check, 'the Secret holds no token for the host')
        : describeGapStep(check, gap, gap.isForbidden ? rightsRemedy : undefined),
    ];
  }
  return [...results, ...(await requestManifest(installation, pull, auth, signal))];
}

const rightsRemedy =
  "Run the command in the program's pod with kubectl exec, or with the right to get the Secret";

async function requestManifest(
  { config, environment, viewpoint }: Installation,
  { image, registry, secret, platform }: ImagePull,
  auth: string,
  signal: AbortSignal,
): Promise<CheckResult[]> {
  try {
    const result = await checkManifest({
      ...{ image, registry, platform, auth, timeouts },
      environment: viewpoint === 'inside' ? environment : pickConnection(environment),
      signal: AbortSignal.any([signal, AbortSignal.timeout(totalMs)]),
    });
    const name = `${secret.namespace}/${config.secretName}`;
    return describeManifest({ image, registry, result, platform, viewpoint, secret: name });
  } catch (error) {
    if (error instanceof ConfigError) {
      return [skipCheck(check, 'the environment variables for proxies or CAs cannot be used')];
    }
    throw error;
  }
}

const connectionVariables = ['HTTPS_PROXY', 'HTTP_PROXY', 'NO_PROXY', 'ALL_PROXY'];

/** On another machine, only the variables for its network count, and not those of its AWS credentials. */
function pickConnection(environment: Environment): Environment {
  const names = ['AWS_CA_BUNDLE', ...connectionVariables.flatMap((name) => [name, name.toLowerCase()])];
  return Object.fromEntries(names.map((name) => [name, environment[name]]));
}
