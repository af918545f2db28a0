package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/bulkhead-vm/bulkhead/vmm/hostprofile"
	"github.com/bulkhead-vm/bulkhead/vmm/machine"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// featureXSAVE is Linux's number of that CPU feature, as clearcpuid takes it.
const featureXSAVE = "154"

// qemuCmdline is our machines' command line, changed where QEMU can't do what
// our worker does: it completes no XSAVE, and its reset is another.
func qemuCmdline() string {
	words := strings.Join([]string{machine.BaseCmdline(), machine.LegacyCmdline(), "pci=off", profileWithoutXSAVE(), readyWord}, " ")
	return strings.Replace(words, "reboot=k", "reboot=t", 1)
}

// profileWithoutXSAVE are the words that this host wants guests to have, where
// nobody completes XSAVE.
func profileWithoutXSAVE() string {
	return strings.Replace(hostprofile.Detect().Cmdline, "clearcpuid=", "clearcpuid="+featureXSAVE+",", 1)
}

// measureBoots times launch → agent ready, in turns with QEMU, and looks at our
// memory afterwards.
func (b *bench) measureBoots() error {
	ours, theirs := series{Name: "bulkhead-vmm"}, series{Name: "QEMU microvm"}
	overhead := series{Name: "bulkhead-vmm"}
	for range b.boots {
		ready, bytes, err := b.bootOurs()
		if err != nil {
			return fmt.Errorf("bulkhead-vmm: %w", err)
		}
		q, err := b.bootQEMU()
		if err != nil {
			return fmt.Errorf("QEMU: %w", err)
		}
		ours.Samples = append(ours.Samples, ready.Seconds())
		overhead.Samples = append(overhead.Samples, float64(bytes)/(1<<20))
		theirs.Samples = append(theirs.Samples, q.Seconds())
	}
	b.report.add(result{
		Name: "launch → agent ready, 128 MiB", Unit: "s", Goal: "≤ 12 s on emulated guest kernels, ≤ QEMU",
		Series: []series{ours, theirs},
	})
	b.report.add(result{
		Name: "worker memory beyond guest RAM (PSS)", Unit: "MiB", Goal: "< 8 MiB, better 5",
		Series: []series{overhead},
	})
	return b.measureRuns()
}

func (b *bench) bootOurs() (ready time.Duration, overhead uint64, err error) {
	v, err := b.launch(b.agentMachine())
	if err != nil {
		return 0, 0, err
	}
	defer v.close()
	if ready, err = waitReady(v.console, v.launched); err != nil {
		return 0, 0, err
	}
	s, err := v.worker.API.Stats(context.Background(), &vmmv1.StatsRequest{})
	return ready, s.GetOverheadMemoryBytes(), err
}

// qemuTries is how often a boot is tried: on emulated guest kernels QEMU's guest
// stands still at times, and such boots don't count, neither way.
const qemuTries = 4

func (b *bench) bootQEMU() (ready time.Duration, err error) {
	for range qemuTries {
		if ready, err = b.tryQEMU(); err == nil {
			return ready, nil
		}
		fmt.Fprintln(os.Stderr, "bench: QEMU:", err)
	}
	return 0, err
}

func (b *bench) tryQEMU() (time.Duration, error) {
	q, err := b.launchQEMU(b.initrd(), qemuCmdline())
	if err != nil {
		return 0, err
	}
	defer q.close()
	return waitReady(q.console, q.launched)
}

// measureRuns runs a command through the CLI and reports each of its steps.
func (b *bench) measureRuns() error {
	steps := map[string]*series{}
	var order []string
	for range b.boots {
		timings, err := b.runOnce()
		if err != nil {
			return err
		}
		for _, t := range timings {
			if steps[t.Step] == nil {
				steps[t.Step] = &series{Name: "bulkhead run"}
				order = append(order, t.Step)
			}
			steps[t.Step].Samples = append(steps[t.Step].Samples, t.AfterMS)
		}
	}
	for _, name := range order {
		b.report.add(result{Name: "bulkhead run: start → " + name, Unit: "ms", Series: []series{*steps[name]}})
	}
	return nil
}

type timing struct {
	Step    string  `json:"step"`
	AfterMS float64 `json:"after_ms"`
}

func (b *bench) runOnce() ([]timing, error) {
	cmd := exec.Command(b.bin+"/bulkhead", "run", "--json", "--", "echo", "hello")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("bulkhead run: %w: %s", err, errs.String())
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	var result struct {
		Timings []timing `json:"timings"`
	}
	err = json.Unmarshal([]byte(lines[len(lines)-1]), &result)
	return result.Timings, err
}
