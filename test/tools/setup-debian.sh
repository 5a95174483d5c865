#!/bin/sh
# Installs the programs by which the tests judge, those of QEMU, libnbd and libvirt, and those that build and try the
# packages. Says first what it will do.
#
#   setup-debian.sh          asks before it installs, if somebody is there to answer
#   setup-debian.sh --yes    does not ask
set -eu

missing=
for tool in qemu-img qemu-io qemu-nbd qemu-storage-daemon qemu-system-x86_64 virsh nbdinfo losetup strace script zsh fish \
  git xz dpkg-deb rpm rpmbuild mmdebstrap; do
  command -v "$tool" >/dev/null || missing="$missing $tool"
done
# libvirt's driver for QEMU is a library, with no command to look for. From 11.1 on, Debian's libvirt-daemon does not bring it.
driver=libvirt_driver_qemu.so
find /usr/lib*/libvirt /usr/lib*/*/libvirt -name "$driver" 2>/dev/null | grep -q . || missing="$missing $driver"
# libvirt that runs as root looks for this account, even if it runs guests as root.
getent passwd libvirt-qemu >/dev/null && account= || account=libvirt-qemu

packages='qemu-utils qemu-system-common qemu-system-x86 libvirt-clients libvirt-daemon libvirt-daemon-driver-qemu libnbd-bin
  mount strace bsdutils zsh fish git xz-utils dpkg rpm mmdebstrap'
if [ -z "$missing$account" ]; then
  echo "setup-debian: everything is installed."
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  [ -n "$missing" ] || exit 0
  echo "setup-debian: not found:$missing. On Debian they are in:" $packages >&2
  exit 1
fi

[ -z "$missing" ] || echo "setup-debian: missing:$missing"
[ -z "$missing" ] || echo "setup-debian: will run: apt-get install --no-install-recommends" $packages
[ -z "$account" ] || echo "setup-debian: will create the system account $account"
if [ "${1:-}" != --yes ] && [ -t 0 ]; then
  printf 'Continue? [y/N] '
  read -r answer
  case $answer in [Yy]*) ;; *) exit 1 ;; esac
fi

[ "$(id -u)" -eq 0 ] && sudo= || sudo=sudo
if [ -n "$missing" ]; then
  $sudo apt-get update -q
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -q -y --no-install-recommends $packages
fi
if ! getent passwd libvirt-qemu >/dev/null; then
  $sudo useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin libvirt-qemu
fi
