// Reads `AWS_CA_BUNDLE`, which the SDK for JavaScript ignores.
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Problem } from '../config/problems.ts';

const variableName = 'AWS_CA_BUNDLE';
const certificatePattern = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/**
 * Reads the CA certificates in the file that `AWS_CA_BUNDLE` names. As in the AWS CLI, they replace the default ones.
 * @returns PEM certificates; undefined where the variable is not set
 */
export function readCaBundle(environment: Readonly<Record<string, string | undefined>>): {
  readonly certificates?: readonly string[];
  readonly problems: readonly Problem[];
} {
  const file = environment[variableName];
  if (!file || file !== file.trim()) {
    return { problems: [] }; // aws-variables.ts refuses spaces and line breaks at the end
  }
  const problem = (text: string) => ({ problems: [{ path: variableName, text }] });
  let pem: string;
  try {
    pem = readFileSync(file, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : 'unknown error';
    return problem(`names a file that cannot be read (${code})`);
  }
  const certificates = pem.match(certificatePattern) ?? [];
  if (certificates.length === 0) {
    return problem('names a file without a CA certificate in PEM format');
  }
  const unreadable = certificates.findIndex((one) => !isCertificate(one));
  return unreadable < 0
    ? { certificates, problems: [] }
    : problem(`names a file whose certificate number ${unreadable + 1} cannot be parsed`);
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0;
  } catch {
    return false;
  }
}
