package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Check is one thing that running sandboxes takes.
type Check struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Required checks must pass; others only take away an option.
	Required bool `json:"required"`
	// Detail says what was found.
	Detail string `json:"detail"`
	// Remedy is a command that mends it.
	Remedy string `json:"remedy,omitempty"`
}

// CheckHost looks whether a node with the configuration could run sandboxes here.
func CheckHost(c Config) ([]Check, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	n := &Node{config: c}
	return n.Check(), nil
}

// Check looks whether this host can run sandboxes.
func (n *Node) Check() []Check {
	checks := []Check{n.checkWorker(), n.checkKVM()}
	for _, name := range []string{kernelName, initrdName, userlandName} {
		checks = append(checks, n.checkGuest(name))
	}
	return append(checks, checkDir("runtime directory", n.config.RuntimeDir), checkDir("cache directory", n.config.CacheDir), checkTun())
}

func (n *Node) checkWorker() Check {
	c := Check{Name: "worker", Required: true, Detail: n.config.WorkerPath}
	if info, err := os.Stat(c.Detail); err != nil || info.Mode()&0o111 == 0 {
		c.Detail += " is missing or not executable"
		c.Remedy = "make build"
		return c
	}
	c.OK = true
	return c
}

// probeReport is the part of package probe's report that is read here.
type probeReport struct {
	Profile string `json:"profile"`
	Problem string `json:"problem"`
	Remedy  string `json:"remedy"`
}

const checkKVMName = "KVM"

// problem is a check that failed, in a line.
func (c Check) problem() string {
	text := c.Name + ": " + c.Detail
	if c.Remedy != "" {
		text += " (mend with: " + c.Remedy + ")"
	}
	return text
}

// checkKVM asks the worker, which is the one that will use KVM.
func (n *Node) checkKVM() Check {
	c := Check{Name: checkKVMName, Required: true}
	out, err := n.probe()
	var r probeReport
	if err == nil {
		err = json.Unmarshal(out, &r)
	}
	switch {
	case err != nil:
		c.Detail = fmt.Sprintf("not known: the worker can't be asked: %v", err)
	case r.Problem != "":
		c.Detail, c.Remedy = r.Problem, r.Remedy
	default:
		c.OK, c.Detail = true, r.Profile
	}
	return c
}

// hostProfile is what checkKVM finds, empty if that is nothing good.
func (n *Node) hostProfile() string {
	if c := n.checkKVM(); c.OK {
		return c.Detail
	}
	return ""
}

// probeTime is how long the worker may take to look at the host.
const probeTime = 10 * time.Second

func (n *Node) probe() ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), probeTime, fmt.Errorf("it has not answered within %v", probeTime))
	defer cancel()
	cmd := exec.CommandContext(ctx, n.config.WorkerPath, "probe")
	cmd.WaitDelay = time.Second // for what it may have started
	out, err := cmd.Output()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return out, err
}

func (n *Node) checkGuest(name string) Check {
	c := Check{Name: "guest " + name, Required: true, OK: true}
	path, err := n.guestFile(name)
	c.Detail = path
	if err != nil {
		c.OK, c.Detail, c.Remedy = false, err.Error(), "make guest"
	}
	return c
}

// checkDir looks whether a directory is there, or can be made, and written.
func checkDir(name, dir string) Check {
	c := Check{Name: name, Required: true, OK: true, Detail: dir}
	existing := dir
	for {
		f, err := os.CreateTemp(existing, ".bulkhead-check-*")
		if err == nil {
			f.Close()
			os.Remove(f.Name())
			return c
		}
		if !errors.Is(err, os.ErrNotExist) || existing == "/" {
			c.OK, c.Detail = false, fmt.Sprintf("%s can't be written: %v", dir, err)
			c.Remedy = fmt.Sprintf("sudo install -d -o $(id -u) %s", dir)
			return c
		}
		existing = filepath.Dir(existing)
	}
}

func checkTun() Check {
	c := Check{Name: "tap interfaces", OK: true, Detail: "/dev/net/tun, for --net tap=NAME"}
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		c.OK, c.Detail, c.Remedy = false, fmt.Sprintf("--net tap=NAME won't work: %v", err), "sudo modprobe tun"
		return c
	}
	f.Close()
	return c
}
