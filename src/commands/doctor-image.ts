// The command `doctor image`: explains why an image is pulled or not.
import { followImage } from '../diagnosis/image-chain.ts';
import { checkNames, defineCommand, exampleHost, quoteBlank } from './command.ts';
import { addChainOptions, type ChainOptions, chainOptions, runChain } from './doctor-chain.ts';

interface DoctorImageOptions extends ChainOptions {
  readonly image: string;
  readonly namespace: string | undefined;
  readonly platform: string | undefined;
}

const exampleImage = `${exampleHost}/cart:1`;

export const doctorImageCommand = defineCommand<DoctorImageOptions>({
  name: 'image',
  summary: 'Explain why an image is pulled or not',
  examples: [
    `doctor image ${exampleImage} --namespace shop`,
    `doctor image ${exampleImage} --platform linux/arm64`,
  ],
  declare: (command) =>
    addChainOptions(
      command
        .usage('<image> [options]')
        .argument('[image]', 'image as pods name it')
        .option('--namespace <name>', 'namespace of the pods; without it, one that has a token for the host')
        .option('--platform <os/arch>', 'platform that the image must have, such as linux/arm64'),
    ),
  read: (command) => {
    const [image, ...others] = command.args;
    if (image === undefined || image.length > maxImageLength || others.length > 0) {
      return command.error(`doctor image takes one image such as ${exampleImage}`);
    }
    const { namespace, platform } = command.opts<{ namespace?: string; platform?: string }>();
    if (namespace?.includes('*') === true) {
      return command.error('--namespace of doctor image takes one name, without *');
    }
    checkNames(command, '--namespace', namespace === undefined ? [] : [namespace]);
    if (platform !== undefined && !/^[a-z0-9]+\/[a-z0-9]+(?:\/[a-z0-9]+)?$/.test(platform)) {
      return command.error(
        `--platform takes OS/ARCHITECTURE such as linux/arm64, not ${quoteBlank(platform)}`,
      );
    }
    return { ...chainOptions(command), image, namespace, platform };
  },
  run: ({ image, namespace, platform, ...options }, context) =>
    runChain(options, context, (installation, signal) =>
      followImage(installation, { image, namespace, platform }, signal),
    ),
});

/** A host, a repository, a tag and a digest of maximum length, with some room. */
const maxImageLength = 1024;
