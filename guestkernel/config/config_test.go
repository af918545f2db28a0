package config

import (
	"bytes"
	"strings"
	"testing"
)

func TestFragmentsAreValid(t *testing.T) {
	options, err := Options()
	if err != nil {
		t.Fatal(err)
	}
	if len(options) < 100 {
		t.Errorf("only %d options: is a fragment missing?", len(options))
	}
}

// What workloads and the VMM rely on; see the fragments for the rest.
func TestFragmentsHoldWhatWorkloadsNeed(t *testing.T) {
	options, err := Options()
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]string{}
	for _, o := range options {
		have[o.Name] = o.Value
	}
	for _, name := range strings.Fields(`
		PVH KVM_GUEST X86_MPPARSE X86_X2APIC SERIAL_8250_CONSOLE
		VIRTIO_MMIO_CMDLINE_DEVICES VIRTIO_BLK VIRTIO_NET VIRTIO_VSOCKETS VIRTIO_BALLOON HW_RANDOM_VIRTIO
		EXT4_FS EROFS_FS SQUASHFS OVERLAY_FS TMPFS_XATTR TMPFS_POSIX_ACL FUSE_FS UNIX98_PTYS DEVTMPFS
		MEMCG CGROUP_PIDS CPUSETS BLK_CGROUP CFS_BANDWIDTH
		UTS_NS TIME_NS IPC_NS USER_NS PID_NS NET_NS SECCOMP_FILTER
		INET IPV6 UNIX PACKET TUN VETH
		FUTEX EPOLL SIGNALFD TIMERFD EVENTFD AIO IO_URING MEMFD_CREATE USERFAULTFD MEMBARRIER RSEQ
		SYSVIPC POSIX_MQUEUE INOTIFY_USER FHANDLE BINFMT_SCRIPT TRANSPARENT_HUGEPAGE
		STRICT_KERNEL_RWX HARDENED_USERCOPY STACKPROTECTOR_STRONG VMAP_STACK SLAB_FREELIST_HARDENED CPU_MITIGATIONS`) {
		if have[name] != "y" {
			t.Errorf("CONFIG_%s = %q, want y", name, have[name])
		}
	}
}

func TestParse(t *testing.T) {
	tests := []struct {
		text string
		want string // options as NAME=value, or the error
	}{
		{"# words\n\nCONFIG_A=y\nCONFIG_B=n\n", "A=y B=n"},
		{"CONFIG_NR=32\nCONFIG_S=\"x y\"\nCONFIG_NEG=-1\nCONFIG_HEX=0x10\n", `NR=32 S="x y" NEG=-1 HEX=0x10`},
		{"CONFIG_A=m\n", "f:1: "},
		{"A=y\n", "f:1: "},
		{"CONFIG_A=y # why\n", "f:1: "},
		{"# CONFIG_A is not set\n CONFIG_B=y\n", "f:2: "},
	}
	for _, tt := range tests {
		options, err := Parse("f", []byte(tt.text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("Parse(%q): %v, want %s", tt.text, err, tt.want)
			}
			continue
		}
		var got []string
		for _, o := range options {
			got = append(got, o.Name+"="+o.Value)
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("Parse(%q) = %s, want %s", tt.text, s, tt.want)
		}
	}
}

func TestVerifyNamesWhatWasDropped(t *testing.T) {
	const dotConfig = "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_N=32\nCONFIG_S=\"x\"\nCONFIG_EXTRA=y\n"
	tests := []struct {
		name, value string
		ok          bool
	}{
		{"A", "y", true}, {"B", "n", true}, {"ABSENT", "n", true}, {"N", "32", true}, {"S", `"x"`, true},
		{"A", "n", false}, {"B", "y", false}, {"ABSENT", "y", false}, {"N", "8", false}, {"S", `"y"`, false},
	}
	for _, tt := range tests {
		err := Verify([]byte(dotConfig), []Option{{Name: tt.name, Value: tt.value, Where: "f:7"}})
		if (err == nil) != tt.ok {
			t.Errorf("%s=%s: %v", tt.name, tt.value, err)
		}
		if err != nil && !strings.Contains(err.Error(), "f:7 asks for CONFIG_"+tt.name) {
			t.Errorf("%s=%s: %v doesn't name the option", tt.name, tt.value, err)
		}
	}
}

func TestWriteIsReadBack(t *testing.T) {
	options := []Option{{Name: "A", Value: "y"}, {Name: "B", Value: "n"}, {Name: "C", Value: "7"}}
	var b bytes.Buffer
	if err := Write(&b, options); err != nil {
		t.Fatal(err)
	}
	if want := "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=7\n"; b.String() != want {
		t.Errorf("wrote %q, want %q", b.String(), want)
	}
	if err := Verify(b.Bytes(), options); err != nil {
		t.Error(err)
	}
}

func TestUniqueAndKnown(t *testing.T) {
	twice := []Option{{Name: "A", Value: "y", Where: "f:1"}, {Name: "A", Value: "n", Where: "g:2"}}
	if err := unique(twice); err == nil || !strings.Contains(err.Error(), "f:1") {
		t.Errorf("unique = %v", err)
	}
	if err := CheckKnown(twice, map[string]bool{"A": true}); err != nil {
		t.Error(err)
	}
	if err := CheckKnown(twice, map[string]bool{"B": true}); err == nil {
		t.Error("an unknown option passed")
	}
}
