// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/pflag"
)

// flags returns the flags of a command, and what runs it when they are parsed.
func (cmd *command) flags() (flags *pflag.FlagSet, start func(*call) error) {
	flags = pflag.NewFlagSet(cmd.name, pflag.ContinueOnError)
	flags.SortFlags = false
	flags.Usage = func() {}
	start = cmd.define(flags)
	flags.BoolP("help", "h", false, "print this help")
	return flags, start
}

func isSet(flags *pflag.FlagSet, name string) bool {
	f := flags.Lookup(name)
	return f != nil && f.Value.String() == "true"
}

// A text is the value of a flag that must not be empty.
type text struct {
	to   *string
	name string // of the value, in the help
}

func (t text) String() string { return *t.to }
func (t text) Type() string   { return t.name }

func (t text) Set(s string) error {
	if s == "" {
		return errors.New("the value is empty")
	}
	*t.to = s
	return nil
}

// A number is the value of a flag that is a whole number from min to max.
type number struct {
	to       *int
	min, max int
}

func (n number) String() string { return strconv.Itoa(*n.to) }
func (n number) Type() string   { return "N" }

func (n number) Set(s string) error {
	i, err := strconv.Atoi(s)
	switch {
	case err != nil:
		return fmt.Errorf("%q is not a whole number", s)
	case i < n.min || i > n.max:
		return fmt.Errorf("%d is not between %d and %d", i, n.min, n.max)
	}
	*n.to = i
	return nil
}

// flagError says what pflag found wrong with the arguments.
func flagError(flags *pflag.FlagSet, err error) error {
	var unknown *pflag.NotExistError
	var noValue *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "":
		return usageErrorf("unknown flag -%s", unknown.GetSpecifiedName())
	case errors.As(err, &unknown):
		name := unknown.GetSpecifiedName()
		err := usageErrorf("unknown flag --%s", name)
		if near := nearest(name, flagNames(flags)); near != "" {
			return withHint(err, "did you mean --"+near+"?")
		}
		return err
	case errors.As(err, &noValue):
		return usageErrorf("--%s needs a value", noValue.GetFlag().Name)
	case errors.As(err, &invalid):
		return usageErrorf("--%s: %v", invalid.GetFlag().Name, valueError(invalid))
	}
	return usageErrorf("%v", err)
}

// valueError is the error of a value, without the words of package strconv.
func valueError(e *pflag.InvalidValueError) error {
	if e.GetFlag().Value.Type() == "bool" {
		return fmt.Errorf("%q is neither true nor false", e.GetValue())
	}
	return e.Unwrap()
}

// flagNames returns the names of the flags that the help shows.
func flagNames(flags *pflag.FlagSet) []string {
	var names []string
	flags.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	return names
}
