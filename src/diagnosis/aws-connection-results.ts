// Describes whether AWS can be reached, through which proxy, and whether the clock is right. Pure.
import type { EndpointProbe } from '../ecr/endpoint-probe.ts';
import type { CheckResult } from './check.ts';
import { formatDuration, skipCheck } from './check-text.ts';

/** AWS refuses requests whose signature is older or newer (AWS STS API reference, "RequestExpired"), in ms. */
const maxSkewMs = 300_000;

/** A difference that has no effect yet, and shows that the clock is not synchronized, in ms. */
const unusualSkewMs = 30_000;

/** Endpoints that a line names. */
const maxNamed = 5;

/** A probe, and the region that it is for. */
export interface RegionProbe extends EndpointProbe {
  readonly region: string;
}

/** What the probes say about everything that comes after them. */
export interface ConnectionFindings {
  readonly results: readonly CheckResult[];
  /** Why nothing else can be checked, as the end of a sentence after "because"; undefined: something responded. */
  readonly obstacle: string | undefined;
  /** Whether the clock explains failures of signatures and expired credentials. */
  readonly isClockOff: boolean;
}

/**
 * @param probes at least one
 * @param reference of an endpoint that exists for certain
 */
export function describeConnection(
  probes: readonly RegionProbe[],
  reference: RegionProbe = probes[0] as RegionProbe,
): ConnectionFindings {
  const all = [...probes, reference];
  const reached = all.filter(({ failure }) => failure === undefined);
  const proxied = all.find(({ proxy }) => proxy !== undefined);
  if (reached.length > 0) {
    const clock = describeClock(reached);
    const results = [describeProxy(proxied?.proxy), describeReached(reached), clock.result];
    return { results, obstacle: undefined, isClockOff: clock.isOff };
  }
  const first = all.find(({ isUnknownHost }) => !isUnknownHost) ?? reference;
  const isProxyFailure = first.failure?.code.startsWith('proxy') === true;
  const results = isProxyFailure
    ? [describeProxyFailure(first), skipCheck('aws-connection', 'the proxy does not forward requests')]
    : [describeProxy(proxied?.proxy), describeUnreachable(first)];
  const obstacle = 'AWS cannot be reached';
  return { results: [...results, skipCheck('aws-clock', obstacle)], obstacle, isClockOff: false };
}

function describeProxy(proxy: EndpointProbe['proxy']): CheckResult {
  return {
    check: 'aws-proxy',
    outcome: 'ok',
    summary:
      proxy === undefined
        ? 'requests to AWS use no proxy'
        : `requests to AWS go through the proxy ${proxy.host} (${proxy.variable})`,
  };
}

function describeProxyFailure({ proxy, failure, endpoint }: RegionProbe): CheckResult {
  const name = proxy === undefined ? 'the proxy' : `the proxy ${proxy.host} (${proxy.variable})`;
  return {
    check: 'aws-proxy',
    outcome: 'failed',
    summary: `${name} does not forward requests to ${endpoint}: ${failure?.description}`,
    meaning: 'The program cannot fetch tokens, so pods stop pulling when the stored tokens expire',
    remedy: failure?.advice,
    page: 'how-to/use-a-proxy.md#check-the-proxy',
  };
}

function describeReached(reached: readonly RegionProbe[]): CheckResult {
  return {
    check: 'aws-connection',
    outcome: 'ok',
    summary: `AWS responds at ${listNames(reached.map(({ endpoint }) => endpoint ?? ''))}`,
  };
}

function describeUnreachable({ endpoint, failure, region, isUnknownHost }: RegionProbe): CheckResult {
  // nothing else responds, so it is not the name of this region
  const cause = isUnknownHost ? 'DNS finds no host of AWS' : failure?.description;
  return {
    check: 'aws-connection',
    outcome: 'failed',
    summary: `AWS cannot be reached at ${endpoint ?? `the endpoint of ${region}`}: ${cause}`,
    meaning: 'The program cannot fetch tokens, so pods stop pulling when the stored tokens expire',
    remedy: isUnknownHost
      ? 'Check DNS in the cluster. Without a DNS server for the internet, set a proxy or VPC endpoints'
      : failure?.advice,
    page: 'troubleshooting.md#aws-refuses-or-does-not-respond',
  };
}

function describeClock(reached: readonly RegionProbe[]): { result: CheckResult; isOff: boolean } {
  const aheadMs = reached.find(({ clockAheadMs }) => clockAheadMs !== undefined)?.clockAheadMs;
  if (aheadMs === undefined) {
    return { result: skipCheck('aws-clock', 'the response of AWS has no date'), isOff: false };
  }
  const check = 'aws-clock';
  const differenceMs = Math.abs(aheadMs);
  if (differenceMs < unusualSkewMs) {
    const summary = 'the clock agrees with that of AWS';
    return { result: { check, outcome: 'ok', summary }, isOff: false };
  }
  const isOff = differenceMs > maxSkewMs;
  return {
    isOff,
    result: {
      check,
      outcome: isOff ? 'failed' : 'warning',
      summary: `the clock of this machine is ${formatDuration(differenceMs)} ${aheadMs > 0 ? 'ahead of' : 'behind'} that of AWS`,
      meaning: isOff
        ? 'AWS refuses requests that are signed more than 5 minutes off, and tokens expire at another time than the program expects'
        : 'If the difference grows to more than 5 minutes, AWS refuses the requests of the program',
      remedy: 'Synchronize the clock of the node, for example with chrony or systemd-timesyncd',
      page: 'troubleshooting.md#aws-refuses-or-does-not-respond',
    },
  };
}

/** Names each once, and counts what is not named. */
export function listNames(names: readonly string[]): string {
  const distinct = [...new Set(names)];
  const more = distinct.length > maxNamed ? ` and ${distinct.length - maxNamed} more` : '';
  return `${distinct.slice(0, maxNamed).join(', ')}${more}`;
}
