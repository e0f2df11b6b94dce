// Parses image references into registry host, repository, and tag or digest. Pure.
import { getImageHost } from './registry.ts';

/** An image in a registry. */
export interface ImageReference {
  /** Host with its port, as the image names it. */
  readonly host: string;
  readonly repository: string;
  /** A tag or a digest. As in container runtimes, the digest counts if an image names both, and `latest` if it names neither. */
  readonly reference: string;
}

/** Maximum length of a repository of Amazon ECR (API reference, CreateRepository), and of a tag (distribution/reference). */
const maxRepositoryLength = 256;
const tagPattern = /^\w[\w.-]{0,127}$/;

/** A digest, as the whole text. */
export const digestPattern = /^sha256:[0-9a-f]{64}$/;

/** Components in lower case, joined by slashes (distribution/reference `regexp.go`). No two adjacent parts overlap. */
const repositoryPattern =
  /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;

/**
 * Parses `HOST/REPOSITORY[:TAG][@DIGEST]`. The reference is untrusted input. Of what is returned, each part can be used in a URL as
 * it is.
 * @returns the parts; undefined without a host; or what is wrong, as the rest of a sentence that begins with the image
 */
export function parseImageReference(image: string): ImageReference | string | undefined {
  const host = getImageHost(image);
  if (host === undefined) {
    return undefined;
  }
  const [named = '', digest] = splitOnce(image.slice(host.length + 1), '@');
  const [repository = '', tag] = splitOnce(named, ':');
  if (repository.length > maxRepositoryLength || !repositoryPattern.test(repository)) {
    return 'has a repository with characters other than lowercase letters, digits, and single separators';
  }
  if (tag !== undefined && !tagPattern.test(tag)) {
    return 'has a tag with characters other than letters, digits, "_", "." and "-", or with more than 128 of them';
  }
  if (digest !== undefined && !digestPattern.test(digest)) {
    return 'has a digest that is not "sha256:" and 64 hexadecimal digits in lowercase';
  }
  return { host, repository, reference: digest ?? tag ?? 'latest' };
}

function splitOnce(text: string, separator: string): [string, string?] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}
