#!/bin/sh
# Runs the tests that need no QEMU, or another command, with another version of Node.js:
#   other-node.sh VERSION [command…]
# VERSION is 22, 24.11, …; npm downloads that Node.js, and it is removed afterwards.
set -eu

if [ "$#" -lt 1 ]; then
  sed -n '2,4p' "$0" >&2
  exit 2
fi
version=$1
shift
[ "$#" -gt 0 ] || set -- npx vitest run --project unit --project program

cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
package=node-linux-$(node --print process.arch)
npm install --silent --no-save --prefix "$work" "$package@$version"
PATH=$work/node_modules/$package/bin:$PATH
echo "Node.js $(node --version)"
"$@"
