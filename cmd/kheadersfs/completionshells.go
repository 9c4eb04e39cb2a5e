// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
)

const bashHead = `# Completions of kheadersfs for bash, made by kheadersfs completion bash.

_kheadersfs() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]}
  local flags='' operand='' value='' list=''
  # bash divides --flag=value at the =, and word=value behind -o, where word is the name of a flag.
  if [[ $cur == '=' || $prev == '=' ]]; then
    if [[ $cur == '=' ]]; then cur=''; else prev=${COMP_WORDS[COMP_CWORD - 2]}; fi
    [[ $prev == -* ]] || prev=--${prev##*,}
  fi
`

const bashEnd = `
  if [[ -z $value && $cur == -* ]]; then
    value=$flags
  elif [[ -z $value ]]; then
    value=$operand
    if ((COMP_CWORD == 1)); then
      mapfile -t COMPREPLY < <(compgen -W '%s' -- "$cur")
      [[ ${#COMPREPLY[@]} == 0 ]] || return
    fi
  fi
  case $value in
  @file) compopt -o default ;;
  @directory) compopt -o dirnames ;;
  @release) mapfile -t COMPREPLY < <(cd /lib/modules 2>/dev/null && compgen -d -- "$cur") ;;
  @options)
    compopt -o nospace
    [[ $cur != *,* ]] || list=${cur%%,*},
    mapfile -t COMPREPLY < <(compgen -P "$list" -W '%s' -- "${cur##*,}")
    ;;
  @anything) ;;
  *) mapfile -t COMPREPLY < <(compgen -W "$value" -- "$cur") ;;
  esac
}
complete -F _kheadersfs kheadersfs
`

// bashCompletion needs nothing of the package bash-completion, which loads it.
func bashCompletion() string {
	bash := func(v value) string {
		if v.kind == oneOf {
			return strings.Join(v.words, " ")
		}
		return map[valueKind]string{anything: "@anything", file: "@file", directory: "@directory", release: "@release", options: "@options"}[v.kind]
	}
	names := commandNames()
	var b strings.Builder
	b.WriteString(bashHead)
	fmt.Fprintf(&b, "  case $command in\n  %s) ;;\n  *) command=mount ;;\n  esac\n  case $command in\n", strings.Join(names, " | "))
	for _, cmd := range commands() {
		var flags []string
		var values strings.Builder
		for _, c := range cmd.completions() {
			spelt := []string{"--" + c.long}
			if c.short != "" {
				spelt = append(spelt, "-"+c.short)
			}
			flags = append(flags, spelt...)
			if c.takes != "" {
				fmt.Fprintf(&values, "    %s) value='%s' ;;\n", strings.Join(spelt, " | "), bash(valueOf(c.takes)))
			}
		}
		fmt.Fprintf(&b, "  %s)\n    flags='%s' operand='%s'\n", cmd.name, strings.Join(flags, " "), bash(cmd.operand()))
		if values.Len() > 0 {
			fmt.Fprintf(&b, "    case $prev in\n%s    esac\n", values.String())
		}
		b.WriteString("    ;;\n")
	}
	b.WriteString("  esac\n")
	var words []string
	for _, c := range optionCompletions() {
		words = append(words, c.word())
	}
	fmt.Fprintf(&b, bashEnd, strings.Join(names, " "), strings.Join(words, " "))
	return b.String()
}

const zshHead = `#compdef kheadersfs
# Completions of kheadersfs for zsh, made by kheadersfs completion zsh.

_kheadersfs_releases() {
  local -a releases=(/lib/modules/*(N/:t))
  compadd -a releases
}

`

const zshEnd = `  esac
  _arguments -s -S : $flags
}

if [[ $funcstack[1] == _kheadersfs ]]; then
  _kheadersfs "$@"
else
  compdef _kheadersfs kheadersfs
fi
`

