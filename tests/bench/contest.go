package main

import "time"

// contest is what contestants took, each in milliseconds.
type contest []series

func newContest(names ...string) contest {
	c := make(contest, len(names))
	for i, name := range names {
		c[i].Name = name
	}
	return c
}

// rounds has each take its time so often, in turns, and once more at first, to fill
// caches.
func (c contest) rounds(n int, each ...func() (time.Duration, error)) error {
	for round := range n + 1 {
		var turns []func() error
		for i, take := range each {
			turns = append(turns, func() error {
				d, err := take()
				if err == nil && round > 0 {
					c[i].Samples = append(c[i].Samples, ms(d))
				}
				return err
			})
		}
		if err := inTurns(round, turns...); err != nil {
			return err
		}
	}
	return nil
}
