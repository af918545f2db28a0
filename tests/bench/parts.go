package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// part is something to measure by itself.
type part struct {
	name    string
	times   func(*options) int // 0: leave it out
	measure func(*bench) error
}

// parts returns all of them, in their order.
func parts() []part {
	return []part{
		{"starts", func(o *options) int { return o.starts }, (*bench).measureStarts},
		{"instructions", func(o *options) int { return o.instructions }, (*bench).measureInstructions},
		{"boots", func(o *options) int { return o.boots }, (*bench).measureBoots},
		{"exits", func(o *options) int { return o.exits }, (*bench).measureExits},
		{"calls", func(o *options) int { return o.calls }, (*bench).measureAPI},
		{"devices", func(o *options) int { return o.devices }, (*bench).measureDevices},
		{"restores", func(o *options) int { return o.restores }, (*bench).measureRestores},
		{"backings", func(o *options) int { return o.backings }, (*bench).measureBackings},
		{"crowd", func(o *options) int { return o.crowd }, (*bench).measureCrowd},
		{"saves", func(o *options) int { return o.saves }, (*bench).measureSaves},
		{"answers", func(o *options) int { return o.answers }, (*bench).measureAnswers},
		{"forks", func(o *options) int { return len(o.forks) * o.forkRounds }, (*bench).measureForks},
		{"siblings", func(o *options) int { return o.siblings }, (*bench).measureSiblings},
		{"dirty", func(o *options) int { return len(o.dirty) * o.dirtyRounds }, (*bench).measureDirty},
		{"guests", func(o *options) int { return o.guests }, (*bench).measureGuests},
	}
}

func partNames() string {
	var names []string
	for _, p := range parts() {
		names = append(names, p.name)
	}
	return strings.Join(names, ", ")
}

// chosen returns the parts to measure.
func (b *bench) chosen() (chosen []part, err error) {
	var only []string
	if b.only != "" {
		only = strings.Split(b.only, ",")
	}
	for _, p := range parts() {
		i := slices.Index(only, p.name)
		if p.times(&b.options) > 0 && (i >= 0 || b.only == "") {
			chosen = append(chosen, p)
		}
		if i >= 0 {
			only = slices.Delete(only, i, i+1)
		}
	}
	if len(only) > 0 {
		return nil, fmt.Errorf("-only: there is no part %q: give some of %s", only[0], partNames())
	}
	return chosen, nil
}

// measure has them measured, one after the other. What fails keeps none of the others
// from it.
func (b *bench) measure(chosen []part) (failed error) {
	for _, p := range chosen {
		began := time.Now()
		err := p.measure(b)
		if b.ctx.Err() != nil {
			return errors.Join(context.Cause(b.ctx), failed, err)
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", p.name, err)
			fmt.Fprintln(os.Stderr, err)
			failed = errors.Join(failed, err)
			continue
		}
		fmt.Fprintf(os.Stderr, "%s took %v\n", p.name, time.Since(began).Round(time.Second))
	}
	return failed
}
