#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# What vm_test.go has a virtual machine with systemd do, as a service that busybox runs.
# Prints "ok NAME" or "not ok NAME" for each step, and the logs at the end.
# shellcheck disable=SC2016 # a step's text is for the shell that runs it
set -u
/bin/busybox mkdir -p /box
/bin/busybox --install -s /box
export PATH=/usr/bin:/usr/sbin:/box

# shellcheck source=tests/steps.sh
. /steps.sh

export mnt=/usr/src/kheaders unit=kheadersfs.service
functions='
shown() { systemctl show -P "$1" "${2-$unit}"; }
mounted() { grep " $mnt fuse.kheadersfs " /proc/mounts; }
unmounted() { ! mounted; }
gone() { ! pgrep "^kheadersfs"; }
state_is() { [ "$(systemctl is-active $unit)" = "$1" ]; }
# unit_of makes a service of a type, with more lines.
unit_of() {
  type=$1; shift
  { echo "[Service]"; echo "Type=$type"; for line in "$@"; do echo "$line"; done; } >/run/systemd/system/of-$type.service
  systemctl daemon-reload
}
# soon waits until a command succeeds.
soon() { for i in $(seq 6000); do if "$@" >/dev/null 2>&1; then return; fi; sleep 0.1; done; echo "in vain: $*"; return 1; }
# Reads everything while the file /reading is there, and says in /errors what fails.
read_on() {
  touch /reading /errors /passes
  trap "rm -f /reading /errors /passes" EXIT
  reader &
}
reader() {
  while [ -e /reading ]; do
    (cd $mnt && find include/linux -maxdepth 1 -name "s*.h" -print0 | sort -z | xargs -0 sha256sum) >/sums.now 2>>/errors || :
    cmp /sums /sums.now >>/errors 2>&1 || :
    echo 3 >/proc/sys/vm/drop_caches
    echo >>/passes
  done
}
passes() { wc -l </passes; }
passed() { [ "$(passes)" -gt "$1" ]; }
another_pass() { soon passed "$(passes)"; }
new_pid() { p=$(shown MainPID); [ "$p" != 0 ] && [ "$p" != "$1" ]; }
'

echo # after what systemd tells the terminal
step 'units' '
  cd /usr/lib/systemd/system
  out=$(systemd-analyze verify --man=no ./kheadersfs.service ./usr-src-kheaders.mount ./usr-src-kheaders.automount 2>&1)
  echo "$out"; [ -z "$out" ]
  # Ten times the exposure. The capability, the calls and the namespace that mounting takes make most of it.
  systemd-analyze security --offline=true --threshold=45 ./kheadersfs.service | tail -1'
step 'service' '
  systemctl enable --now kheadersfs
  [ "$(shown ActiveState)" = active ]
  systemctl status kheadersfs | grep "entries of kernel $(uname -r)"
  shown StatusText | grep "entries of kernel $(uname -r) on $mnt"
  mounted
  grep LINUX_VERSION_CODE $mnt/include/generated/uapi/linux/version.h
  [ "$(shown NFileDescriptorStore)" = 2 ]
  (cd $mnt && find include/linux -maxdepth 1 -name "s*.h" -print0 | sort -z | xargs -0 sha256sum) >/sums
  [ $(wc -l </sums) -gt 100 ]'
step 'kill -9' '
  read_on
  for i in 1 2; do
    another_pass
    pid=$(shown MainPID)
    kill -9 $pid
    soon new_pid $pid
    soon state_is active
  done
  another_pass
  rm /reading; wait
  [ "$(shown NRestarts)" = 2 ]
  [ "$(mounted | wc -l)" = 1 ]
  if [ $RESEND = 1 ]; then cat /errors; ! [ -s /errors ]; fi'
step 'systemctl reload' '
  read_on
  pid=$(shown MainPID)
  for i in 1 2; do
    another_pass
    cp /usr/bin/kheadersfs /usr/bin/kheadersfs.new
    mv /usr/bin/kheadersfs.new /usr/bin/kheadersfs
    systemctl reload kheadersfs
    [ "$(stat -L -c %i /proc/$pid/exe)" = "$(stat -c %i /usr/bin/kheadersfs)" ]
    [ "$(shown MainPID)" = $pid ]
    [ "$(shown ActiveState)" = active ]
  done
  another_pass
  rm /reading; wait
  cat /errors; ! [ -s /errors ]'
step 'systemctl restart' '
  pid=$(shown MainPID)
  systemctl restart $unit
  [ "$(shown MainPID)" != $pid ]
  [ "$(mounted | wc -l)" = 1 ]
  cat $mnt/include/linux/sched.h >/dev/null'
step 'systemctl stop' '
  systemctl stop $unit
  ! mounted
  [ "$(shown Result)" = success ]
  [ "$(shown NFileDescriptorStore)" = 0 ]'
step 'umount ends the service' '
  systemctl start $unit
  umount $mnt
  soon state_is inactive
  [ "$(shown Result)" = success ]'
step 'mount unit' '
  unit=usr-src-kheaders.mount
  systemctl start $unit
  mounted
  server=$(pgrep -f "^kheadersfs --ready-fd")
  soon pgrep -f "^kheadersfs --hold"
  kill -9 $server
  soon pgrep -f "^kheadersfs --resume"
  cat $mnt/include/linux/sched.h >/dev/null
  [ "$(shown ActiveState)" = active ]
  systemctl stop $unit
  ! mounted
  soon gone'
step 'fstab' '
  echo "kheaders $mnt kheadersfs nofail,x-systemd.automount,x-systemd.idle-timeout=2 0 0" >/etc/fstab
  systemctl daemon-reload
  systemctl start usr-src-kheaders.automount
  ! mounted
  grep -c . $mnt/include/linux/sched.h
  mounted
  soon unmounted
  soon gone
  grep -c . $mnt/include/linux/fs.h
  systemctl stop usr-src-kheaders.automount
  rm /etc/fstab
  systemctl daemon-reload
  ! mounted'
step 'automount unit' '
  systemctl start usr-src-kheaders.automount
  grep -c . $mnt/include/linux/sched.h
  [ "$(shown TimeoutIdleUSec usr-src-kheaders.automount)" = 10min ]
  systemctl stop usr-src-kheaders.automount usr-src-kheaders.mount
  ! mounted'
# What a oneshot unit leaves in its group of processes ends with it.
step 'oneshot' '
  unit_of oneshot "ExecStart=/usr/bin/kheadersfs $mnt"
  systemctl start of-oneshot
  soon unmounted
  unit_of oneshot "ExecStart=/usr/bin/kheadersfs $mnt" RemainAfterExit=yes
  systemctl start of-oneshot
  mounted
  systemctl stop of-oneshot
  soon unmounted'
step 'exec and forking' '
  unit_of exec "ExecStart=/usr/bin/kheadersfs --foreground $mnt"
  unit_of forking "ExecStart=/usr/bin/kheadersfs $mnt"
  for type in exec forking; do
    systemctl start of-$type
    soon mounted
    cat $mnt/include/linux/sched.h >/dev/null
    [ "$(shown ActiveState of-$type.service)" = active ]
    systemctl stop of-$type
    soon unmounted
  done'

echo 'the kernel says:'
dmesg
journalctl -b --no-pager -q -p notice 2>/dev/null | tail -50
echo 'that is all'
systemctl poweroff --force --force
