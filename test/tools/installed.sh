#!/bin/sh
# Installs the .deb and the .rpm of packages/ in a root without Node.js, and tries them there: `npm run package` first.
# Needs root's rights, mmdebstrap, rpm, and QEMU's tools on the host. The root is in memory; only this script sees its mounts.
set -eu

if [ "${INSTALLED_SH:-}" != inside ]; then
  INSTALLED_SH=inside exec unshare --mount --propagation private sh "$0" "$@"
fi

project=$(cd "$(dirname "$0")/../.." && pwd)
deb=$(echo "$project"/packages/bitmap-tool_*_amd64.deb)
rpm=$(echo "$project"/packages/bitmap-tool-*.x86_64.rpm)
work=$(mktemp -d)
root=$work/root
holder=
end() {
  [ -z "$holder" ] || kill "$holder" 2>/dev/null || true
  umount -R "$root" 2>/dev/null || true
  rm -rf "$work"
}
trap end EXIT
trap 'exit 130' INT TERM

passed=0
ok() {
  passed=$((passed + 1))
  echo "ok: $1"
}
fail() {
  echo "FAILED: $1" >&2
  exit 1
}
in_root() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "$@"; }
# Succeeds where the command ends with the exit code $1.
exits() {
  wanted=$1
  shift
  status=0
  "$@" >"$work/output" 2>&1 || status=$?
  [ "$status" -eq "$wanted" ] || { cat "$work/output" >&2; fail "exit code $status instead of $wanted: $*"; }
}
files() { (cd "$root" && find . -xdev -path ./proc -prune -o -path ./tmp -prune -o -path ./var/lib/dpkg -prune -o \
  -path ./var/lib/rpm -prune -o -path ./var/log -prune -o -path ./var/cache -prune -o -print | sort); }

for file in "$deb" "$rpm"; do [ -f "$file" ] || fail "$file is missing: npm run package"; done
(cd "$project/packages" && sha256sum --check --quiet SHA256SUMS) || fail 'SHA256SUMS does not hold'
ok 'the checksums hold'

mkdir "$root"
mount -t tmpfs tmpfs "$root"
exits 0 mmdebstrap --quiet --variant=essential --include=man-db,bash-completion,zsh,fish bookworm "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/tmp"
exits 127 in_root node --version
ok 'the root has no Node.js'

# Runs what users run, with whatever is installed.
try_program() {
  images=$root/tmp/images
  rm -rf "$images"
  cp -r "$project/fixtures/chain" "$images"
  exits 3 in_root bitmap-tool check /tmp/images/overlay.qcow2
  exits 0 in_root bitmap-tool create-from --allocated /tmp/images/overlay.qcow2
  exits 0 in_root bitmap-tool check /tmp/images/overlay.qcow2
  exits 0 qemu-img check "$images/overlay.qcow2"
  qemu-img info --output=json "$images/overlay.qcow2" | grep -q '"name": "checkpoint-2026-11-01"' ||
    fail 'QEMU does not see the bitmap'
  [ -z "$(ls -A "$root/tmp" | grep -v '^images$')" ] || fail "left in /tmp: $(ls -A "$root/tmp")"
  ok "$1: the demo chain gets its checkpoint bitmap, and QEMU finds it in order"

  mkfifo "$work/commands"
  qemu-io "$images/overlay.qcow2" <"$work/commands" >"$work/qemu-io.log" 2>&1 &
  holder=$!
  exec 9>"$work/commands"
  # Its answer shows that it has the image open. Another program that opens the image to find that out could get in its way.
  echo length >&9
  until grep -q MiB "$work/qemu-io.log"; do
    kill -0 "$holder" 2>/dev/null || { cat "$work/qemu-io.log" >&2; fail 'qemu-io'; }
    sleep 0.1
  done
  exits 5 in_root bitmap-tool add /tmp/images/overlay.qcow2 another
  exits 5 in_root bitmap-tool list /tmp/images/overlay.qcow2
  exits 0 in_root bitmap-tool list -U /tmp/images/overlay.qcow2
  exec 9>&-
  wait "$holder" || true
  holder=
  rm "$work/commands"
  exits 0 in_root bitmap-tool add /tmp/images/overlay.qcow2 another
  ok "$1: an image that QEMU has open is in use, and free afterwards"

  # Its answer is longer than a pipe takes, so it waits for a reader with the image open.
  qemu-img create -q -f qcow2 -o cluster_size=4k "$images/long.qcow2" 16M
  awk 'BEGIN { for (i = 0; i < 1500; i++) print "write -q -z", i * 8192, 4096 }' | qemu-io "$images/long.qcow2" >/dev/null
  mkfifo "$work/answer"
  in_root bitmap-tool map --json /tmp/images/long.qcow2 >"$work/answer" &
  holder=$!
  exec 9<"$work/answer"
  # It has the image open from its first byte of output on.
  head -c 1 <&9 >/dev/null
  qemu-io -c 'write 0 512' "$images/long.qcow2" 2>&1 | grep -q 'Failed to get "write" lock' || fail 'map takes no lock'
  cat <&9 >/dev/null
  exec 9<&-
  wait "$holder" || fail 'map'
  holder=
  rm "$work/answer"
  ok "$1: QEMU cannot write to an image that the program has open"

  mount -o remount,noexec "$root/tmp"
  exits 0 in_root bitmap-tool clear /tmp/images/overlay.qcow2 another
  for folder in run var/tmp dev/shm; do
    mkdir -p "$root/$folder"
    mount -t tmpfs -o noexec tmpfs "$root/$folder"
  done
  exits 4 in_root HOME=/nonexistent bitmap-tool clear /tmp/images/overlay.qcow2 another
  grep -q 'Set TMPDIR to a folder' "$work/output" || fail 'no word of TMPDIR'
  exits 0 in_root TMPDIR=/opt bitmap-tool clear /tmp/images/overlay.qcow2 another
  umount "$root/run" "$root/var/tmp" "$root/dev/shm"
  mount -o remount,exec "$root/tmp"
  ok "$1: locks work if any one folder may hold programs, and the message says how"

  exits 0 in_root bitmap-tool --help
  exits 0 in_root bitmap-tool map --json /tmp/images/overlay.qcow2
  exits 0 in_root bitmap-tool dump --picture /tmp/images/disk.svg /tmp/images/overlay.qcow2 another
  ok "$1: parts that are loaded late are in the program"
}

