package worker

import (
	"context"
	"errors"
	"testing"
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
		ctx, over := l.saving(t.Context(), machine)
		if err := context.Cause(ctx); err != nil {
			t.Fatal(err)
		}
		end(machine)
		if <-ctx.Done(); !errors.Is(context.Cause(ctx), want) {
			t.Errorf("it was ended by %v, want %v", context.Cause(ctx), want)
		}
		over()
	}
	ctx, over := l.saving(t.Context(), nil)
	over()
	l.callOff()
	if err := context.Cause(ctx); errors.Is(err, errCalledOff) {
		t.Errorf("it was over, and then: %v", err)
	}
}
