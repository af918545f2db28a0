package worker

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestSavingIsCalledOff has who saves hear why there is no use for it, and who comes
// later not.
func TestSavingIsCalledOff(t *testing.T) {
	var l lifecycle
	l.callOff() // nobody saves
	for want, end := range map[error]func(chan struct{}){
		errCalledOff: func(chan struct{}) { l.callOff() },
		errEnded:     func(machine chan struct{}) { close(machine) },
	} {
		machine := make(chan struct{})
		ctx, cancel := context.WithCancelCause(t.Context())
		over := l.saving(t.Context(), machine, cancel)
		if err := context.Cause(ctx); err != nil {
			t.Fatal(err)
		}
		end(machine)
		if <-ctx.Done(); !errors.Is(context.Cause(ctx), want) {
			t.Errorf("it was ended by %v, want %v", context.Cause(ctx), want)
		}
		over()
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	call, hangUp := context.WithCancel(t.Context())
	over := l.saving(call, nil, cancel)
	over()
	l.callOff()
	hangUp()
	if err := context.Cause(ctx); err != nil {
		t.Errorf("it was over, and then: %v", err)
	}
	over = l.saving(call, nil, cancel)
	defer over()
	if <-ctx.Done(); !errors.Is(context.Cause(ctx), context.Canceled) {
		t.Errorf("who asked has gone: %v", context.Cause(ctx))
	}
}

// TestStepIsOver: that a step's call ends when it is done calls nothing off, which others
// go on with.
func TestStepIsOver(t *testing.T) {
	var l lifecycle
	for range 1000 {
		saved, cancel := context.WithCancelCause(context.Background())
		call, end := context.WithCancel(context.Background())
		over := l.saving(call, nil, cancel)
		over()
		end()
		time.Sleep(10 * time.Microsecond) // whoever was waiting has its turn
		if saved.Err() != nil {
			t.Fatal("the end of a step's call ends the snapshot")
		}
		cancel(nil)
	}
}
