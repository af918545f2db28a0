package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	serviceUnit = "bulkheadd.service"
	socketUnit  = "bulkheadd.socket"
)

// most is the greatest exposure that the service may have, in tenths of what
// systemd-analyze calls it.
const most = "30"

// open is what the service doesn't close, as systemd-analyze calls it, and what
// for. What isn't here stays closed.
var open = map[string]string{
	"CapabilityBoundingSet_CAP_CHOWN_FSETID_SETFCAP": "listen.unix_group",
	"CapabilityBoundingSet_CAP_DAC_FOWNER_IPC_OWNER": "images and disks that belong to other users",
	"CapabilityBoundingSet_CAP_NET_ADMIN":            "taps",
	"CapabilityBoundingSet_CAP_SYS_NICE_RESOURCE":    "timers of workers' threads that are late",
	"Delegate":                              "a control group for each sandbox",
	"DeviceAllow":                           "/dev/kvm, /dev/userfaultfd, /dev/net/tun, and disks that are block devices",
	"IPAddressDeny":                         "who may come by TCP, certificates say",
	"PrivateDevices":                        "/dev/kvm",
	"PrivateNetwork":                        "the API on TCP, and taps",
	"PrivateUsers":                          "files of other users",
	"ProcSubset":                            "/proc/meminfo, and the boot's ID",
	"ProtectControlGroups":                  "a control group for each sandbox",
	"ProtectHome":                           "images, to be read",
	"ProtectProc":                           "workers that have more than the daemon, by an earlier unit",
	"RestrictAddressFamilies_AF_INET_INET6": "the API on TCP, and traces",
	"RestrictAddressFamilies_AF_NETLINK":    "taps",
	"RestrictAddressFamilies_AF_UNIX":       "the API, and workers",
	"RootDirectoryOrRootImage":              "files are where clients say",
	"SystemCallFilter_privileged":           "chown, for listen.unix_group",
	"UserOrDynamicUser":                     "root runs it",
}

// units copies the units to a directory, with a program that is there for the one
// that isn't, on hosts that build and don't install. edit changes the service.
func units(t *testing.T, edit func(string) string) (dir string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	for _, name := range []string{serviceUnit, socketUnit} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		if name == serviceUnit {
			text = edit(strings.ReplaceAll(text, "/usr/bin/bulkheadd", self))
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func same(text string) string { return text }

// analyze runs systemd-analyze, which needs no systemd that runs.
func analyze(t *testing.T, args ...string) (stdout []byte, complaints string, err error) {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Fatalf("%v: install it with \"make setup\"", err)
	}
	cmd := exec.Command("systemd-analyze", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err = cmd.Output()
	return stdout, stderr.String(), err
}

// verify returns what systemd has to say against units.
func verify(t *testing.T, dir string) string {
	t.Helper()
	_, complaints, err := analyze(t, "verify", "--man=no", filepath.Join(dir, serviceUnit), filepath.Join(dir, socketUnit))
	if err != nil {
		complaints += err.Error()
	}
	return complaints
}

func TestUnitsAreGood(t *testing.T) {
	if complaints := verify(t, units(t, same)); complaints != "" {
		t.Errorf("systemd-analyze verify:\n%s", complaints)
	}
	for what, edit := range map[string][2]string{
		"a key that isn't one":   {"ProtectClock=", "ProtectClocks="},
		"a value that isn't one": {"ProtectSystem=strict", "ProtectSystem=very"},
		"no program":             {"ExecStart=", "ExecStart=/nonexistent"},
	} {
		if complaints := verify(t, units(t, func(s string) string { return strings.Replace(s, edit[0], edit[1], 1) })); complaints == "" {
			t.Errorf("systemd-analyze verify has nothing against %s", what)
		}
	}
}

// TestServiceHasItsSocket: started without, the daemon would make one of its own, and
// the socket unit could not make its.
func TestServiceHasItsSocket(t *testing.T) {
	text, err := os.ReadFile(serviceUnit)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"Requires", "After"} {
		found := false
		for line := range strings.Lines(string(text)) {
			value, ok := strings.CutPrefix(line, key+"=")
			found = found || ok && slices.Contains(strings.Fields(value), socketUnit)
		}
		if !found {
			t.Errorf("%s doesn't have %s", key, socketUnit)
		}
	}
}

// TestServiceIsTight fails when the service is given more than it was, or when
// what is written here of it isn't so.
func TestServiceIsTight(t *testing.T) {
	service := filepath.Join(units(t, same), serviceUnit)
	if out, complaints, err := analyze(t, "security", "--offline=true", "--no-pager", "--threshold="+most, service); err != nil {
		t.Errorf("more exposed than %s: %v\n%s%s", most, err, complaints, out)
	}
	if found := exposed(t, service); !slices.Equal(found, slices.Sorted(maps.Keys(open))) {
		t.Errorf("exposed: %v\nwith reason: %v", found, slices.Sorted(maps.Keys(open)))
	}
}

// TestLoosened takes one line after the other away from the service, and sees
// that this would be noticed.
func TestLoosened(t *testing.T) {
	text, err := os.ReadFile(serviceUnit)
	if err != nil {
		t.Fatal(err)
	}
	_, confinement, ok := strings.Cut(string(text), "can do without.\n")
	if !ok {
		t.Fatal("where does the confinement begin?")
	}
	confinement, _, _ = strings.Cut(confinement, "[Install]")
	unseen := []string{ // by systemd-analyze: what is closed already, or isn't rated
		"Device", "PrivateMounts=", "ProtectHome=", "ProtectProc=", "SystemCallErrorNumber=", "SystemCallFilter=@chown",
	}
	for line := range strings.Lines(confinement) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || slices.ContainsFunc(unseen, func(s string) bool { return strings.HasPrefix(line, s) }) {
			continue
		}
		service := filepath.Join(units(t, func(s string) string { return strings.Replace(s, line+"\n", "", 1) }), serviceUnit)
		if slices.Equal(exposed(t, service), slices.Sorted(maps.Keys(open))) {
			t.Errorf("nobody would notice that %s is gone", line)
		}
	}
}

// exposed returns what a service doesn't close.
func exposed(t *testing.T, service string) (all []string) {
	t.Helper()
	out, complaints, err := analyze(t, "security", "--offline=true", "--json=short", service)
	if err != nil {
		t.Fatalf("systemd-analyze security: %v\n%s", err, complaints)
	}
	var items []struct {
		Name     string  `json:"json_field"`
		Closed   bool    `json:"set"`
		Exposure *string `json:"exposure"`
	}
	if err := json.Unmarshal(out, &items); err != nil {
		t.Fatalf("%v\n%.300s", err, out)
	}
	for _, i := range items {
		if !i.Closed && i.Exposure != nil {
			all = append(all, i.Name)
		}
	}
	slices.Sort(all)
	return all
}
