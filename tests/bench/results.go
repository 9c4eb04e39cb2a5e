// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"slices"
)

// A cell is one line of one column.
type cell struct{ row, subject string }

// results hold what was measured, by round: milliseconds or MiB.
type results struct {
	values map[cell]map[int]float64
	over   map[cell]bool // took longer than the limit
	lacks  []string      // what could not be measured, and why
}

func newResults() *results {
	return &results{values: map[cell]map[int]float64{}, over: map[cell]bool{}}
}

func (r *results) add(c cell, round int, value float64) {
	if r.values[c] == nil {
		r.values[c] = map[int]float64{}
	}
	r.values[c][round] = value
}

// lack notes that something could not be measured.
func (r *results) lack(what string, err error) {
	if !errors.Is(err, errNoted) {
		r.lacks = append(r.lacks, fmt.Sprintf("%s: %v", what, err))
	}
}

// median returns the median of a cell over its rounds.
func (r *results) median(c cell) (float64, bool) {
	var values []float64
	for _, v := range r.values[c] {
		values = append(values, v)
	}
	return median(values)
}

// ratio returns the median of the ratios that two cells have in the rounds that
// both were measured in.
func (r *results) ratio(c, reference cell) (float64, bool) {
	var ratios []float64
	for round, v := range r.values[c] {
		if ref := r.values[reference][round]; ref > 0 {
			ratios = append(ratios, v/ref)
		}
	}
	return median(ratios)
}

func median(values []float64) (float64, bool) {
	n := len(values)
	if n == 0 {
		return 0, false
	}
	slices.Sort(values)
	return (values[(n-1)/2] + values[n/2]) / 2, true
}
