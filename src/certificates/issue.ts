// Issues CAs and serving certificates. The only file that uses the X.509 library.
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

/** Validity and key size of a certificate to issue. */
interface IssueOptions {
  /** The current time, in ms since the epoch. */
  readonly now: number;
  /** How long after `now` the certificate expires, in ms. */
  readonly validForMs: number;
  /** Size of the RSA key (node-forge signs with RSA only). Default 2048. */
  readonly keyBits?: number;
}

/** A self-signed CA to issue. */
export interface CaRequest extends IssueOptions {
  readonly commonName: string;
}

/** A certificate of a TLS server to issue, with at least one name. */
export interface ServingCertificateRequest extends IssueOptions {
  readonly ca: PemKeyPair;
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
}

/**
 * How long before `now` the validity begins, in ms, to tolerate clock skew. Kubernetes' own signer uses the same value
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
 * Issues a self-signed CA that may sign serving certificates but no further CAs. Keys and signatures are created outside the
 * event loop, here and in {@link issueServingCertificate}; the rest blocks it for 2 or 3 ms.
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
 * Issues a serving certificate signed by the CA. It expires no later than the CA.
 * @throws {CertificateError} with code `invalid-name`, or with the codes of {@link parseKeyPair} for the CA
 */
export async function issueServingCertificate(request: ServingCertificateRequest): Promise<PemKeyPair> {
  const { dnsNames, ipAddresses, ca } = request;
  validateNames(dnsNames, ipAddresses);
  const { notAfter } = parseKeyPair(ca.certPem, ca.keyPem);
  const issuer = forge.pki.certificateFromPem(ca.certPem);
  const keys = await generateKeys(request.keyBits);
  const expiresAt = Math.min(request.now + request.validForMs, notAfter);
  const certificate = createCertificate(keys, request.now, expiresAt);
  const first = dnsNames[0] ?? ipAddresses[0] ?? '';
  // Clients check the SAN only. If the first name is too long for a subject, the subject is empty and the SAN critical.
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

/** Returns the names by which the API server (`.svc`) and pods (`.svc.cluster.local`) reach a Service. */
export function getServiceDnsNames(service: string, namespace: string): string[] {
  return [`${service}.${namespace}.svc`, `${service}.${namespace}.svc.cluster.local`];
}

interface GeneratedKeys {
  readonly keyPem: string;
  readonly forgePublicKey: forge.pki.rsa.PublicKey;
}

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

function createCertificate(keys: GeneratedKeys, now: number, expiresAt: number): forge.pki.Certificate {
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = keys.forgePublicKey;
  certificate.serialNumber = generateSerialNumber();
  certificate.validity.notBefore = new Date(now - backdateMs);
  certificate.validity.notAfter = new Date(expiresAt);
  return certificate;
}

// Positive and at most 20 octets (RFC 5280, 4.1.2.2): the first bit is 0. The second bit is 1, so that DER keeps all octets.
function generateSerialNumber(): string {
  const bytes = randomBytes(16);
  bytes.writeUInt8((bytes.readUInt8(0) & 0x3f) | 0x40, 0);
  return bytes.toString('hex');
}

function validateNames(dnsNames: readonly string[], ipAddresses: readonly string[]): void {
  if (dnsNames.length + ipAddresses.length === 0) {
    throw new CertificateError(
      'invalid-name',
      'a serving certificate needs at least one DNS name or IP address',
    );
  }
  for (const name of dnsNames) {
    const wellFormed = name.length <= 253 && dnsNamePattern.test(name) && isIP(name) === 0;
    if (!wellFormed) {
      throw new CertificateError('invalid-name', `not a DNS name: ${JSON.stringify(name)}`);
    }
  }
  for (const ip of ipAddresses) {
    // A zone (`fe80::1%eth0`) is meaningful on one machine only.
    if (isIP(ip) === 0 || ip.includes('%')) {
      throw new CertificateError('invalid-name', `not an IP address: ${JSON.stringify(ip)}`);
    }
  }
}

// 2 and 7 are dNSName and iPAddress (RFC 5280, 4.2.1.6).
function createAltNames(dnsNames: readonly string[], ipAddresses: readonly string[]): object[] {
  return [
    ...dnsNames.map((value) => ({ type: 2, value })),
    ...ipAddresses.map((ip) => ({ type: 7, ip: isIP(ip) === 6 ? expandIpv6(ip) : ip })),
  ];
}

// node-forge does not parse the form with an IPv4 tail (`::ffff:10.0.0.1`). URL formats every address as hex groups.
function expandIpv6(ip: string): string {
  return new URL(`http://[${ip}]/`).hostname.slice(1, -1);
}

function parseSigningKey(keyPem: string): KeyObject {
  const key = createPrivateKey(keyPem);
  if (key.asymmetricKeyType !== 'rsa') {
    throw new CertificateError('invalid-key', "the CA's key is not RSA");
  }
  return key;
}

// Signing with node-forge blocks the event loop for 20 ms or more, so node-forge only encodes what node:crypto then signs.
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
