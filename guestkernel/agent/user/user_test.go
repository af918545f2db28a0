package user

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

const passwd = `root:x:0:0:root:/root:/bin/sh
# comment:x:5:5::/:/bin/sh
short:x:6
mate:x:1000:100:,,,:/home/mate:/bin/sh
1001:x:2000:2000::/home/digits:/bin/sh
bad:x:-1:0::/:/bin/sh
huge:x:4294967295:0::/:/bin/sh
homeless:x:7:7::nowhere:/bin/sh
root2:x:0:0::/other:/bin/sh
`

const group = `root:x:0:
disk:x:6:root,mate
mates:x:100:mate
video:x:44:mate,
docker:x:999:matey,mate,mate
mate2:x:44:mate
broken:x
`

func etc(t *testing.T) string {
	dir := t.TempDir()
	if err := errors.Join(
		os.WriteFile(filepath.Join(dir, "passwd"), []byte(passwd), 0o644),
		os.WriteFile(filepath.Join(dir, "group"), []byte(group), 0o644)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestLookup(t *testing.T) {
	root := User{"root", 0, 0, []uint32{6}, "/root"}
	mate := User{"mate", 1000, 100, []uint32{6, 44, 999}, "/home/mate"}
	tests := []struct {
		spec string
		want User
		kind fail.Kind
	}{
		{"", root, 0},
		{"0", root, 0},
		{"root", root, 0},
		{"mate", mate, 0},
		{"1000", mate, 0},
		{"1001", User{"1001", 2000, 2000, nil, "/home/digits"}, 0},
		{"5000", User{"5000", 5000, 0, nil, "/"}, 0},
		{"mate:disk", User{"mate", 1000, 6, nil, "/home/mate"}, 0},
		{"mate:77", User{"mate", 1000, 77, nil, "/home/mate"}, 0},
		{"5000:6000", User{"5000", 5000, 6000, nil, "/"}, 0},
		{"homeless", User{"homeless", 7, 7, nil, "/"}, 0},
		{"nobody", User{}, fail.Invalid},
		{"short", User{}, fail.Invalid},
		{"bad", User{}, fail.Invalid},
		{"huge", User{}, fail.Invalid},
		{"4294967295", User{}, fail.Invalid},
		{"4294967296", User{}, fail.Invalid},
		{"-1", User{}, fail.Invalid},
		{":disk", User{}, fail.Invalid},
		{"mate:", User{}, fail.Invalid},
		{"mate:none", User{}, fail.Invalid},
	}
	dir := etc(t)
	for _, tt := range tests {
		got, err := Lookup(dir, tt.spec)
		if tt.kind != 0 {
			if fail.KindOf(err) != tt.kind {
				t.Errorf("Lookup(%q): %v", tt.spec, err)
			}
		} else if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("Lookup(%q) = %+v, %v; want %+v", tt.spec, got, err, tt.want)
		}
	}
}

func TestLookupWithoutFiles(t *testing.T) {
	got, err := Lookup(t.TempDir(), "")
	if want := (User{Name: "root", Home: "/"}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Lookup = %+v, %v; want %+v", got, err, want)
	}
}

func TestLookupDoesNotHangOnFIFO(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mkfifo(filepath.Join(dir, "passwd"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Lookup(dir, "root"); err == nil {
		t.Error("a FIFO was taken for /etc/passwd")
	}
}
