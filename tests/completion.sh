#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/completion.sh TEST
#
# Has a shell complete command lines of the program EXE, by what EXE prints for it. DIR is a
# scratch directory.
# shellcheck disable=SC2317 # functions are called by name
set -eu
unset XDG_DATA_HOME XDG_CONFIG_HOME
export HOME=$DIR/home LC_ALL=C TERM=dumb INPUTRC=/dev/null
mkdir "$HOME" "$DIR/bin" "$DIR/where"
touch "$DIR/which"
# fish completes only for a command that there is.
ln -s "$EXE" "$DIR/bin/kheadersfs"
PATH=$DIR/bin:$PATH
cd "$HOME" # where no files are

# installed writes the completions for a shell to a file below DIR.
installed() { # SHELL FILE
  mkdir -p "$DIR/${2%/*}"
  "$EXE" completion "$1" >"$DIR/$2"
}

# show_words is, in bash and zsh, instead of the program: it prints the words of its command
# line, to which the shells here add all that a word completes to.
show_words="kheadersfs() { printf '<%s>' \"\$@\" >>'$DIR/out'; echo >>'$DIR/out'; }"

complete_bash() { # LINE
  cat >"$DIR/rc" <<END
. '$DIR/share/bash-completion/completions/kheadersfs'
bind '"\t": insert-completions'
PS1=
$show_words
END
  printf 'kheadersfs %s\t\n' "$1" | bash --rcfile "$DIR/rc" -i 2>"$DIR/err"
}

complete_zsh() { # LINE
  cat >"$DIR/rc" <<END
PS1= PS2= fpath=('$DIR/share/zsh/site-functions' \$fpath)
autoload -Uz compinit
compinit -u -d '$DIR/zcompdump'
zstyle ':completion:*' completer _all_matches _complete
zstyle ':completion:*' insert true
zstyle ':completion:*' insert-tab false
$show_words
END
  # It reads to the end of the terminal.
  # shellcheck disable=SC2016 # variables of zsh
  zsh -f -c 'zmodload zsh/zpty
    zpty shell zsh -f -i
    zpty -w shell ". \"$1/rc\""
    zpty -w shell "kheadersfs $2"$'"'\t'"'
    zpty -w shell exit
    zpty -r shell out "*never*"' zsh "$DIR" "$1" || :
}

complete_fish() { # LINE
  # shellcheck disable=SC2016 # a variable of fish
  XDG_DATA_DIRS=$DIR/share fish -c 'complete -C "kheadersfs $argv[1]"' -- "$1" | cut -f 1 | sed 's/.*/<&>/' >>"$DIR/out"
}

# completes checks what the last word of a line completes to.
completes() { # LINE [WORD...]
  line=$1 before=${1% *}
  [ "$before" != "$line" ] || before=
  shift
  : >"$DIR/out"
  "complete_$shell" "$line"
  # What stood in front of the word is not what it completes to.
  words=$(sed 's/></\n/g' "$DIR/out" | sed 's/^<//; s/>$//; s/^--[a-z]*=//; s,/$,,' | sort |
    awk -v before="$before" 'BEGIN { n = split(before, b, " "); for (i = 1; i <= n; i++) seen[b[i]] } !($0 in seen) && $0 != ""')
  wanted=$(printf '%s\n' "$@" | sort)
  [ "$words" = "$wanted" ] || { printf '%s: "%s" completes to:\n%s\ninstead of:\n%s\n' "$shell" "$line" "$words" "$wanted"; exit 1; }
}

all() { # SHELL FILE
  shell=$1
  installed "$1" "$2"
  completes i info
  completes 'help v' verify version
  completes 'completion ' bash fish zsh
  completes 'info --j' --json
  completes 'info --' --help --json --release --root
  completes '--no' --no-cache
  completes 'cflags --for ' clang clangd pkg-config
  completes 'cflags --for=clang' clang clangd
  completes '-o no' no-cache noexec nosymfollow
  completes 'mount -o strict,no' strict,no-cache strict,noexec strict,nosymfollow
  completes '--options=fsc' fscontext=
  completes "info $DIR/wh" "$DIR/where" "$DIR/which"
  completes "cflags $DIR/wh" "$DIR/where"
  completes "pack -o $DIR/whi" "$DIR/which"
  completes "--root $DIR/wh" "$DIR/where"
  # shellcheck disable=SC2046 # words
  completes 'info --release ' $(ls /lib/modules 2>/dev/null)
  completes 'pack --jobs '
}

test_bash() { all bash share/bash-completion/completions/kheadersfs; }
test_zsh() { all zsh share/zsh/site-functions/_kheadersfs; }
test_fish() { all fish share/fish/vendor_completions.d/kheadersfs.fish; }

"test_$1"
