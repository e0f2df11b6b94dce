// Decides which proxy a request to AWS goes through, as golang.org/x/net/http/httpproxy does.
import { BlockList, isIP } from 'node:net';
import { domainToASCII } from 'node:url';
import type { Problem } from '../config/problems.ts';

/** A proxy, and the environment variable that named it. */
export interface ProxyServer {
  /** A URL with the scheme `http` or `https`. It may hold a password. */
  readonly url: string;
  readonly variable: string;
}

/** The proxy for requests of each scheme, and the hosts that are reached without one. */
export interface ProxySettings {
  readonly http: ProxyServer | undefined;
  readonly https: ProxyServer | undefined;
  readonly noProxy: readonly NoProxyEntry[];
}

/** An entry of `NO_PROXY`. */
interface NoProxyEntry {
  /** Undefined: every port. */
  readonly port?: string | undefined;
  matches(host: string): boolean;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Schemes of proxies that other programs support, and that may therefore be repeated in a message. */
const unsupportedSchemes: readonly string[] = ['socks', 'socks4', 'socks4a', 'socks5', 'socks5h'];

const exampleUrl = 'http://proxy.example.com:3128';

/**
 * Reads `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`, the uppercase form first, as Go does; and `ALL_PROXY` for a scheme
 * without a proxy of its own, as curl does. A value without a scheme is an `http` proxy. Go ignores a URL that it cannot
 * parse, and connects directly; here it is a problem. Problems contain nothing of the values, which may hold a password.
 */
export function readProxySettings(environment: Environment): {
  readonly settings: ProxySettings;
  readonly problems: readonly Problem[];
} {
  const http = readProxy(environment, ['HTTP_PROXY', 'http_proxy', 'ALL_PROXY', 'all_proxy']);
  const https = readProxy(environment, ['HTTPS_PROXY', 'https_proxy', 'ALL_PROXY', 'all_proxy']);
  const problems = [https.problem, http.problem].filter((problem) => problem !== undefined);
  const [, noProxy = ''] = findFirstSet(environment, ['NO_PROXY', 'no_proxy']) ?? [];
  return {
    settings: { http: http.proxy, https: https.proxy, noProxy: parseNoProxy(noProxy) },
    problems: problems.filter(({ path }, index) => problems.findIndex((one) => one.path === path) === index),
  };
}

/**
 * The proxy for a request; undefined: connect directly. `localhost` and loopback addresses are always reached directly.
 * @param url `protocol` with its colon; `hostname` with or without the brackets of IPv6; without a `port`, the scheme's
 */
export function selectProxy(
  settings: ProxySettings,
  url: { readonly protocol: string; readonly hostname: string; readonly port?: number | string | undefined },
): ProxyServer | undefined {
  const proxy = url.protocol === 'https:' ? settings.https : settings.http;
  if (proxy === undefined) {
    return undefined;
  }
  const host = stripTrailingDot(stripBrackets(url.hostname.toLowerCase()));
  const port = String(url.port || (url.protocol === 'https:' ? 443 : 80));
  if (host === 'localhost' || containsAddress(loopback, host)) {
    return undefined;
  }
  const isExcepted = settings.noProxy.some(
    (entry) => (entry.port === undefined || entry.port === port) && entry.matches(host),
  );
  return isExcepted ? undefined : proxy;
}

function findFirstSet(
  environment: Environment,
  names: readonly string[],
): readonly [name: string, value: string] | undefined {
  const name = names.find((one) => environment[one]);
  return name === undefined ? undefined : [name, environment[name] ?? ''];
}

function readProxy(
  environment: Environment,
  names: readonly string[],
): { readonly proxy?: ProxyServer; readonly problem?: Problem } {
  const [variable, value] = findFirstSet(environment, names) ?? [];
  if (variable === undefined || value === undefined) {
    return {};
  }
  const result = parseProxy(value);
  return 'url' in result
    ? { proxy: { url: result.url, variable } }
    : { problem: { path: variable, text: result.problem } };
}

function parseProxy(value: string): { readonly url: string } | { readonly problem: string } {
  if (/[\s\p{Cc}]/u.test(value)) {
    return { problem: `contains a space or a line break; set a URL such as ${exampleUrl}` };
  }
  const scheme = /^([a-z][a-z\d+.-]*):\/\//i.exec(value)?.[1]?.toLowerCase();
  if (scheme !== undefined && scheme !== 'http' && scheme !== 'https') {
    const what = unsupportedSchemes.includes(scheme) ? `the scheme ${scheme}` : 'an unknown scheme';
    return { problem: `has ${what}; only http and https proxies are supported, such as ${exampleUrl}` };
  }
  const url = URL.parse(scheme === undefined ? `http://${value}` : value);
  const isOrigin = url !== null && url.pathname === '/' && url.search === '' && url.hash === '';
  if (!isOrigin || /^https?:(?!\/\/)/i.test(value) || !isDecodable(`${url.username}:${url.password}`)) {
    return {
      problem: `is not the URL of a proxy, such as ${exampleUrl}; percent-encode special characters of its user name and password`,
    };
  }
  return { url: url.href };
}

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

/** Entries are divided by commas, as in Go, or white space, as in curl. What is malformed never matches, as in both. */
function parseNoProxy(value: string): NoProxyEntry[] {
  return value
    .toLowerCase()
    .split(/[,\s]+/)
    .flatMap((entry) => parseNoProxyEntry(entry) ?? []);
}

function parseNoProxyEntry(entry: string): NoProxyEntry | undefined {
  if (entry === '*') {
    return { matches: () => true };
  }
  const [, network = '', prefix = ''] = /^([^/]+)\/(\d{1,3})$/.exec(entry) ?? [];
  if (isAddress(network)) {
    return Number(prefix) <= (isIP(network) === 4 ? 32 : 128)
      ? createSubnetEntry(network, Number(prefix))
      : undefined;
  }
  const bracketed = /^\[(.+)\](?::(.*))?$/.exec(entry);
  const [, host = entry, digits] = bracketed ?? /^([^:]*):([^:]*)$/.exec(entry) ?? [];
  const port = digits || undefined;
  return isAddress(host)
    ? { ...createSubnetEntry(host, isIP(host) === 4 ? 32 : 128), port }
    : createDomainEntry(host, port);
}

function createSubnetEntry(network: string, prefix: number): NoProxyEntry {
  const list = new BlockList();
  list.addSubnet(network, prefix, isIP(network) === 4 ? 'ipv4' : 'ipv6');
  // BlockList would find every IPv4 address in ::/0
  return { matches: (host) => isIPv4Like(host) === isIPv4Like(network) && containsAddress(list, host) };
}

/** `a.b` matches itself and its subdomains, `.a.b` and `*.a.b` only the subdomains. */
function createDomainEntry(host: string, port: string | undefined): NoProxyEntry | undefined {
  const isSuffix = host.startsWith('.') || host.startsWith('*.');
  const name = toAscii(stripTrailingDot(host.replace(/^\*?\./, '')));
  if (name === '') {
    return undefined;
  }
  return {
    port,
    matches: (candidate) =>
      isIP(candidate) === 0 && (candidate.endsWith(`.${name}`) || (!isSuffix && candidate === name)),
  };
}

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

const ipv4Mapped = new BlockList();
ipv4Mapped.addSubnet('::ffff:0:0', 96, 'ipv6');

/** Whether a host is an IPv4 address, or an IPv6 address that stands for one. */
function isIPv4Like(host: string): boolean {
  return isIP(host) === 4 || containsAddress(ipv4Mapped, host);
}

/** Whether a host is an address in a list. A list of IPv4 networks contains IPv4-mapped IPv6 addresses too. */
function containsAddress(list: BlockList, host: string): boolean {
  return isAddress(host) && list.check(host, isIP(host) === 4 ? 'ipv4' : 'ipv6');
}

/** An IP address without a zone. */
function isAddress(text: string): boolean {
  return isIP(text) !== 0 && !text.includes('%');
}

function toAscii(name: string): string {
  return /^[\x20-\x7e]*$/.test(name) ? name : domainToASCII(name);
}

function stripBrackets(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1');
}

function stripTrailingDot(host: string): string {
  return host.replace(/\.$/, '');
}
