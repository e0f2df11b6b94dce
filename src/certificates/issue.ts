import {
  createPrivateKey,
  generateKeyPair,
  type KeyObject,
  randomBytes,
  sign as signWith,
} from 'node:crypto';
import { isIP } from 'node:net';
import { promisify } from 'node:util';
import forge from 'node-forge';
import { CertificateError } from './certificate-error.ts';
import { type PemKeyPair, parseKeyPair } from './key-pair.ts';

/** A validity in time, from the caller's clock. */
type IssueOptions = {
  /** ms since the epoch. */
  readonly now: number;
  /** How long after `now` the certificate ends, ms. */
  readonly validForMs: number;
  /** Size of the RSA key (node-forge signs with RSA only). Default 2048. */
  readonly keyBits?: number;
};

/** For a certificate authority of our own. */
export type CaRequest = IssueOptions & { readonly commonName: string };

/** For a TLS server; at least one name. */
export type ServingCertificateRequest = IssueOptions & {
  readonly ca: PemKeyPair;
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
};

/**
 * How far validity begins before `now`, against clocks that differ. What Kubernetes' own signer takes
 * (kube-controller-manager, pkg/controller/certificates/signer: `backdate: 5 * time.Minute`).
 */
export const backdateMs = 5 * 60_000;

/** Longest commonName (RFC 5280, appendix A, ub-common-name). */
const maxCommonNameLength = 64;

