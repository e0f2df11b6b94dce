// The child process of fetchTokensInChild in token-fetch.ts: fetches tokens and prints the results.
import { fetchTokens } from './token-fetch.ts';

const { hosts, rules } = JSON.parse(process.argv[2] ?? '{}');
process.stdout.write(JSON.stringify(await fetchTokens(hosts, rules)));
