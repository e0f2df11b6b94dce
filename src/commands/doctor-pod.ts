// The command `doctor pod`: explains why the images of one pod are pulled or not.
import { followPod } from '../diagnosis/pod-chain.ts';
import { defineCommand, quoteBlank } from './command.ts';
import { addChainOptions, type ChainOptions, chainOptions, runChain } from './doctor-chain.ts';

interface DoctorPodOptions extends ChainOptions {
  readonly namespace: string;
  readonly name: string;
}

export const doctorPodCommand = defineCommand<DoctorPodOptions>({
  name: 'pod',
  summary: 'Explain why the images of one pod are pulled or not',
  examples: ['doctor pod shop/cart-7d4b9c6f5-x2x9z', 'doctor pod shop/cart-7d4b9c6f5-x2x9z --output json'],
  declare: (command) =>
    addChainOptions(
      command.usage('<namespace>/<name> [options]').argument('[pod]', 'namespace and name of the pod'),
    ),
  read: (command) => {
    const [pod = '', ...others] = command.args;
    const [, namespace = '', name] = podPattern.exec(pod) ?? [];
    if (name === undefined || others.length > 0) {
      return command.error(`doctor pod takes one NAMESPACE/NAME, not ${quoteBlank(command.args.join(' '))}`);
    }
    return { ...chainOptions(command), namespace, name };
  },
  run: ({ namespace, name, ...options }, context) =>
    runChain(options, context, (installation, signal) =>
      followPod(installation, { namespace, name }, signal),
    ),
});

/** A namespace, and a DNS subdomain. */
const podPattern = /^([a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)\/([a-z0-9][-.a-z0-9]{0,252})$/;
