// Judges whether NetworkPolicies let the API server connect to the webhook's pods, as far as the policies show it. Pure.
import { getField, getItems, isObject } from '../util/json.ts';
import { type Labels, parseLabelSelector } from '../util/label-selector.ts';
import { formatSelector } from '../util/selector-object.ts';
import type { CheckResult } from './check.ts';

/** A port of the webhook's container: its number and its name. */
interface WebhookPort {
  readonly number: number;
  readonly name: string;
}

export interface NetworkFacts {
  /** The NetworkPolicies of the namespace, as the API server sent them. */
  readonly policies: readonly unknown[];
  /** The labels of the program's pods. */
  readonly podLabels: Labels;
  readonly port: WebhookPort;
  /** The addresses of the API server; empty if they are not known. */
  readonly apiServerAddresses: readonly string[];
  /** Whether an address is in a CIDR. */
  isInCidr(address: string, cidr: string): boolean;
}

const check = 'webhook-network-policy';
const page = 'how-to/restrict-the-webhook-port.md#check-the-policy';

export function judgeNetworkPolicies(facts: NetworkFacts): CheckResult {
  const selecting = facts.policies.filter((policy) => restrictsIngress(policy, facts.podLabels));
  const names = selecting.map((policy) => String(getField(getField(policy, 'metadata'), 'name')));
  if (selecting.length === 0) {
    return { check, outcome: 'ok', summary: 'no NetworkPolicy restricts connections to the webhook' };
  }
  const which = `NetworkPolicy ${names.slice(0, 3).join(', ')}${names.length > 3 ? ' …' : ''}`;
  const peers = selecting
    .flatMap((policy) => getItems(getField(getField(policy, 'spec'), 'ingress')))
    .filter((rule) => allowsPort(rule, facts.port))
    .map((rule) => getItems(getField(rule, 'from')));
  if (peers.length === 0) {
    return {
      check,
      outcome: 'failed',
      summary: `${which} allows no connection to port ${facts.port.number} of the webhook's pods`,
      meaning: 'The API server cannot call the webhook, so new pods get no reference',
      remedy: `Allow ingress from the API server to port ${facts.port.number}`,
      page,
    };
  }
  const blocks = peers.flatMap((from) => from.map((peer) => getField(peer, 'ipBlock'))).filter(isObject);
  const isOpen = peers.some((from) => from.length === 0);
  const isNamed =
    facts.apiServerAddresses.length > 0 &&
    facts.apiServerAddresses.every((address) => blocks.some((block) => allowsAddress(block, address, facts)));
  if (isOpen || isNamed) {
    return { check, outcome: 'ok', summary: `${which} lets the API server connect to the webhook` };
  }
  const addresses = facts.apiServerAddresses.slice(0, 3).join(', ');
  return {
    check,
    outcome: 'warning',
    summary: `${which} restricts who connects to the webhook, and does not name ${
      addresses === '' ? "the API server's addresses, which are not known" : `the API server (${addresses})`
    }`,
    meaning:
      'If the API server connects from an address that is not allowed, it cannot call the webhook and new pods get no reference',
    remedy: 'Find the addresses from which the API server connects, and set networkPolicy.apiServerCidrs',
    page,
  };
}

/** The same result after a dry run that the webhook answered: the policy is not enforced, or allows more than it shows. */
export function softenIfCalled(result: CheckResult): CheckResult {
  return result.check === check && result.outcome === 'failed'
    ? {
        ...result,
        outcome: 'warning',
        meaning:
          'The API server does call the webhook, so the network of this cluster does not enforce the policy',
      }
    : result;
}

/** The same result after a dry run for which the webhook was not called, and that no other check explains. */
export function hardenIfNotCalled(result: CheckResult): CheckResult {
  return result.check === check && result.outcome === 'warning'
    ? {
        ...result,
        outcome: 'failed',
        meaning: 'The API server does not reach the webhook, so new pods get no reference',
      }
    : result;
}

function restrictsIngress(policy: unknown, podLabels: Labels): boolean {
  const spec = getField(policy, 'spec');
  const types = getItems(getField(spec, 'policyTypes'));
  const selector = formatSelector(getField(spec, 'podSelector'));
  const matches = selector === undefined ? undefined : parseLabelSelector(selector);
  return (types.length === 0 || types.includes('Ingress')) && matches?.(podLabels) === true;
}

function allowsPort(rule: unknown, { number, name }: WebhookPort): boolean {
  const ports = getItems(getField(rule, 'ports'));
  return (
    ports.length === 0 ||
    ports.some((entry) => {
      const [port, endPort, protocol] = ['port', 'endPort', 'protocol'].map((key) => getField(entry, key));
      if (protocol !== undefined && protocol !== 'TCP') {
        return false;
      }
      return (
        port === undefined ||
        port === number ||
        port === name ||
        (typeof port === 'number' && typeof endPort === 'number' && port <= number && number <= endPort)
      );
    })
  );
}

function allowsAddress(
  block: Record<string, unknown>,
  address: string,
  { isInCidr }: Pick<NetworkFacts, 'isInCidr'>,
): boolean {
  return (
    isInCidr(address, String(block['cidr'])) &&
    !getItems(block['except']).some((cidr) => isInCidr(address, String(cidr)))
  );
}
