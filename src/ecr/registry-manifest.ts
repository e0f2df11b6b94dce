// Checks whether a registry returns the manifest of an image to the owner of a token.
import { getField, getItems, parseJsonOrUndefined } from '../util/json.ts';
import { digestPattern, type ImageReference } from './image-reference.ts';
import type { Registry } from './registry.ts';
import { createRegistryClient, type RegistryClient, type RegistryClientOptions } from './registry-client.ts';
import { classifyRefusal, type ManifestRefusal } from './registry-error.ts';
import { classifyError, type TokenError } from './token-error.ts';

/** What a container runtime would get. */
export type ManifestResult =
  | {
      readonly outcome: 'found';
      /** `sha256:…`, if the registry names it. */
      readonly digest: string | undefined;
      /** The platforms of an image index, at most {@link maxPlatforms}; undefined if it was not read, or for a single image. */
      readonly platforms: readonly string[] | undefined;
      /** Whether the wanted platform is among them; undefined if none was given, or for a single image. */
      readonly hasPlatform: boolean | undefined;
    }
  | ManifestRefusal
  /** There was no response. */
  | { readonly outcome: 'unreachable'; readonly failure: TokenError };

export interface ManifestRequest extends Omit<RegistryClientOptions, 'host'> {
  readonly image: ImageReference;
  readonly registry: Registry;
  /** `OS/ARCHITECTURE[/VARIANT]`; undefined: any. */
  readonly platform: string | undefined;
}

const singleTypes = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
];
const indexTypes = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
];

/** The types that container runtimes accept. */
const accept = [...indexTypes, ...singleTypes].join(', ');

/** Platforms of an index that are read. */
const maxPlatforms = 50;

/**
 * Requests the manifest with HEAD, as container runtimes do to resolve a tag. If the registry refuses, the request is repeated with GET,
 * whose response says why. Never throws because of what the registry responds.
 * @throws {ConfigError} as {@link createRegistryClient}
 */
export async function checkManifest({
  image,
  registry,
  platform,
  ...options
}: ManifestRequest): Promise<ManifestResult> {
  const client = createRegistryClient({ ...options, host: image.host });
  try {
    return await requestManifest(client, image, platform);
  } catch (error) {
    return { outcome: 'unreachable', failure: classifyError(error, registry.region) };
  } finally {
    client.close();
  }
}

async function requestManifest(
  client: RegistryClient,
  { repository, reference }: ImageReference,
  platform: string | undefined,
): Promise<ManifestResult> {
  const path = `/v2/${repository}/manifests/${reference}`;
  const head = await client.send('HEAD', path, accept);
  if (head.status !== 200) {
    const { status, body } = await client.send('GET', path, accept);
    return classifyRefusal(status === 200 ? head.status : status, body);
  }
  const digest = digestPattern.exec(head.headers['docker-content-digest'] ?? '')?.[0];
  const type = head.headers['content-type']?.split(';')[0]?.trim() ?? '';
  if (platform === undefined || !indexTypes.includes(type)) {
    return { outcome: 'found', digest, platforms: undefined, hasPlatform: undefined };
  }
  const index = await client.send('GET', path, accept);
  if (index.status !== 200) {
    return classifyRefusal(index.status, index.body);
  }
  const platforms = listPlatforms(index.body);
  const hasPlatform = platforms.some((one) => one === platform || one.startsWith(`${platform}/`));
  return { outcome: 'found', digest, platforms: platforms.slice(0, maxPlatforms), hasPlatform };
}

/** The platforms of an image index, which is untrusted input. Attestations have the platform `unknown/unknown`. */
function listPlatforms(index: string): string[] {
  const platforms = getItems(getField(parseJsonOrUndefined(index), 'manifests')).map((manifest) => {
    const platform = getField(manifest, 'platform');
    return ['os', 'architecture', 'variant']
      .map((field) => getField(platform, field))
      .filter((part): part is string => typeof part === 'string' && /^[a-z0-9_.-]{1,32}$/.test(part))
      .join('/');
  });
  return [...new Set(platforms)].filter((one) => /^(?!unknown\/)[^/]+\/[^/]+/.test(one));
}
