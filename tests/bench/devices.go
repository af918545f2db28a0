package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path"
	"strconv"
	"strings"
)

// measureDevices runs the benchmarks of queues and devices with a driver in the
// same process. What is compared has the same name up to the last slash: a
// device, and what does the same without one.
func (b *bench) measureDevices() error {
	cmd := exec.Command("go", "test", "-run", "^$", "-bench", ".", "-benchtime", "100ms",
		"-count", strconv.Itoa(b.devices), "./devices/virtio/...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("benchmarks of the devices: %w\n%s", err, out)
	}
	d := deviceTimes{samples: map[string]map[string]*deviceSamples{}, doers: map[string][]string{}}
	pkg := ""
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "pkg: "); ok {
			pkg = path.Base(rest)
		} else if err := d.add(pkg, strings.Fields(lines.Text())); err != nil {
			return fmt.Errorf("%q: %w", lines.Text(), err)
		}
	}
	d.report(&b.report)
	return nil
}

// deviceSamples are what "go test -bench" says of one benchmark.
type deviceSamples struct{ ns, megabytes, objects []float64 }

// deviceTimes has the samples by what is done and by who does it, in the order
// in which they were first seen.
type deviceTimes struct {
	samples map[string]map[string]*deviceSamples
	tasks   []string
	doers   map[string][]string
}

// add takes one line of output: a name with the number of processors, a count,
// and pairs of value and unit.
func (d *deviceTimes) add(pkg string, fields []string) error {
	if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
		return nil
	}
	name := strings.TrimPrefix(fields[0], "Benchmark")
	if i := strings.LastIndexByte(name, '-'); i >= 0 {
		name = name[:i]
	}
	name = strings.ReplaceAll(name, "_", " ")
	task, doer := path.Split(name)
	if task == "" {
		task, doer = name, "device" // with nothing to compare
	}
	s := d.of(pkg+": "+strings.TrimSuffix(task, "/"), doer)
	for i := 2; i+1 < len(fields); i += 2 {
		v, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return err
		}
		switch fields[i+1] {
		case "ns/op":
			s.ns = append(s.ns, v)
		case "MB/s":
			s.megabytes = append(s.megabytes, v)
		case "objects/op":
			s.objects = append(s.objects, v)
		}
	}
	return nil
}

func (d *deviceTimes) of(task, doer string) *deviceSamples {
	if d.samples[task] == nil {
		d.samples[task] = map[string]*deviceSamples{}
		d.tasks = append(d.tasks, task)
	}
	s := d.samples[task][doer]
	if s == nil {
		s = new(deviceSamples)
		d.samples[task][doer] = s
		d.doers[task] = append(d.doers[task], doer)
	}
	return s
}

// report adds what each task takes, what it moves and what it allocates, the
// device first.
func (d *deviceTimes) report(r *report) {
	for _, task := range d.tasks {
		goal := ""
		if strings.HasPrefix(task, "virtqueue: Chain") {
			goal = "< 150 ns"
		}
		d.quantity(r, task, result{Name: task, Unit: "ns", Goal: goal}, func(s *deviceSamples) []float64 { return s.ns })
		d.quantity(r, task, result{Name: task, Unit: "MB/s"}, func(s *deviceSamples) []float64 { return s.megabytes })
		if s := d.samples[task]["device"]; s != nil && len(s.objects) > 0 {
			r.add(result{Name: task + ": allocations", Goal: "0", Series: []series{{Name: "device", Samples: s.objects}}})
		}
	}
}

func (d *deviceTimes) quantity(r *report, task string, res result, of func(*deviceSamples) []float64) {
	for _, doer := range d.doers[task] {
		if samples := of(d.samples[task][doer]); len(samples) > 0 {
			res.Series = append(res.Series, series{Name: doer, Samples: samples})
		}
	}
	if len(res.Series) > 0 {
		r.add(res)
	}
}
