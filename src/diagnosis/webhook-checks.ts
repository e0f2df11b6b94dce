// Checks of the group `webhook`: whether the API server calls the program for new pods, and what comes of it.
import { BlockList, isIPv6 } from 'node:net';
import { getAdmissionExclusions } from '../injection/decision.ts';
import { KubeError } from '../kube/errors.ts';
import { listNamespaces } from '../kube/namespaces.ts';
import { listObjects, readObject } from '../kube/objects.ts';
import { matchesAny } from '../util/glob.ts';
import { formatSelector } from '../util/selector-object.ts';
import { findCertificate, probeTarget } from './certificate-sources.ts';
import type { CheckResult } from './check.ts';
import { checkDryRun } from './dry-run-check.ts';
import { showsNoCall } from './dry-run-judgment.ts';
import { judgeEndpoints, judgeProbe } from './endpoint-judgments.ts';
import type { CheckGroupRunner, Installation } from './installation.ts';
import { judgeNamespaces, type NamespaceSelection } from './namespace-judgment.ts';
import { hardenIfNotCalled, judgeNetworkPolicies, softenIfCalled } from './network-policies.ts';
import { judgeServingCertificate } from './serving-certificate.ts';
import { type PendingCheck, settleChecks } from './settle-checks.ts';
import type { ProbeResult } from './tls-probe.ts';
import type { CalledTarget, WebhookConfigurationFacts, WebhookFacts } from './webhook-facts.ts';
import { judgeInjection, judgeOrder, judgePolicies, judgeRules } from './webhook-judgments.ts';
import { type Configurations, type PolicyFacts, readConfigurations, readPolicies } from './webhook-reads.ts';
import { listWorkloads, readEndpoints, type Workload } from './workloads.ts';

/** @param namespace the namespace of the pod that is created on a dry run; undefined: one that is selected */
export function createWebhookChecks(namespace: string | undefined): CheckGroupRunner {
  return async (installation, signal) => {
    const context = new WebhookContext(installation, signal);
    const before = await settleChecks(context.checks(), installation.viewpoint, signal);
    const last = await settleChecks(
      [{ check: 'webhook-dry-run', run: () => context.dryRun(namespace, before) }],
      installation.viewpoint,
      signal,
    );
    const isCalled = last.some(({ outcome }) => outcome === 'ok') && !(await context.mayHavePolicy());
    if (last.some(showsNoCall)) {
      return [...before.map(hardenIfNotCalled), ...last];
    }
    return [...(isCalled ? before.map(softenIfCalled) : before), ...last];
  };
}

/** Where the API server calls the webhook. */
interface FoundTarget {
  readonly target: CalledTarget;
  /** In PEM; undefined: not known. */
  readonly caBundle: string | undefined;
}

/** What several checks share. Everything is read once, when it is needed first. */
class WebhookContext {
  readonly #installation: Installation;
  readonly #signal: AbortSignal;
  readonly #configurations: Promise<Configurations>;
  readonly #policies: Promise<readonly PolicyFacts[] | undefined>;
  readonly #workloads: Promise<readonly Workload[]>;
  readonly #namespaces: Promise<NamespaceSelection>;
  #probe: Promise<ProbeResult | undefined> | undefined;

  constructor(installation: Installation, signal: AbortSignal) {
    this.#installation = installation;
    this.#signal = signal;
    this.#configurations = handled(readConfigurations(installation, signal));
    this.#policies = handled(readPolicies(installation.cluster, signal));
    this.#workloads = handled(this.#readWorkloads());
    this.#namespaces = handled(this.#readNamespaces());
  }

