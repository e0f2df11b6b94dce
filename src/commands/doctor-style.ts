// The style sheet of the HTML report: light and dark, and for print.
export const pageStyle = `
:root { color-scheme: light dark; --text: #1f2328; --page: #ffffff; --line: #d1d9e0; --quiet: #59636e;
  --ok: #1a7f37; --warning: #9a6700; --failed: #d1242f; --skipped: #59636e; --bar: #0969da; }
@media (prefers-color-scheme: dark) {
  :root { --text: #f0f6fc; --page: #0d1117; --line: #3d444d; --quiet: #9198a1;
    --ok: #3fb950; --warning: #d29922; --failed: #f85149; --skipped: #9198a1; --bar: #4493f8; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page); max-width: 70rem;
  margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; border-bottom: 1px solid var(--line); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; } dt { color: var(--quiet); } dd { margin: 0; }
.counts { font-weight: 600; } .first { border-left: 4px solid var(--failed); padding-left: .75rem; }
.checks { list-style: none; padding: 0; } .checks > li { margin: .5rem 0; padding-left: .75rem; border-left: 4px solid; }
.checks p { margin: .1rem 0; color: var(--text); } .checks code { color: var(--quiet); }
.outcome { font-weight: 600; text-transform: uppercase; font-size: .8rem; } .details { color: var(--text); }
.ok { border-color: var(--ok); } .ok .outcome { color: var(--ok); }
.warning { border-color: var(--warning); } .warning .outcome { color: var(--warning); }
.failed { border-color: var(--failed); } .failed .outcome { color: var(--failed); }
.skipped { border-color: var(--skipped); } .skipped .outcome { color: var(--skipped); }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .2rem .5rem; font-weight: normal;
  border-bottom: 1px solid var(--line); vertical-align: top; } thead th { font-weight: 600; }
.bar { min-width: 8rem; width: 30%; } .bar div { height: .8rem; margin-top: .3rem; background: var(--bar); }
.bar .impossible { background: repeating-linear-gradient(135deg, var(--failed) 0 4px, transparent 4px 8px); }
a { color: var(--bar); }
@media print {
  body { margin: 0; max-width: none; font-size: 11px; } .checks > li, tr { break-inside: avoid; }
  .bar div { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
`;
