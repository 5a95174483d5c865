#!/usr/bin/env node
// Older versions stop at the syntax of what is loaded here.
if (Number.parseInt(process.versions.node, 10) < 20) {
  process.stderr.write(`bitmap-tool: needs Node.js 20 or newer, this is ${process.version}\n`);
  process.exitCode = 1;
} else {
  require('../dist/cli.cjs');
}
