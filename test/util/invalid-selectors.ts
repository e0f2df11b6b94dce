// Label selectors that the API server refuses.

export const invalidSelectors: readonly string[] = [
  ...['=', 'a=b=c', 'a=b,', ',a', 'a,,b', 'a b', 'a in', 'a in b', 'a in (b', 'a in b)', 'a notin', '!a=b c'],
  ...['a/b/c', '/a', 'a/', 'A/b', '-a', 'a-', 'a=-b', 'a=b!', 'a=$x', 'a(b)', '(a)', '!', '!!a', '!a=b'],
  ...[`${'x'.repeat(64)}=a`, `a=${'x'.repeat(64)}`, `${'x'.repeat(254)}/a`, 'a="b"', 'a=b;c'],
];
