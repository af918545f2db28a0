package fail

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
)

func TestFiles(t *testing.T) {
	tests := []struct {
		err  error
		want Kind
	}{
		{nil, Internal},
		{errors.New("no system call"), Internal},
		{&os.PathError{Op: "open", Path: "/x", Err: syscall.ENOENT}, NotFound},
		{fmt.Errorf("make /x: %w", syscall.EEXIST), Exists},
		{syscall.EROFS, Denied},
		{syscall.EPERM, Denied},
		{syscall.EISDIR, Untimely},
		{syscall.ENOTEMPTY, Untimely},
		{syscall.ENOSPC, Exhausted},
		{syscall.EDQUOT, Exhausted},
		{syscall.ENAMETOOLONG, Invalid},
		{syscall.EIO, Internal},
		{Errorf(Cut, "%w", syscall.ENOENT), Cut},
	}
	for _, tt := range tests {
		got := Files(tt.err)
		if KindOf(got) != tt.want || !errors.Is(got, tt.err) {
			t.Errorf("Files(%v) = %v of kind %d, want %d", tt.err, got, KindOf(got), tt.want)
		}
		if tt.err != nil && got.Error() != tt.err.Error() {
			t.Errorf("Files(%v) says %v", tt.err, got)
		}
	}
}
