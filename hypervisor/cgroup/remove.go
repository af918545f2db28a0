package cgroup

import (
	"fmt"
	"time"
)

const (
	// endTime is how long processes may take to end that are killed: their memory is
	// given back.
	endTime = 10 * time.Second
	// lookAgain is how often they are looked for meanwhile.
	lookAgain = 5 * time.Millisecond
)

// remove removes a group and whoever is in it.
func remove(t tree, path string) error {
	for began := time.Now(); ; time.Sleep(lookAgain) {
		left, err := t.kill(path)
		if err != nil {
			return err
		}
		if left == 0 {
			return t.remove(path)
		}
		if time.Since(began) > endTime {
			return fmt.Errorf("%d of its processes are still there %v after they were killed: see %s", left, endTime, t.dir(path))
		}
	}
}
