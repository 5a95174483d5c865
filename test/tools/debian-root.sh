#!/bin/sh
# Runs the tests on the QEMU, libvirt and Node.js of another Debian, in a root of its own:
#   debian-root.sh SUITE FOLDER [command…]
# SUITE is trixie, sid, …; FOLDER gets the root, which is kept for the next time (delete it to start afresh). The command runs in
# a copy of this checkout's last commit; without it, all tests run. Needs root's rights, mmdebstrap and 3 GiB.
set -eu

if [ "$#" -lt 2 ]; then
  sed -n '2,5p' "$0" >&2
  exit 2
fi
if [ "${DEBIAN_ROOT_SH:-}" != inside ]; then
  DEBIAN_ROOT_SH=inside exec unshare --mount --propagation private sh "$0" "$@"
fi

suite=$1
mkdir -p "$2"
root=$(cd "$2" && pwd)
shift 2
[ "$#" -gt 0 ] || set -- npx vitest run
project=$(cd "$(dirname "$0")/../.." && pwd)

# A mirror that lags behind is recent enough.
[ -x "$root/usr/bin/npm" ] || mmdebstrap --variant=minbase --include=ca-certificates,git,nodejs,npm \
  --aptopt='Acquire::Check-Valid-Until "false"' "$suite" "$root"
# A mount of its own: unshare needs one where tests mount storage that is full.
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/run"
cp /etc/resolv.conf "$root/etc/resolv.conf"
# The same registry and the same certificates as here.
for file in "$HOME/.npmrc" /etc/npmrc; do
  [ ! -f "$file" ] || cp "$file" "$root/root/.npmrc"
done
cp -r /usr/local/share/ca-certificates "$root/usr/local/share/"
rm -rf "$root/root/checkout"
git clone --quiet "$project" "$root/root/checkout"

# Not by chroot alone: no user namespace can be made in one.
cd "$root"
pivot_root . mnt
exec chroot . /usr/bin/env -i HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" \
  sh -eu -c '
    umount --lazy /mnt
    cd /root/checkout
    update-ca-certificates
    sh test/tools/setup-debian.sh --yes
    npm ci
    echo "Node.js $(node --version), npm $(npm --version), $(qemu-img --version | head -n 1), libvirt $(virsh --version)"
    exec "$@"
  ' sh "$@"
