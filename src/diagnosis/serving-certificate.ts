// Judges the certificate that the webhook serves: whether the API server trusts it, its names and its validity.
import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { splitPem } from '../certificates/ca-bundle.ts';
import type { CheckResult } from './check.ts';
import { formatTime } from './check-text.ts';

/** A certificate, how it was obtained, and what the API server compares it with. */
export interface ServedCertificate {
  /** The certificate and its intermediate CAs, in DER or PEM. */
  readonly chain: readonly (string | Uint8Array)[];
  /** For the summary, for example `the certificate served at https://…`. */
  readonly source: string;
  /** The name that the API server verifies. */
  readonly serverName: string;
  /** In PEM; undefined if it is not known. */
  readonly caBundle: string | undefined;
  /** ms since the epoch. */
  readonly now: number;
}

const dayMs = 86_400_000;
/** How long before the expiry a certificate should have been renewed, as a fraction of its lifetime. */
const lateFraction = 0.1;

const page = 'how-to/certificates.md#check-the-certificate';
const notCalled = 'The API server cannot call the webhook, so new pods get no reference';

/** @returns results for `webhook-ca-bundle` and `webhook-certificate` */
export function judgeServingCertificate(served: ServedCertificate): CheckResult[] {
  const chain = served.chain.flatMap(parse);
  const [leaf] = chain;
  if (leaf === undefined) {
    const check = 'webhook-certificate';
    return [failed(check, `${served.source} is not a certificate`, 'Replace the certificate')];
  }
  return [judgeTrust(leaf, chain, served), judgeValidity(leaf, served)];
}

function judgeTrust(
  leaf: X509Certificate,
  chain: readonly X509Certificate[],
  { caBundle, source }: ServedCertificate,
): CheckResult {
  const check = 'webhook-ca-bundle';
  if (caBundle === undefined) {
    return {
      check,
      outcome: 'skipped',
      summary: 'not checked, because the webhook configuration was not read',
    };
  }
  if (caBundle === '') {
    return failed(
      check,
      'the caBundle of the webhook configuration is empty',
      'Check the component that publishes it: kubectl logs deploy/ecr-pull-secrets-certificates, or cert-manager',
    );
  }
  const roots = splitPem(caBundle).flatMap(parse);
  if (roots.length === 0) {
    return failed(
      check,
      'the caBundle of the webhook configuration contains no certificate',
      'Set it to the CA in PEM',
    );
  }
  return isTrusted(leaf, chain.slice(1), roots)
    ? { check, outcome: 'ok', summary: `the caBundle trusts ${source}` }
    : failed(
        check,
        `the caBundle of the webhook configuration does not trust ${source} (issuer ${oneLine(leaf.issuer)})`,
        'Publish the CA that issued the certificate, or restart the pods if they serve an old one',
      );
}

const maxDepth = 5;

/** Whether a chain of issuers leads from a certificate to one of the roots. */
function isTrusted(
  certificate: X509Certificate,
  intermediates: readonly X509Certificate[],
  roots: readonly X509Certificate[],
  depth = 0,
): boolean {
  const isIssuedBy = (issuer: X509Certificate) =>
    certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
  if (roots.some((root) => root.fingerprint256 === certificate.fingerprint256 || isIssuedBy(root))) {
    return true;
  }
  return (
    depth < maxDepth &&
    intermediates.filter(isIssuedBy).some((issuer) => isTrusted(issuer, intermediates, roots, depth + 1))
  );
}

function judgeValidity(leaf: X509Certificate, { source, serverName, now }: ServedCertificate): CheckResult {
  const check = 'webhook-certificate';
  const [from, to] = [leaf.validFromDate.getTime(), leaf.validToDate.getTime()];
  const covers = isIP(serverName) === 0 ? leaf.checkHost(serverName) : leaf.checkIP(serverName);
  if (covers === undefined) {
    return failed(
      check,
      `${source} is not valid for ${serverName}, but for ${oneLine(leaf.subjectAltName ?? 'no name')}`,
      `Issue a certificate with the DNS name ${serverName}`,
    );
  }
  if (now > to) {
    return failed(
      check,
      `${source} expired on ${formatTime(to)}`,
      'Renew it; for a managed certificate: kubectl logs deploy/ecr-pull-secrets-certificates',
    );
  }
  if (now < from) {
    return failed(
      check,
      `${source} is not valid before ${formatTime(from)}`,
      'Check the clocks of the API server and of the issuer',
    );
  }
  const summary = `${source} is valid for ${serverName} and expires in ${formatDuration(to - now)}`;
  return to - now < (to - from) * lateFraction
    ? {
        check,
        outcome: 'warning',
        summary,
        meaning: 'It should have been renewed by now. When it expires, new pods get no reference',
        remedy: 'Check the component that renews it: the certificate controller or cert-manager',
        page,
      }
    : { check, outcome: 'ok', summary };
}

function failed(check: string, summary: string, remedy: string): CheckResult {
  return { check, outcome: 'failed', summary, meaning: notCalled, remedy, page };
}

function parse(certificate: string | Uint8Array): X509Certificate[] {
  try {
    return [new X509Certificate(certificate)];
  } catch {
    return [];
  }
}

function formatDuration(ms: number): string {
  return ms >= 2 * dayMs ? `${Math.floor(ms / dayMs)} days` : `${Math.floor(ms / 3_600_000)} hours`;
}

const maxShownLength = 200;

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim().slice(0, maxShownLength);
}
