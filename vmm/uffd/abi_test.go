package uffd

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestABI asks the C compiler, with the kernel's own header, for what stands behind
// each number of this package.
func TestABI(t *testing.T) {
	checks := []struct {
		expr string
		got  uint64
	}{
		{"UFFD_API", apiVersion},
		{"UFFDIO_REGISTER_MODE_MISSING", registerMissing},
		{"UFFD_EVENT_PAGEFAULT", eventPageFault},
		{"O_CLOEXEC | O_NONBLOCK", flags},
		{"SYS_userfaultfd", unix.SYS_USERFAULTFD},
		{"USERFAULTFD_IOC_NEW", uint64(reqNew)},
		{"UFFDIO_API", uint64(reqAPI)},
		{"UFFDIO_REGISTER", uint64(reqRegister)},
		{"UFFDIO_UNREGISTER", uint64(reqUnregister)},
		{"UFFDIO_WAKE", uint64(reqWake)},
		{"UFFDIO_COPY", uint64(reqCopy)},
		{"UFFDIO_ZEROPAGE", uint64(reqZero)},
		{"sizeof(struct uffd_msg)", messageSize},
		{"offsetof(struct uffd_msg, arg.pagefault.address)", addressOffset},
		{"sizeof(struct uffdio_api)", uint64(unsafe.Sizeof(apiArg{}))},
		{"sizeof(struct uffdio_range)", uint64(unsafe.Sizeof(rangeArg{}))},
		{"sizeof(struct uffdio_register)", uint64(unsafe.Sizeof(registerArg{}))},
		{"offsetof(struct uffdio_register, mode)", uint64(unsafe.Offsetof(registerArg{}.mode))},
		{"sizeof(struct uffdio_copy)", uint64(unsafe.Sizeof(copyArg{}))},
		{"offsetof(struct uffdio_copy, src)", uint64(unsafe.Offsetof(copyArg{}.src))},
		{"offsetof(struct uffdio_copy, copy)", uint64(unsafe.Offsetof(copyArg{}.copied))},
		{"sizeof(struct uffdio_zeropage)", uint64(unsafe.Sizeof(zeroArg{}))},
		{"offsetof(struct uffdio_zeropage, zeropage)", uint64(unsafe.Offsetof(zeroArg{}.zeroed))},
	}
	var src strings.Builder
	src.WriteString("#include <stdio.h>\n#include <stddef.h>\n#include <fcntl.h>\n#include <sys/ioctl.h>\n#include <sys/syscall.h>\n#include <linux/userfaultfd.h>\nint main(void) {\n")
	for _, c := range checks {
		fmt.Fprintf(&src, "printf(\"%%llu\\n\", (unsigned long long)(unsigned)(%s));\n", c.expr)
	}
	src.WriteString("return 0; }\n")
	prog := filepath.Join(t.TempDir(), "abi")
	cc := exec.Command("gcc", "-x", "c", "-o", prog, "-")
	cc.Stdin = strings.NewReader(src.String())
	if out, err := cc.CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v (make setup installs it)\n%s", err, out)
	}
	out, err := exec.Command(prog).Output()
	if err != nil {
		t.Fatal(err)
	}
	for i, value := range strings.Fields(string(out)) {
		if c := checks[i]; fmt.Sprint(c.got) != value {
			t.Errorf("%s is %s in the kernel's header, %d here", c.expr, value, c.got)
		}
	}
}
