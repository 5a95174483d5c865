#!/bin/sh
# Runs a command on copies of images that lie on storage with PAGES free pages of 4096 bytes, and then copies the image out:
#   full-storage.sh file|volume MOUNT SOURCE RESULT PAGES command…
#
# `file`: a file on a tmpfs, which writes what fits and then refuses. `volume`: a thin volume of 1 MiB, a loop device over
# a sparse file on that tmpfs, which takes every write and refuses the flush.
#
# To be run by `unshare --mount`: what is mounted here is seen by this shell and its children only, and gone with them.
set -eu
kind=$1 mount=$2 source=$3 result=$4 pages=$5
shift 5

mount -t tmpfs -o size=64m tmpfs "$mount"
cp "$source"/* "$mount"
stored=$mount/disk.qcow2
if [ "$kind" = volume ]; then
  stored=$mount/volume
  mv "$mount/disk.qcow2" "$stored"
  truncate --size=1M "$stored"
  device=$(losetup --find --show "$stored")
  exec 9<"$device"
  # Takes effect once the last descriptor of the device is closed, however this shell ends.
  losetup --detach "$device"
  # Of a larger request Linux 6.18 stores what fits and calls all of it written: a device that lies.
  limit=/sys/block/${device#/dev/}/queue/max_sectors_kb
  usual=$(cat "$limit")
  trap 'echo "$usual" >"$limit"' EXIT
  trap 'exit 130' INT TERM
  echo 4 >"$limit"
  ln -s "$device" "$mount/disk.qcow2"
fi

used() { df --block-size=4096 --output=used "$mount" | tail -n 1; }
before=$(used)
mount -o "remount,nr_blocks=$((before + pages))" "$mount"
status=0
"$@" || status=$?
[ "$kind" = file ] || blockdev --flushbufs "$device" || true
echo "pages taken: $(($(used) - before))"
cp "$stored" "$result"
exit "$status"
