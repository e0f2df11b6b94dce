import type { Config } from '../config/schema.ts';
import type { ClusterConfig } from '../kube/config.ts';
import { ownNamespace } from '../kube/own-namespace.ts';
import { CertificateError } from './error.ts';
import { serviceNames } from './issue.ts';
import type { ManagedCertificatesOptions } from './managed.ts';

/**
 * How long it takes until every replica serves a mounted certificate, ms: a kubelet updates a mounted Secret within one
 * to two minutes (its sync period and the delay of its cache), and the program reads the files every ten seconds.
 */
export const mountedSpreadMs = 300_000;

/**
 * What an operator has set of managed certificates, as {@link ManagedCertificates} takes it.
 * @throws {CertificateError} no-namespace
 */
export function managedSettings(
  { certificates }: Pick<Config, 'certificates'>,
  cluster: ClusterConfig,
): Pick<ManagedCertificatesOptions, 'place' | 'making'> {
  const { secretName, webhookConfiguration, service, dnsNames, ipAddresses } = certificates;
  const namespace = certificates.namespace ?? ownNamespace(cluster);
  if (namespace === undefined) {
    throw new CertificateError(
      'no-namespace',
      'certificates.namespace is not set, and neither a pod nor the context of a kubeconfig says where we run',
    );
  }
  return {
    place: { namespace, secretName, webhookConfiguration },
    making: {
      names: [...serviceNames(service, namespace), ...dnsNames, ...ipAddresses],
      authorityLifeMs: certificates.authorityLife,
      leafLifeMs: certificates.leafLife,
    },
  };
}
