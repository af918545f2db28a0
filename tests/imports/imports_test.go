// Package imports holds the rules of who may import whom, and the test that
// enforces them.
package imports

import (
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/bulkhead-vm/bulkhead"

// rules says, for each package of this module, which others of it may be
// imported, directly or not. A name ending in /... stands for a subtree. A
// package that isn't covered by a rule fails the test: think about where it
// belongs, then write it down here.
const rules = `
	# Guest memory knows nothing of KVM, so that everybody may use it.
	vmm/memory:
	vmm/uffd:
	vmm/pager: vmm/memory vmm/uffd
	vmm/timeline:
	# What a machine is at rest, as snapshots have it.
	vmm/state/v1:
	vmm/hostprofile:
	# Nor do timers, the host's and the guest's.
	vmm/slack:

	# Devices: memory < virtqueue < virtio < {mmio, pci, blk, net, vsock, rng}.
	devices/eventfd:
	devices/iovec:
	devices/ratelimit:
	devices/bus:
	devices/serial: vmm/state/v1
	devices/i8042:
	devices/power:
	devices/pvpanic:
	devices/pci: vmm/state/v1 devices/bus
	devices/pci/msix: vmm/state/v1
	devices/pci/pcitest: vmm/state/v1 devices/bus devices/pci devices/pci/msix
	devices/virtio/virtqueue: vmm/memory
	devices/virtio/virtqueue/vqtest: vmm/memory devices/virtio/virtqueue
	devices/virtio: vmm/state/v1 vmm/memory devices/eventfd devices/ratelimit devices/virtio/virtqueue
	devices/virtio/virtiotest: vmm/state/v1 vmm/memory devices/eventfd devices/ratelimit devices/bus devices/pci/... devices/virtio devices/virtio/virtqueue/... devices/virtio/mmio devices/virtio/pci
	devices/virtio/pci: vmm/state/v1 vmm/memory devices/eventfd devices/ratelimit devices/bus devices/pci devices/pci/msix devices/virtio devices/virtio/virtqueue
	devices/virtio/mmio: vmm/state/v1 vmm/memory devices/eventfd devices/ratelimit devices/virtio devices/virtio/virtqueue
	devices/virtio/balloon: vmm/state/v1 vmm/memory devices/eventfd devices/ratelimit devices/virtio devices/virtio/virtqueue
	devices/virtio/blk: vmm/state/v1 vmm/memory devices/eventfd devices/ratelimit devices/iovec devices/virtio devices/virtio/virtqueue
	devices/virtio/blk/blktest:
	devices/virtio/net: vmm/state/v1 vmm/memory devices/eventfd devices/ratelimit devices/iovec devices/virtio devices/virtio/virtqueue
	devices/virtio/net/nettest:
	devices/virtio/rng: vmm/state/v1 vmm/memory devices/eventfd devices/ratelimit devices/virtio devices/virtio/virtqueue
	devices/virtio/vsock: vmm/state/v1 vmm/memory devices/eventfd devices/ratelimit devices/iovec devices/virtio devices/virtio/virtqueue devices/backend/...
	devices/backend/poll:
	devices/backend/file: devices/iovec
	devices/backend/tap: devices/iovec
	devices/backend/tap/taptest:
	devices/backend/overlay: devices/iovec devices/backend/file

	# Boot loaders know neither KVM nor devices.
	boot: vmm/memory boot/elf boot/bzimage boot/params boot/pvh boot/mptable boot/acpi/...
	boot/boottest:
	boot/elf: vmm/memory
	boot/bzimage: vmm/memory
	boot/params: vmm/memory
	boot/pvh: vmm/memory
	boot/mptable: vmm/memory
	boot/acpi/aml:
	boot/acpi: vmm/memory boot/acpi/aml

	# The machine brings them together; only here is KVM.
	vmm/kvm:
	vmm/kvm/kvmtest: vmm/kvm
	vmm/emulate: vmm/kvm vmm/memory
	vmm/vcpu: vmm/state/v1 vmm/kvm vmm/memory vmm/timeline boot/...
	vmm/machine: vmm/state/v1 vmm/kvm vmm/memory vmm/timeline vmm/hostprofile vmm/emulate vmm/vcpu boot/... devices/...
	vmm/snapshot: vmm/memory vmm/state/v1
	vmm/probe: vmm/kvm vmm/hostprofile
	vmm/version:
	vmm/procstat:
	vmm/logfile:
	vmm/record: vmm/logfile
	vmm/api/v1:
	vmm/worker: vmm/... boot/... devices/...
	cmd/bulkhead-vmm: vmm/... boot/... devices/...

	# The guest's side.
	guestkernel/agentapi/v1:
	guestkernel/agentapi/chunk:
	guestkernel/agent/fail:
	guestkernel/agent/plainfile:
	guestkernel/agent/socket:
	guestkernel/agent/vsock: guestkernel/agent/socket
	guestkernel/agent/filesystem: guestkernel/agent/fail guestkernel/agent/plainfile
	guestkernel/agent/streams: guestkernel/agent/fail
	guestkernel/agent/stdio: guestkernel/agent/fail guestkernel/agent/streams
	guestkernel/agent/transfer: guestkernel/agent/fail guestkernel/agent/plainfile guestkernel/agentapi/chunk guestkernel/agent/streams guestkernel/agent/filesystem
	guestkernel/agent/forward: guestkernel/agent/fail guestkernel/agent/socket guestkernel/agent/streams
	guestkernel/agent/...: guestkernel/agent/... guestkernel/agentapi/...
	guestkernel/...: guestkernel/...
	cmd/bulkhead-agent: guestkernel/agent/... guestkernel/agentapi/... vmm/slack

	# The node knows a machine by its worker's protocol only, and reads the logs
	# and the snapshots' manifests that workers write.
	hypervisor/api/v1:
	hypervisor/store/v1: hypervisor/api/v1
	hypervisor/store/...: hypervisor/store/... hypervisor/api/v1
	hypervisor/clip:
	hypervisor/fault:
	hypervisor/labels:
	hypervisor/capacity:
	hypervisor/systemd:
	hypervisor/client: hypervisor/api/v1
	hypervisor/access:
	hypervisor/image: guestkernel/cache
	hypervisor/supervise: vmm/api/v1 vmm/procstat
	hypervisor/spec: hypervisor/fault hypervisor/labels hypervisor/supervise hypervisor/api/v1 vmm/api/v1 vmm/procstat
	hypervisor/guest: guestkernel/agentapi/... vmm/api/v1
	hypervisor/instance: hypervisor/guest hypervisor/supervise guestkernel/agentapi/... vmm/api/v1 vmm/procstat
	hypervisor/archive: vmm/snapshot vmm/memory vmm/state/v1
	hypervisor/snapshots: hypervisor/api/v1 hypervisor/store/v1 hypervisor/supervise vmm/api/v1 vmm/procstat vmm/snapshot vmm/memory vmm/state/v1
	hypervisor/node: hypervisor/api/v1 hypervisor/store hypervisor/store/v1 hypervisor/clip hypervisor/fault hypervisor/labels hypervisor/capacity hypervisor/spec hypervisor/image hypervisor/snapshots hypervisor/archive hypervisor/supervise hypervisor/guest hypervisor/instance guestkernel/agentapi/... guestkernel/cache vmm/api/v1 vmm/procstat vmm/snapshot vmm/memory vmm/state/v1
	hypervisor/nodetest: hypervisor/... guestkernel/agentapi/... guestkernel/cache vmm/api/v1 vmm/procstat vmm/snapshot vmm/memory vmm/state/v1
	hypervisor/workertest: guestkernel/agent/... guestkernel/agentapi/... vmm/api/v1 vmm/record vmm/logfile vmm/procstat
	hypervisor/daemon: hypervisor/... guestkernel/agentapi/... guestkernel/cache vmm/api/v1 vmm/logfile vmm/procstat vmm/snapshot vmm/memory vmm/state/v1
	hypervisor/cgroup:
	hypervisor/network:
	hypervisor/metrics: hypervisor/api/v1 hypervisor/store hypervisor/store/v1 hypervisor/clip hypervisor/fault hypervisor/labels hypervisor/capacity hypervisor/spec hypervisor/image hypervisor/snapshots hypervisor/archive hypervisor/supervise hypervisor/guest hypervisor/instance hypervisor/node guestkernel/agentapi/... guestkernel/cache vmm/api/v1 vmm/procstat vmm/snapshot vmm/memory vmm/state/v1
	hypervisor/server: hypervisor/api/v1 hypervisor/store hypervisor/store/v1 hypervisor/clip hypervisor/fault hypervisor/labels hypervisor/capacity hypervisor/spec hypervisor/image hypervisor/snapshots hypervisor/archive hypervisor/supervise hypervisor/guest hypervisor/instance hypervisor/node hypervisor/access guestkernel/agentapi/... guestkernel/cache vmm/api/v1 vmm/logfile vmm/procstat vmm/snapshot vmm/memory vmm/state/v1
	cmd/bulkhead: hypervisor/... guestkernel/agentapi/... guestkernel/cache vmm/api/v1 vmm/logfile vmm/version vmm/procstat vmm/snapshot vmm/memory vmm/state/v1
	cmd/bulkheadd: hypervisor/... guestkernel/agentapi/... guestkernel/cache vmm/api/v1 vmm/logfile vmm/version vmm/procstat vmm/snapshot vmm/memory vmm/state/v1

	tests/...: tests/... hypervisor/... vmm/... boot/... devices/... guestkernel/...
`

// foreign says which packages from outside some program must not pull in: what
// its memory or its attack surface has no room for.
var foreign = map[string][]string{
	"cmd/bulkhead-vmm":   {"google.golang.org/grpc", "net/http", "github.com/spf13/cobra"},
	"cmd/bulkhead-agent": {"google.golang.org/grpc", "net/http", "github.com/spf13/cobra"},
}

func TestImports(t *testing.T) {
	allowed := parse(t)
	for _, line := range goList(t, "{{.ImportPath}} {{join .Deps \" \"}}", "./...") {
		fields := strings.Fields(line)
		pkg := strings.TrimPrefix(fields[0], module+"/")
		may, ok := match(allowed, pkg)
		if !ok {
			t.Errorf("%s: no rule says what it may import", pkg)
			continue
		}
		for _, dep := range fields[1:] {
			dep, own := strings.CutPrefix(dep, module+"/")
			if own && dep != pkg && !covered(may, dep) {
				t.Errorf("%s must not import %s", pkg, dep)
			}
		}
	}
}

func TestForeignImports(t *testing.T) {
	for program, banned := range foreign {
		deps := goList(t, "{{join .Deps \"\\n\"}}", "./"+program)
		for _, b := range banned {
			if slices.Contains(deps, b) {
				t.Errorf("%s pulls in %s", program, b)
			}
		}
	}
}

// rule is one line: whom it is for, and what they may import.
type rule struct {
	pattern string
	may     []string
}

func parse(t *testing.T) (all []rule) {
	t.Helper()
	for _, line := range strings.Split(rules, "\n") {
		line, _, _ = strings.Cut(strings.TrimSpace(line), "#")
		if line == "" {
			continue
		}
		pattern, may, ok := strings.Cut(line, ":")
		if !ok {
			t.Fatalf("not a rule: %q", line)
		}
		all = append(all, rule{pattern, strings.Fields(may)})
	}
	return all
}

// match returns the first rule for pkg.
func match(all []rule, pkg string) ([]string, bool) {
	for _, r := range all {
		if covered([]string{r.pattern}, pkg) {
			return r.may, true
		}
	}
	return nil, false
}

// covered reports whether one of the patterns stands for pkg.
func covered(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		if tree, ok := strings.CutSuffix(p, "/..."); ok {
			return pkg == tree || strings.HasPrefix(pkg, tree+"/")
		}
		return p == pkg
	})
}

func goList(t *testing.T, format, pattern string) []string {
	t.Helper()
	cmd := exec.Command("go", "list", "-f", format, pattern)
	cmd.Dir = path.Join("..", "..")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}
