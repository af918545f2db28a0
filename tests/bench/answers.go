package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// measureAnswers times a sandbox from its creation to the answer of a command in it:
// restored, in turns with booted.
func (b *bench) measureAnswers() error {
	d, err := b.golden()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(b.ctx, partLimit)
	defer cancel()
	restored, booted := answerTimes{name: "restored"}, answerTimes{name: "cold boot"}
	if _, err := d.answer(ctx, fromGolden()); err != nil { // fills caches
		return fmt.Errorf("a restored sandbox: %w", err)
	}
	for i := range b.answers {
		err := inTurns(i,
			func() error { return restored.add(d.answer(ctx, fromGolden())) },
			func() error { return booted.add(d.answer(ctx, &bulkheadv1.SandboxSpec{Template: noTemplate})) },
		)
		if err != nil {
			return err
		}
	}
	for _, q := range []struct {
		what string
		of   func(answer) time.Duration
	}{
		{"create → running", func(a answer) time.Duration { return a.running }},
		{"create → exec's answer", func(a answer) time.Duration { return a.answered }},
		{"a second exec in it", func(a answer) time.Duration { return a.again }},
	} {
		b.report.add(result{Name: "restore: " + q.what, Unit: "ms", Series: []series{restored.series(q.of), booted.series(q.of)}})
	}
	return nil
}

// noTemplate is the template of a sandbox that boots, whatever there is.
const noTemplate = "none"

// answer is when a sandbox was running, and a command in it had ended; and how long
// the same command took once more.
type answer struct{ running, answered, again time.Duration }

// answer makes a sandbox and runs a command in it; it is gone on return.
func (d *daemon) answer(ctx context.Context, spec *bulkheadv1.SandboxSpec) (a answer, err error) {
	const name = "answer"
	began := now()
	if _, err := d.Create(ctx, &bulkheadv1.CreateSandboxRequest{Name: name, Spec: spec}); err != nil {
		return a, err
	}
	if _, err = d.StartSandbox(ctx, &bulkheadv1.StartSandboxRequest{Name: name}); err == nil {
		a.running = now() - began
		_, err = d.exec(ctx, name)
		a.answered = now() - began
	}
	if err == nil {
		a.again, err = d.exec(ctx, name)
	}
	return a, errors.Join(err, d.delete(ctx, name))
}

// answerTimes are those of sandboxes that came up in the same way.
type answerTimes struct {
	name string
	all  []answer
}

func (t *answerTimes) add(a answer, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", t.name, err)
	}
	t.all = append(t.all, a)
	return nil
}

func (t *answerTimes) series(of func(answer) time.Duration) series {
	s := series{Name: t.name}
	for _, a := range t.all {
		s.Samples = append(s.Samples, ms(of(a)))
	}
	return s
}
