#!/bin/sh
# Installs what the tests judge by: QEMU's tools and libnbd's. Does nothing where they are there already.
set -eu

missing=
for tool in qemu-img qemu-io qemu-nbd qemu-storage-daemon nbdinfo losetup; do
  command -v "$tool" >/dev/null || missing="$missing $tool"
done
[ -n "$missing" ] || exit 0

packages='qemu-utils qemu-system-common libnbd-bin mount'
if ! command -v apt-get >/dev/null; then
  echo "install-tools: not found:$missing. Install QEMU's and libnbd's tools (on Debian: $packages)." >&2
  exit 1
fi
[ "$(id -u)" -eq 0 ] && sudo= || sudo=sudo
$sudo apt-get update -q
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -q -y --no-install-recommends $packages