files >"$work/before"
exits 0 dpkg --root="$root" --install "$deb"
try_program deb
in_root man --where bitmap-tool | grep -q '/usr/share/man/man1/bitmap-tool.1' || fail 'man does not find the page'
exits 0 in_root man --warnings bitmap-tool
[ -s "$work/output" ] || fail 'the man page is empty'
ok 'deb: the man page is where man looks'
[ "$(in_root bash -c '. /usr/share/bash-completion/bash_completion
  for load in _comp_load __load_completion; do declare -F "$load" >/dev/null && "$load" bitmap-tool; done
  COMP_WORDS=(bitmap-tool cre) COMP_CWORD=1
  _bitmap_tool
  echo "${COMPREPLY[*]}"')" = create-from ] || fail 'bash does not complete'
# zsh completes on a terminal only. The widget runs before the first key is read.
cat >"$root/tmp/.zshrc" <<'zshrc'
autoload -Uz compinit
compinit -u -D
zle-line-init() {
  BUFFER='bitmap-tool cre' CURSOR=15
  zle complete-word
  print -r -- "$BUFFER" >/tmp/completed
  BUFFER=exit
  zle .accept-line
}
zle -N zle-line-init
zshrc
exits 0 script --quiet --return --command \
  "chroot '$root' /usr/bin/env -i PATH=/usr/bin:/bin TERM=dumb ZDOTDIR=/tmp zsh -i" /dev/null
[ "$(cat "$root/tmp/completed")" = 'bitmap-tool create-from ' ] || fail 'zsh does not complete'
[ "$(in_root fish -c 'complete --do-complete "bitmap-tool cre"' | cut -f 1)" = create-from ] || fail 'fish does not complete'
rm -rf "$root/tmp/.zshrc" "$root/tmp/completed" "$root/root/.config" "$root/root/.local" "$root/root/.cache"
ok 'deb: the completions are where bash, zsh and fish look'
exits 0 dpkg --root="$root" --remove bitmap-tool
files >"$work/after"
cmp -s "$work/before" "$work/after" || { diff "$work/before" "$work/after" >&2 || true; fail 'dpkg --remove leaves something'; }
in_root dpkg-query --show bitmap-tool >/dev/null 2>&1 && fail 'dpkg knows it still'
ok 'deb: nothing is left of it'

[ -z "$(rpm --query --package --scripts "$rpm" 2>/dev/null)" ] || fail 'the rpm has scripts'
# Debian's libraries are not in rpm's database.
rpm_root() { rpm --root="$root" --dbpath=/var/lib/rpm "$@"; }
exits 0 rpm_root --nodeps --install "$rpm"
exits 0 rpm_root --verify --nodeps bitmap-tool
try_program rpm
in_root man --where bitmap-tool | grep -q '/usr/share/man/man1/bitmap-tool.1' || fail 'man does not find the page'
exits 0 rpm_root --erase bitmap-tool
rm -rf "$root/var/lib/rpm"
# Folders for completions and licences stay, empty: other packages of a host with rpm own them.
files >"$work/after"
comm -13 "$work/before" "$work/after" | sort -r | while read -r path; do
  rmdir "$root/$path" 2>/dev/null || echo "$path"
done >"$work/left"
[ ! -s "$work/left" ] || { cat "$work/left" >&2; fail 'rpm --erase leaves files'; }
ok 'rpm: nothing is left of it'
echo "installed: $passed passed"
