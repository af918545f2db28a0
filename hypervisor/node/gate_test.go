package node

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestGate has ten want to start where three may: never more do, and they come in
// the order in which they asked.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		g.set(3)
		var inside, order atomic.Int32
		for i := range int32(10) {
			go func() {
				leave, err := g.enter(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if n := inside.Add(1); n > 3 {
					t.Errorf("%d are inside", n)
				}
				if n := order.Add(1) - 1; n/3 != i/3 {
					t.Errorf("number %d is let in as number %d", i, n)
				}
				time.Sleep(time.Second)
				inside.Add(-1)
				leave()
				leave()
			}()
			synctest.Wait()
		}
		time.Sleep(4500 * time.Millisecond) // four times three
		synctest.Wait()
		if g.inside != 0 || order.Load() != 10 {
			t.Errorf("%d are inside, and %d were", g.inside, order.Load())
		}
	})
}

// TestGateIsLeftByTheSlow has somebody never come out, who keeps others waiting for
// a while only.
func TestGateIsLeftByTheSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		g.set(1)
		if _, err := g.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		leave, err := g.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(began); waited != startTurn {
			t.Errorf("the next one waited %v", waited)
		}
		leave()
	})
}

// TestGateIsGivenUp has those give up who wait: the others don't wait for them.
func TestGateIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		g.set(1)
		leave, err := g.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		why := errors.New("called off")
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			if _, err := g.enter(ctx); !errors.Is(err, why) {
				t.Errorf("who gives up gets %v", err)
			}
		}()
		synctest.Wait()
		cancel(why)
		synctest.Wait()
		leave()
		if leave, err = g.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		g.set(2) // and a second one has room
		if _, err := g.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		leave()
	})
}

// TestGateOfThePatient has somebody wait for whom nobody waits: others go first, also who
// comes later.
func TestGateOfThePatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		g.set(1)
		leave, err := g.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, giveUp := context.WithCancel(t.Context())
		var order []string
		come := func(name string, enter func(context.Context) (func(), error)) {
			go func() {
				leave, err := enter(ctx)
				order = append(order, name)
				if err == nil {
					time.Sleep(time.Second)
					leave()
				}
			}()
			synctest.Wait()
		}
		come("member 1", g.enterLast)
		come("member 2", g.enterLast)
		come("client 1", g.enter)
		come("client 2", g.enter)
		leave()
		time.Sleep(2500 * time.Millisecond) // both clients', and half of a member's
		giveUp()
		synctest.Wait()
		if want := []string{"client 1", "client 2", "member 1", "member 2"}; !slices.Equal(order, want) {
			t.Errorf("in the order %q", order)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if g.inside != 0 || len(g.patient) != 0 {
			t.Errorf("%d inside, %d wait", g.inside, len(g.patient))
		}
	})
}
