package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// backing is a way to have a restored guest's memory.
type backing struct {
	name string
	*vmmv1.MemoryOptions
}

// backings are those that are compared; each is measured against the first.
func backings() []backing {
	const (
		mapped, paged = vmmv1.MemoryBacking_MEMORY_BACKING_MAPPED, vmmv1.MemoryBacking_MEMORY_BACKING_PAGED
		auto, off     = vmmv1.Prefetch_PREFETCH_AUTO, vmmv1.Prefetch_PREFETCH_OFF
	)
	return []backing{
		{"mapped", &vmmv1.MemoryOptions{Backing: mapped, Prefetch: off}},
		{"mapped, prefetched", &vmmv1.MemoryOptions{Backing: mapped, Prefetch: auto}},
		{"paged", &vmmv1.MemoryOptions{Backing: paged, Prefetch: off}},
		{"paged, prefetched", &vmmv1.MemoryOptions{Backing: paged, Prefetch: auto}},
		{"paged, huge pages", &vmmv1.MemoryOptions{Backing: paged, Prefetch: off, HugePages: true}},
	}
}

// measureBackings times guests that go on from one snapshot by each way, in turns:
// with the snapshot's memory in the host's page cache, and without.
func (b *bench) measureBackings() error {
	if err := b.saveOne(); err != nil {
		return err
	}
	dir := b.saved.layered
	if err := b.recordWorkingSet(dir); err != nil {
		return err
	}
	for _, cold := range []bool{false, true} {
		if err := b.compareBackings(dir, cold); err != nil {
			return err
		}
	}
	return nil
}

// recordWorkingSet has one guest's worker write down what it touches.
func (b *bench) recordWorkingSet(dir string) error {
	v, err := b.restoreWith(dir, 0, nil)
	if err != nil {
		return err
	}
	defer v.close()
	if _, err := v.answer(b.siblingSocket(0)); err != nil {
		return err
	}
	if _, err := v.worker.API.ConnectNetworks(context.Background(), &vmmv1.ConnectNetworksRequest{}); err != nil {
		return err
	}
	for began := time.Now(); time.Since(began) < bootLimit; time.Sleep(10 * time.Millisecond) {
		if info, err := os.Stat(filepath.Join(dir, "workingset")); err == nil {
			b.report.add(result{Name: "working set's file", Unit: "bytes", Series: []series{{Name: "bulkhead-vmm", Samples: []float64{float64(info.Size())}}}})
			return nil
		}
	}
	return errors.New("the worker wrote no working set down")
}

func (b *bench) compareBackings(dir string, cold bool) error {
	all := backings()
	first, answer, memory, faults := make([]series, len(all)), make([]series, len(all)), make([]series, len(all)), make([]series, len(all))
	for i := range b.backings + 1 {
		for k, backing := range all {
			if cold {
				if err := dropCache(filepath.Join(dir, "memory")); err != nil {
					return err
				}
			}
			m, err := b.measureBacking(dir, backing.MemoryOptions)
			if err != nil {
				return fmt.Errorf("%s: %w", backing.name, err)
			}
			if i == 0 {
				continue // to warm everything else
			}
			for s, v := range map[*series]float64{&first[k]: ms(m.first), &answer[k]: ms(m.answered), &memory[k]: m.mib, &faults[k]: m.majorFaults} {
				s.Name, s.Samples = backing.name, append(s.Samples, v)
			}
		}
	}
	cache := "warm"
	if cold {
		cache = "cold"
	}
	b.report.add(result{Name: cache + " cache: worker start → first KVM_RUN", Unit: "ms", Series: first})
	b.report.add(result{Name: cache + " cache: worker start → agent's answer", Unit: "ms", Series: answer})
	b.report.add(result{Name: cache + " cache: guest's memory then (PSS)", Unit: "MiB", Series: memory})
	b.report.add(result{Name: cache + " cache: major faults till then", Unit: "", Series: faults})
	return nil
}

// backingSample is what was measured of a guest.
type backingSample struct {
	first, answered  time.Duration
	mib, majorFaults float64
}

func (b *bench) measureBacking(dir string, o *vmmv1.MemoryOptions) (m backingSample, err error) {
	v, err := b.restoreWith(dir, 0, o)
	if err != nil {
		return m, err
	}
	defer v.close()
	if m.answered, err = v.answer(b.siblingSocket(0)); err != nil {
		return m, err
	}
	if m.first, err = v.firstRun(); err != nil {
		return m, err
	}
	s, err := v.worker.API.Stats(context.Background(), &vmmv1.StatsRequest{})
	if err != nil {
		return m, err
	}
	m.mib = float64(s.GetGuestMemoryBytes()) / (1 << 20)
	m.majorFaults, err = majorFaults(v.worker.Identity().PID)
	return m, err
}

// majorFaults returns how often a process waited for a page to be read; proc(5).
func majorFaults(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	var (
		skip string
		n    float64
	)
	_, err = fmt.Sscan(string(b), &skip, &skip, &skip, &skip, &skip, &skip, &skip, &skip, &skip, &skip, &skip, &n)
	return n, err
}

// dropCache has the host forget what it has of a file, and of no other.
func dropCache(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return fmt.Errorf("drop what the page cache has of %s: %w", path, err)
	}
	return nil
}
