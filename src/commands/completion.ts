// The command `completion`: prints the script that makes a shell or kubectl complete commands, flags and values.
import { Argument } from 'commander';
import { productName } from '../labels.ts';
import { defineCommand } from './command.ts';
import { completeCommandName } from './complete.ts';

interface CompletionOptions {
  readonly script: string;
}

/** Every script asks the program itself, so that it need not be replaced when the program is updated. */
const scripts = {
  // macOS has bash 3.2, without mapfile and compopt.
  bash: `# Completion of ${productName} for bash. Add to ~/.bashrc: source <(${productName} completion bash)
_ecr_pull_secrets() {
  local line directive current=\${COMP_WORDS[COMP_CWORD]}
  COMPREPLY=()
  while IFS= read -r line; do
    case $line in
      :*) directive=$line ;;
      *) COMPREPLY+=("\${line%%$'\\t'*}") ;;
    esac
  done < <(${productName} ${completeCommandName} "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  if [[ $directive == :0 ]]; then
    compopt -o filenames 2>/dev/null
    [[ $current == = ]] && current=
    while IFS= read -r line; do
      COMPREPLY+=("$line")
    done < <(compgen -f -- "$current")
  fi
}
complete -F _ecr_pull_secrets ${productName}
`,
  zsh: `#compdef ${productName}
# Completion of ${productName} for zsh. Add to ~/.zshrc, after compinit: source <(${productName} completion zsh)
_ecr_pull_secrets() {
  local line directive
  local -a candidates
  while IFS= read -r line; do
    case $line in
      :*) directive=$line ;;
      *) candidates+=("\${line/$'\\t'/:}") ;;
    esac
  done < <(${productName} ${completeCommandName} "\${(@)words[2,CURRENT]}" 2>/dev/null)
  if [[ $directive == :0 ]]; then
    # The flag of --flag=file is not part of the path.
    compset -P '--*='
    _files
  elif (( $#candidates )); then
    _describe '${productName}' candidates
  fi
}
# As a file in fpath, the script is the function itself.
if [[ $funcstack[1] == _ecr_pull_secrets || $funcstack[1] == _${productName} ]]; then
  _ecr_pull_secrets "$@"
else
  compdef _ecr_pull_secrets ${productName}
fi
`,
  fish: `# Completion of ${productName} for fish. Save as ~/.config/fish/completions/${productName}.fish
function __ecr_pull_secrets_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in (${productName} ${completeCommandName} $words[2..-1] "$current" 2>/dev/null)
        switch $line
            case ':0'
                __fish_complete_path (string replace -r '^--[^=]*=' '' -- "$current")
            case ':*'
            case '*'
                echo $line
        end
    end
end
complete -c ${productName} -f -a '(__ecr_pull_secrets_complete)'
`,
  kubectl: `#!/bin/sh
# Completion of kubectl ecr-pull-secrets. kubectl runs this file if it is executable, named kubectl_complete-ecr_pull_secrets
# and in PATH.
exec kubectl ${productName} ${completeCommandName} "$@"
`,
} as const;

type Target = keyof typeof scripts;

const targets: readonly Target[] = ['bash', 'zsh', 'fish', 'kubectl'];

function isTarget(text: unknown): text is Target {
  return targets.some((target) => target === text);
}

export const completionCommand = defineCommand<CompletionOptions>({
  name: 'completion',
  summary: 'Print the script that completes commands and flags in a shell or in kubectl',
  examples: [
    'completion bash > /etc/bash_completion.d/ecr-pull-secrets',
    'completion kubectl > ~/.local/bin/kubectl_complete-ecr_pull_secrets',
  ],
  declare: (command) => command.addArgument(new Argument('<target>', 'what completes').choices([...targets])),
  read: (command) => {
    const [target] = command.args;
    return isTarget(target) && command.args.length === 1
      ? { script: scripts[target] }
      : command.error(`completion takes one of ${targets.join(', ')}`);
  },
  run: async ({ script }, { stdout }) => {
    stdout.write(script);
    return 0;
  },
});