const dnsNamePattern =
  /^(?:\*\.)?[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/;

const generateKey = promisify(generateKeyPair);
const signOffThread = promisify(signWith);

/**
 * Makes a self-signed CA that may sign leaves and nothing below them. Here and below, keys and signatures are made off
 * the event loop; what is left on it takes 2 or 3 ms.
 */
export async function issueCaCertificate(request: CaRequest): Promise<PemKeyPair> {
  const keys = await generateKeys(request.keyBits);
  const certificate = createCertificate(keys, request.now, request.now + request.validForMs);
  const name = [{ name: 'commonName', value: request.commonName.slice(0, maxCommonNameLength) }];
  certificate.setSubject(name);
  certificate.setIssuer(name);
  certificate.setExtensions([
    { name: 'basicConstraints', cA: true, pathLenConstraint: 0, critical: true },
    { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    { name: 'subjectKeyIdentifier' },
  ]);
  return sign(certificate, createPrivateKey(keys.keyPem), keys.keyPem);
}

/**
 * Makes a serving certificate that `authority` vouches for. It does not outlive the authority, whatever is asked.
 * @throws {CertificateError} bad-name; or what parseKeyPair says about the authority
 */
export async function issueServingCertificate(request: ServingCertificateRequest): Promise<PemKeyPair> {
  const { dnsNames, ipAddresses, ca } = request;
  validateNames(dnsNames, ipAddresses);
  const { notAfter } = parseKeyPair(ca.certPem, ca.keyPem);
  const issuer = forge.pki.certificateFromPem(ca.certPem);
  const keys = await generateKeys(request.keyBits);
  const end = Math.min(request.now + request.validForMs, notAfter);
  const certificate = createCertificate(keys, request.now, end);
  const first = dnsNames[0] ?? ipAddresses[0] ?? '';
  // The SAN is what counts. A name too long for a subject leaves the subject empty; the SAN is then critical.
  const subject = first.length > maxCommonNameLength ? [] : [{ name: 'commonName', value: first }];
  certificate.setSubject(subject);
  certificate.setIssuer(issuer.subject.attributes);
  certificate.setExtensions([
    { name: 'basicConstraints', cA: false, critical: true },
    { name: 'keyUsage', digitalSignature: true, keyEncipherment: true, critical: true },
    { name: 'extKeyUsage', serverAuth: true },
    { name: 'subjectKeyIdentifier' },
    { name: 'authorityKeyIdentifier', keyIdentifier: issuer.generateSubjectKeyIdentifier().getBytes() },
    {
      name: 'subjectAltName',
      altNames: createAltNames(dnsNames, ipAddresses),
      critical: subject.length === 0,
    },
  ]);
  return sign(certificate, parseSigningKey(ca.keyPem), keys.keyPem);
}

/** The names under which the API server calls a Service's webhook (`.svc`), and pods may (`.svc.cluster.local`). */
export function getServiceDnsNames(service: string, namespace: string): string[] {
  return [`${service}.${namespace}.svc`, `${service}.${namespace}.svc.cluster.local`];
}

type GeneratedKeys = {
  readonly keyPem: string;
  readonly forgePublicKey: forge.pki.rsa.PublicKey;
};

async function generateKeys(keyBits = 2048): Promise<GeneratedKeys> {
  const { publicKey, privateKey } = await generateKey('rsa', {
    modulusLength: keyBits,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  return {
    keyPem: privateKey,
    forgePublicKey: forge.pki.publicKeyFromPem(publicKey),
  };
}

function createCertificate(keys: GeneratedKeys, now: number, end: number): forge.pki.Certificate {
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = keys.forgePublicKey;
  certificate.serialNumber = generateSerialNumber();
  certificate.validity.notBefore = new Date(now - backdateMs);
  certificate.validity.notAfter = new Date(end);
  return certificate;
}

// At most 20 octets and positive (RFC 5280, 4.1.2.2): the first bit is 0; the second is 1, so no octet is dropped.
function generateSerialNumber(): string {
  const bytes = randomBytes(16);
  bytes.writeUInt8((bytes.readUInt8(0) & 0x3f) | 0x40, 0);
  return bytes.toString('hex');
}

function validateNames(dnsNames: readonly string[], ipAddresses: readonly string[]): void {
  if (dnsNames.length + ipAddresses.length === 0) {
    throw new CertificateError('bad-name', 'a serving certificate needs at least one DNS name or IP address');
  }
  for (const name of dnsNames) {
    const wellFormed = name.length <= 253 && dnsNamePattern.test(name) && isIP(name) === 0;
    if (!wellFormed) throw new CertificateError('bad-name', `not a DNS name: ${JSON.stringify(name)}`);
  }
  for (const ip of ipAddresses) {
    // A zone (`fe80::1%eth0`) has a meaning on one machine only.
    if (isIP(ip) === 0 || ip.includes('%'))
      throw new CertificateError('bad-name', `not an IP address: ${JSON.stringify(ip)}`);
  }
}

// 2 and 7 are dNSName and iPAddress (RFC 5280, 4.2.1.6).
function createAltNames(dnsNames: readonly string[], ipAddresses: readonly string[]): object[] {
  return [
    ...dnsNames.map((value) => ({ type: 2, value })),
    ...ipAddresses.map((ip) => ({ type: 7, ip: isIP(ip) === 6 ? expandIpv6(ip) : ip })),
  ];
}

// node-forge does not read the form with an IPv4 tail (`::ffff:10.0.0.1`). URL writes every form as hex groups.
function expandIpv6(ip: string): string {
  return new URL(`http://[${ip}]/`).hostname.slice(1, -1);
}

function parseSigningKey(keyPem: string): KeyObject {
  const key = createPrivateKey(keyPem);
  if (key.asymmetricKeyType !== 'rsa')
    throw new CertificateError('bad-key', "the authority's key is not RSA");
  return key;
}

// node-forge's own arithmetic holds up the event loop for 20 ms and more: it lays out what is to be signed, and no more.
const placeholderSigner = { sign: () => '' } as unknown as forge.pki.rsa.PrivateKey;

async function sign(
  certificate: forge.pki.Certificate,
  signer: KeyObject,
  keyPem: string,
): Promise<PemKeyPair> {
  certificate.sign(placeholderSigner, forge.md.sha256.create());
  const toBeSigned = Buffer.from(forge.asn1.toDer(certificate.tbsCertificate).getBytes(), 'binary');
  certificate.signature = (await signOffThread('sha256', toBeSigned, signer)).toString('binary');
  const certPem = forge.pki.certificateToPem(certificate).replaceAll('\r\n', '\n');
  return { certPem, keyPem };
}
