// Checks host names that are not assigned by Amazon ECR, as image references contain them. Pure.

/**
 * Maximum length of a registry host with its port. No host name of ECR is longer, and the size limits of the annotation count
 * on it. Longer hosts are rejected before they are matched.
 */
export const maxHostLength = 128;

/** Whether the digits after the colon of a host are a port; undefined: there is none, which is legal too. */
export function isPort(digits = '1'): boolean {
  return Number(digits) <= 65_535;
}

/** Labels as in distribution/reference `regexp.go`, in lower case, and a port. An IPv4 address has this form too. */
const hostNamePattern =
  /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*(?::(?<port>[1-9]\d{0,4}))?$/;

/** Names that stand for Docker Hub. distribution/reference replaces the second one by the first. */
const dockerHubHosts: readonly string[] = ['docker.io', 'index.docker.io'];

/**
 * Returns why container runtimes do not use a text as the registry host of an image, as the rest of a sentence that begins with
 * the host; undefined if they use it. Accepts `HOST` and `HOST:PORT`.
 */
export function findHostNameProblem(host: string): string | undefined {
  if (host.length > maxHostLength) {
    return `is longer than ${maxHostLength} characters`;
  }
  const match = hostNamePattern.exec(host);
  if (match === null || !isPort(match.groups?.['port'])) {
    return 'is not a host name or IPv4 address in lowercase with an optional port, such as registry.example.com:5000';
  }
  if (dockerHubHosts.includes(host)) {
    return 'is Docker Hub, which is not an Amazon ECR registry';
  }
  if (!/[.:]/.test(host) && host !== 'localhost') {
    return `needs a dot or a port, because container runtimes read an image ${host}/app as docker.io/${host}/app`;
  }
  return undefined;
}
