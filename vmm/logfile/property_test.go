package logfile

import (
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestFollowers has several streams write at random to a log that is rotated all
// the time, its writer ended and begun anew, and followers read it meanwhile, some
// of them slowly. What a follower sees of each stream is what was written, in
// order and each byte once; where something is missing it says so.
func TestFollowers(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 0))
			path, done := newLog(t), make(chan struct{})
			var followers sync.WaitGroup
			for _, delay := range []time.Duration{0, 0, time.Duration(random.IntN(300)) * time.Microsecond} {
				r := openReader(t, path, Options{Follow: true, Done: done})
				followers.Go(func() { follow(t, r, delay) })
			}
			config := Config{Path: path, MaxBytes: 300 + random.Int64N(20000)}
			counts := make([]int, 3)
			for range 3 {
				writeSome(t, config, counts, rand.New(rand.NewPCG(seed, random.Uint64())))
			}
			close(done)
			followers.Wait()
		})
	}
}

// writeSome has a stream for each count write lines from there on.
func writeSome(t *testing.T, c Config, counts []int, random *rand.Rand) {
	w := openWriter(t, c)
	var streams sync.WaitGroup
	for i := range counts {
		s, random := openStream(t, w, fmt.Sprintf("s%d", i)), rand.New(rand.NewPCG(random.Uint64(), 0))
		streams.Go(func() {
			for range 500 {
				text := fmt.Sprintf("%08d%s\n", counts[i], strings.Repeat("x", random.IntN(100)))
				counts[i]++
				at := random.IntN(len(text)) // one or two writes
				s.Write([]byte(text[:at]))
				s.Write([]byte(text[at:]))
				if random.IntN(50) == 0 {
					time.Sleep(time.Duration(random.IntN(1000)) * time.Microsecond)
				}
			}
		})
	}
	streams.Wait()
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

// wholeLine is what streams write.
var wholeLine = regexp.MustCompile(`^([0-9]{8})x*\n$`)

// follower puts a stream's lines together and checks their numbers.
type follower struct {
	want int    // the next line's number
	have string // of a line
	gap  bool   // since the last line
}

func (f *follower) add(data string) error {
	if f.have += data; !strings.HasSuffix(data, "\n") {
		return nil
	}
	line := f.have
	f.have = ""
	match := wholeLine.FindStringSubmatch(line)
	if match == nil && f.gap {
		return nil // the rest of one that began before
	}
	if match == nil {
		return fmt.Errorf("line %q", line)
	}
	number, err := strconv.Atoi(match[1])
	if err != nil || number < f.want || number > f.want && !f.gap {
		return fmt.Errorf("line %d, want %d", number, f.want)
	}
	f.want, f.gap = number+1, false
	return nil
}

// follow reads to the end.
func follow(t *testing.T, r *Reader, delay time.Duration) {
	streams := map[string]*follower{"s0": {}, "s1": {}, "s2": {}}
	latest := time.Time{}
	for {
		record, err := r.Next(t.Context())
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Error(err)
			return
		}
		if record.Time.Before(latest) {
			t.Errorf("a record of %v comes after one of %v", record.Time, latest)
		}
		latest = record.Time
		for _, s := range streams {
			if record.Gap {
				s.have, s.gap = "", true
			}
		}
		if record.End() {
			continue
		}
		if err := streams[record.Label].add(string(record.Data)); err != nil {
			t.Errorf("%s: %v", record.Label, err)
			return
		}
		time.Sleep(delay)
	}
	for label, s := range streams {
		if s.want != 1500 && !s.gap {
			t.Errorf("%s: the last line is %d", label, s.want)
		}
	}
}
