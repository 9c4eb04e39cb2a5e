# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# For scripts about the link to a mount that bcc and bpftrace follow, to be sourced behind
# mount8.sh: the running kernel has a directory of modules, and nothing else in it; there is
# no module of DKMS.

for d in /lib/modules /var/lib/dkms /usr/src; do
  [ -d "$d" ] || { mkdir "$d"; left="$left $d"; }
  mount -t tmpfs -o mode=755 none "$d"
done
modules=/lib/modules/$(uname -r)
build=$modules/build
mkdir "$modules"

is_linked() { is "$(readlink "$build")" "$1/include/.."; } # MOUNTPOINT
# is_clean says that nothing is left in the directory, but for a name that is given.
is_clean() { is "$(ls -A "$modules")" "${1-}"; }
end() {
  umount "$MNT"
  gone
}
