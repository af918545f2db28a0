// Package crash kills processes that write disks, at any moment, and looks
// whether the disks hold what they must.
package crash

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/tests/durable"
)

// How long a test goes on, and where it begins: numbers.
const (
	envKills = "BULKHEAD_KILLS" // of each kind of disk
	envSeed  = "BULKHEAD_SEED"
)

const kills = 50

// TestKills has a process write a disk by way of the block device, from several
// queues with several requests in flight each, and kills it. What was
// acknowledged before the last flush that the process knows of must be there,
// and nothing may be there that can't be. The next process goes on with the same
// disk.
func TestKills(t *testing.T) {
	if os.Getenv(envWriter) != "" {
		write(t)
		return
	}
	seed := number(t, envSeed, rand.Uint64())
	for name, d := range disks {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			d.create(t, dir, d.fresh())
			k := &killer{t: t, name: name, dir: dir, rng: rand.New(rand.NewPCG(seed, 0))}
			state := durable.New(d.units(), unitSize, first)
			for round := range number(t, envKills, kills) {
				if d.overlay && round%3 == 0 { // or soon nothing comes from the base any more
					d.flatten(t, dir)
				}
				base := checksum(t, image(dir))
				s := k.kill(round)
				s.tell(state)
				b := d.open(t, dir)
				if err := state.Settle(reader{b}); err != nil {
					t.Fatalf("%s=%d, kill %d, %d flushes, %d of %d operations acknowledged, %d stable:\n%v",
						envSeed, seed, round, s.flushes, len(s.acks), len(s.ops), s.stable, err)
				}
				if err := b.Close(); err != nil {
					t.Fatal(err)
				}
				if d.overlay && checksum(t, image(dir)) != base {
					t.Fatal("the overlay's base changed")
				}
			}
			t.Logf("%d operations, %d acknowledged, %d flushes", k.ops, k.acks, k.flushes)
			if k.flushes == 0 && !d.writeThrough {
				t.Error("no flush was ever done: nothing was tested")
			}
		})
	}
}

func number(t *testing.T, env string, otherwise uint64) uint64 {
	t.Helper()
	v := os.Getenv(env)
	if v == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", env, err)
	}
	return n
}

// killer starts writers of one disk and kills them.
type killer struct {
	t                  *testing.T
	name, dir          string
	rng                *rand.Rand
	ops, acks, flushes int
}

// kill has a writer live for some milliseconds and returns what it told.
func (k *killer) kill(round uint64) *story {
	k.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		k.t.Fatal(err)
	}
	defer r.Close()
	var output bytes.Buffer
	cmd := exec.Command(os.Args[0], "-test.run=^TestKills$")
	cmd.Env = append(os.Environ(), envWriter+"="+k.name, envDir+"="+k.dir, fmt.Sprintf("%s=%d", envRound, round),
		fmt.Sprintf("%s=%d", envSeed, k.rng.Uint64()))
	cmd.ExtraFiles = []*os.File{w}
	cmd.Stdout, cmd.Stderr = &output, &output
	err = cmd.Start()
	w.Close()
	if err != nil {
		k.t.Fatal(err)
	}
	// Mostly while it writes, at times while it starts.
	life := time.Duration(k.rng.IntN(30_000)) * time.Microsecond
	kill := func() { time.AfterFunc(life, func() { cmd.Process.Kill() }) }
	begun := kill
	if k.rng.IntN(10) == 0 {
		kill()
		begun = func() {}
	}
	s := new(story)
	err = s.read(r, begun)
	cmd.Wait()
	if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); err != nil || !ws.Signaled() || ws.Signal() != syscall.SIGKILL {
		k.t.Fatalf("%s, round %d: the writer ended by itself: %v, %v\n%s", k.name, round, cmd.ProcessState, err, output.Bytes())
	}
	k.ops, k.acks, k.flushes = k.ops+len(s.ops), k.acks+len(s.acks), k.flushes+s.flushes
	return s
}
