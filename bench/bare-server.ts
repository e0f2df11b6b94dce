// The bare HTTPS server that the hot path is compared with: parses a review and returns a fixed patch.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { join } from 'node:path';

/*
 * Usage: node bare-server.ts DIRECTORY, with tls.crt and tls.key in the directory. It prints its port on standard
 * output. On each message from the parent process it sends the CPU time that it has used, in µs.
 */
const directory = process.argv[2] ?? '.';
const patch = btoa('[{"op":"add","path":"/spec/imagePullSecrets","value":[{"name":"ecr-pull-secrets"}]}]');

const server = createServer(
  { cert: readFileSync(join(directory, 'tls.crt')), key: readFileSync(join(directory, 'tls.key')) },
  (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const { request: review } = JSON.parse(Buffer.concat(chunks).toString());
      const body = JSON.stringify({
        apiVersion: 'admission.k8s.io/v1',
        kind: 'AdmissionReview',
        response: { uid: review.uid, allowed: true, patchType: 'JSONPatch', patch },
      });
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length });
      response.end(body);
    });
  },
);
server.keepAliveTimeout = 120_000;
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  process.stdout.write(`${typeof address === 'object' ? address?.port : ''}\n`);
});
process.on('message', () => {
  const { user, system } = process.cpuUsage();
  process.send?.(user + system);
});