  checks(): PendingCheck[] {
    return [
      { check: 'webhook-configuration', run: () => this.#checkInjection() },
      {
        check: 'webhook-rules',
        run: () => this.#withWebhook((one, webhook) => judgeRules(one.name, webhook)),
      },
      { check: 'webhook-endpoints', run: () => this.#withTarget((target) => this.#checkEndpoints(target)) },
      {
        check: 'webhook-ca-bundle',
        run: () => this.#withTarget((target, caBundle) => this.#checkCertificate(target, caBundle)),
      },
      {
        check: 'webhook-network-policy',
        run: () =>
          this.#withTarget((target) => (target.kind === 'service' ? this.#checkNetworkPolicies() : [])),
      },
      { check: 'webhook-policy', run: async () => judgePolicies((await this.#policies) ?? []) },
      { check: 'webhook-namespaces', run: async () => judgeNamespaces(await this.#namespaces) },
      { check: 'webhook-order', run: () => this.#checkOrder() },
    ];
  }

  async #checkInjection(): Promise<CheckResult> {
    const { config } = this.#installation;
    const { own } = await this.#configurations;
    const policies = await this.#policies;
    return judgeInjection({
      own,
      expectedName: config.certificates.webhookConfiguration,
      hasPolicy: policies && policies.length > 0,
      provisionsReferences:
        config.provisioning.registries.length > 0 && config.provisioning.serviceAccounts.length > 0,
    });
  }

  /** Runs a check of the webhook; none if there is no webhook. */
  async #withWebhook<T>(
    run: (configuration: WebhookConfigurationFacts, webhook: WebhookFacts) => T | Promise<T>,
  ): Promise<T | readonly CheckResult[]> {
    const [own] = (await this.#configurations).own;
    const [webhook] = own?.webhooks ?? [];
    return own === undefined || webhook === undefined ? [] : await run(own, webhook);
  }

  /** Runs a check of the address that the API server calls, and of what it trusts there; none if there is no webhook. */
  async #withTarget(
    run: (
      target: CalledTarget,
      caBundle: string | undefined,
    ) => Promise<CheckResult | readonly CheckResult[]> | readonly CheckResult[],
  ): Promise<CheckResult | readonly CheckResult[]> {
    const found = await this.#findTarget();
    return found === undefined ? [] : await run(found.target, found.caBundle);
  }

  /** Without the right to read the webhook configuration, the settings of the program say what the API server calls. */
  async #findTarget(): Promise<FoundTarget | undefined> {
    try {
      const [webhook] = (await this.#configurations).own[0]?.webhooks ?? [];
      const { target, caBundle } = webhook ?? {};
      return target === undefined || target.kind === 'none' ? undefined : { target, caBundle };
    } catch (error) {
      const assumed = this.#assumeTarget();
      if (assumed !== undefined && error instanceof KubeError && error.code === 'forbidden') {
        return { target: assumed, caBundle: undefined };
      }
      throw error;
    }
  }

  /** Inside, the program may not read its webhook configuration, but its settings name the Service. */
  #assumeTarget(): CalledTarget | undefined {
    const { config, namespace, viewpoint } = this.#installation;
    const { service, namespace: configured = namespace } = config.certificates;
    return viewpoint === 'inside' && configured !== undefined
      ? { kind: 'service', namespace: configured, name: service, port: 443 }
      : undefined;
  }

  async #checkOrder(): Promise<CheckResult | readonly CheckResult[]> {
    const { all } = await this.#configurations;
    const policies = await this.#policies;
    if (all === undefined) {
      const operation = 'list mutatingwebhookconfigurations';
      throw new KubeError({ code: 'forbidden', operation });
    }
    return await this.#withWebhook((own) => judgeOrder(own, all, (policies?.length ?? 0) > 0));
  }

  async #checkEndpoints(target: CalledTarget): Promise<CheckResult> {
    const { cluster } = this.#installation;
    if (target.kind === 'url') {
      const probe = await this.#probeTarget(target);
      return judgeProbe(
        target,
        probe ?? { problem: 'timeout' },
        connectsLikeApiServer(target.url, this.#installation),
      );
    }
    const { namespace, name } = target;
    try {
      const endpoints = await readEndpoints(cluster, namespace, name, this.#signal);
      const path = `/api/v1/namespaces/${namespace}/services/${name}`;
      const request = { path, noun: `Service ${namespace}/${name}` };
      const exists = endpoints.ready > 0 || (await readObject(cluster, request, this.#signal)) !== undefined;
      const deployment = await this.#findServingWorkload();
      return judgeEndpoints({ target, exists, endpoints, deployment });
    } catch (error) {
      const probe = await this.#probeTarget(target);
      if (probe !== undefined && error instanceof KubeError && error.code === 'forbidden') {
        // The Service is reached only within the cluster, where this process may not be.
        return judgeProbe(target, probe, 'problem' in probe && probe.problem === 'refused');
      }
      throw error;
    }
  }

  /** Connects to the target once. All checks have the same one. */
  #probeTarget(target: CalledTarget): Promise<ProbeResult | undefined> {
    this.#probe ??= probeTarget(target, this.#installation, this.#signal);
    return this.#probe;
  }

  async #findServingWorkload(): Promise<Workload | undefined> {
    const workloads = await this.#workloads.catch(() => []);
    return workloads.find(({ component }) => component === 'webhook');
  }

  async #checkCertificate(
    target: CalledTarget,
    caBundle: string | undefined,
  ): Promise<CheckResult | readonly CheckResult[]> {
    const probe = await this.#probeTarget(target);
    const tlsSecret = (await this.#findServingWorkload())?.tlsSecret;
    const found = await findCertificate(target, probe, tlsSecret, this.#installation);
    return 'unknownBecause' in found
      ? {
          check: 'webhook-ca-bundle',
          outcome: 'skipped',
          summary: `caBundle and certificate were not compared, because ${found.unknownBecause}`,
        }
      : judgeServingCertificate({ ...found, caBundle, now: Date.now() });
  }

  async #checkNetworkPolicies(): Promise<CheckResult | readonly CheckResult[]> {
    const { cluster, namespace } = this.#installation;
    const workload = await this.#findServingWorkload();
    if (namespace === undefined || workload === undefined) {
      return [];
    }
    const path = `/apis/networking.k8s.io/v1/namespaces/${namespace}/networkpolicies`;
    const request = { path, noun: `networkpolicies in namespace ${namespace}` };
    const policies = await listObjects(cluster, request, (policy) => policy ?? undefined, this.#signal);
    const apiServer = await readEndpoints(cluster, 'default', 'kubernetes', this.#signal).catch(
      () => undefined,
    );
    return judgeNetworkPolicies({
      policies,
      podLabels: workload.podLabels,
      port: { number: workload.webhookPort ?? this.#installation.config.webhook.port, name: 'webhook' },
      apiServerAddresses: apiServer?.addresses ?? [],
      isInCidr,
    });
  }

  /** Whether a MutatingAdmissionPolicy may add the reference, or it is not known. */
  async mayHavePolicy(): Promise<boolean> {
    const policies = await this.#policies.catch(() => undefined);
    return policies === undefined || policies.length > 0;
  }

  /** @param before the results of the checks that may explain the result */
  async dryRun(namespace: string | undefined, before: readonly CheckResult[]): Promise<CheckResult> {
    const policies = await this.#policies.catch(() => undefined);
    return await checkDryRun(this.#installation, {
      ...{ namespace, before },
      namespaces: await this.#namespaces.catch(() => undefined),
      hasPolicy: (policies?.length ?? 0) > 0,
    });
  }

  async #readWorkloads(): Promise<readonly Workload[]> {
    const { cluster, namespace } = this.#installation;
    return namespace === undefined ? [] : await listWorkloads(cluster, namespace, this.#signal);
  }

  async #readNamespaces(): Promise<NamespaceSelection> {
    const { cluster, config } = this.#installation;
    const [own] = (await this.#configurations).own;
    const selector = formatSelector(own?.webhooks[0]?.namespaceSelector) ?? '';
    const list = (by: string) => listNamespaces(cluster, { selector: by }, this.#signal);
    const listing = list('');
    const [all, matching] = await Promise.all([listing, selector === '' ? listing : list(selector)]);
    const patterns = getAdmissionExclusions(config).namespaces;
    const selected = matching.map(({ name }) => name).filter((name) => !matchesAny(patterns, name));
    const isSelected = new Set(selected);
    return { selected, excluded: all.map(({ name }) => name).filter((name) => !isSelected.has(name)) };
  }
}

/** A promise that several checks await. Its rejection is handled by each of them. */
function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

/** Whether a connection from here to a URL is likely to succeed or fail as one from the API server. */
function connectsLikeApiServer(url: string, { viewpoint, cluster }: Installation): boolean {
  const isLoopback = (text: string) => /^(localhost|127\.|\[::1\])/.test(new URL(text).hostname);
  const isApiServerHere = isLoopback(cluster.getCurrentCluster()?.server ?? 'https://unknown');
  return isLoopback(url) ? isApiServerHere : viewpoint === 'inside';
}

function isInCidr(address: string, cidr: string): boolean {
  const [network = '', bits = ''] = cidr.split('/');
  const type = (text: string) => (isIPv6(text) ? 'ipv6' : 'ipv4');
  try {
    const list = new BlockList();
    list.addSubnet(network, Number(bits), type(network));
    return list.check(address, type(address));
  } catch {
    return false; // not a CIDR
  }
}