func zshCompletion() string {
	action := func(v value) string {
		if v.kind == oneOf {
			return "(" + strings.Join(v.words, " ") + ")"
		}
		return map[valueKind]string{anything: " ", file: "_files", directory: "_files -/", release: "_kheadersfs_releases", options: "_kheadersfs_options"}[v.kind]
	}
	quote := strings.NewReplacer(`\`, `\\`, "[", `\[`, "]", `\]`, ":", `\:`, "'", `'\''`)
	// spec returns a completion as _arguments and _values read it.
	spec := func(before, name, after string, c completion) string {
		if c.repeats {
			before = "*"
		}
		s := "'" + before + name
		if c.takes != "" {
			s += after
		}
		s += "[" + quote.Replace(c.help) + "]"
		if c.takes != "" {
			s += ":" + c.takes + ":" + action(valueOf(c.takes))
		}
		return s + "'"
	}
	names := commandNames()
	var b strings.Builder
	b.WriteString(zshHead)
	b.WriteString("_kheadersfs_options() {\n  _values -s , option")
	for _, c := range optionCompletions() {
		b.WriteString(" \\\n    " + spec("", c.long, "", c))
	}
	b.WriteString("\n}\n\n_kheadersfs() {\n  local -a flags commands=(\n")
	for _, cmd := range commands() {
		fmt.Fprintf(&b, "    '%s:%s'\n", cmd.name, quote.Replace(cmd.help))
	}
	b.WriteString("  )\n  local command=mount\n  if ((CURRENT == 2)) && [[ $PREFIX != -* ]]; then\n" +
		"    local ret=1\n    _describe command commands && ret=0\n    _files && ret=0\n    return ret\n  fi\n  case $words[2] in\n")
	fmt.Fprintf(&b, "  %s)\n    command=$words[2]\n    shift words\n    ((CURRENT--))\n    ;;\n  esac\n  case $command in\n", strings.Join(names, "|"))
	for _, cmd := range commands() {
		fmt.Fprintf(&b, "  %s)\n    flags=(\n", cmd.name)
		for _, c := range cmd.completions() {
			before, other := "", ""
			if c.short != "" {
				before, other = "(-"+c.short+")", "(--"+c.long+")"
				b.WriteString("      " + spec(other, "-"+c.short, "+", c) + "\n")
			}
			b.WriteString("      " + spec(before, "--"+c.long, "=", c) + "\n")
		}
		if len(cmd.operands) > 0 {
			fmt.Fprintf(&b, "      '*:%s:%s'\n", cmd.operands[0], action(cmd.operand()))
		}
		b.WriteString("    )\n    ;;\n")
	}
	b.WriteString(zshEnd)
	return b.String()
}

const fishHead = `# Completions of kheadersfs for fish, made by kheadersfs completion fish.

function __kheadersfs_runs -d 'Whether the command line has one of these commands'
    set -l words (commandline -opc)
    set -l command mount
    if set -q words[2]; and contains -- $words[2] %s
        set command $words[2]
    end
    contains -- $command $argv
end

function __kheadersfs_begins -d 'Whether a command can come next'
    test (count (commandline -opc)) = 1
end

function __kheadersfs_releases
    for dir in /lib/modules/*
        string replace /lib/modules/ '' $dir
    end
end

function __kheadersfs_options
    set -l before (string replace -r '^(-o|--options=)' '' -- (commandline -ct) | string replace -r '[^,]*$' '')
    printf '%%s\n' "$before"%s
end

complete -c kheadersfs -f
`

func fishCompletion() string {
	// flags returns how complete(1) is called for a value.
	flags := func(v value) string {
		if v.kind == oneOf {
			return " -x -a '" + strings.Join(v.words, " ") + "'"
		}
		return map[valueKind]string{anything: " -x", file: " -r -F", directory: " -x -a '(__fish_complete_directories)'",
			release: " -x -a '(__kheadersfs_releases)'", options: " -x -a '(__kheadersfs_options)'"}[v.kind]
	}
	quote := strings.NewReplacer(`\`, `\\`, "'", `\'`)
	var words []string
	for _, c := range optionCompletions() {
		words = append(words, c.word())
	}
	var b strings.Builder
	fmt.Fprintf(&b, fishHead, strings.Join(commandNames(), " "), "{"+strings.Join(words, ",")+"}")
	for _, cmd := range commands() {
		fmt.Fprintf(&b, "complete -c kheadersfs -n __kheadersfs_begins -a %s -d '%s'\n", cmd.name, quote.Replace(cmd.help))
	}
	for _, cmd := range commands() {
		when := fmt.Sprintf("complete -c kheadersfs -n '__kheadersfs_runs %s'", cmd.name)
		if v := cmd.operand(); v.kind != anything {
			b.WriteString(when + strings.TrimPrefix(strings.TrimPrefix(flags(v), " -x"), " -r") + "\n")
		}
		for _, c := range cmd.completions() {
			b.WriteString(when)
			if c.short != "" {
				b.WriteString(" -s " + c.short)
			}
			b.WriteString(" -l " + c.long)
			if c.takes != "" {
				b.WriteString(flags(valueOf(c.takes)))
			}
			fmt.Fprintf(&b, " -d '%s'\n", quote.Replace(c.help))
		}
	}
	return b.String()
}
