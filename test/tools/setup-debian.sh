#!/bin/sh
# Installs what the tests judge by: QEMU's tools, libnbd's, and libvirt. Does nothing where they are there already.
set -eu

missing=
for tool in qemu-img qemu-io qemu-nbd qemu-storage-daemon qemu-system-x86_64 virsh nbdinfo losetup strace; do
  command -v "$tool" >/dev/null || missing="$missing $tool"
done
# libvirt's drivers are libraries, with no command to look for.
for driver in connection-driver/libvirt_driver_qemu storage-file/libvirt_storage_file_fs; do
  find /usr/lib*/libvirt /usr/lib*/*/libvirt -path "*/$driver.so" 2>/dev/null | grep -q . || missing="$missing $driver"
done

packages='qemu-utils qemu-system-common qemu-system-x86 libvirt-clients libvirt-daemon libnbd-bin mount strace'
if ! command -v apt-get >/dev/null; then
  [ -n "$missing" ] || exit 0
  echo "install-tools: not found:$missing. Install the tools of QEMU, libvirt and libnbd (on Debian: $packages)." >&2
  exit 1
fi
[ "$(id -u)" -eq 0 ] && sudo= || sudo=sudo
if [ -n "$missing" ]; then
  $sudo apt-get update -q
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -q -y --no-install-recommends $packages
fi
# Debian's libvirt, run by root, looks for the account of its daemon even where it is to run guests as root.
if ! getent passwd libvirt-qemu >/dev/null; then
  $sudo useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin libvirt-qemu
fi
