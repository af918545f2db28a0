package agent

import (
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/chunk"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
)

// write has a file of the guest's hold content.
func (m *machine) write(r *agentv1.WriteFileRequest, content string) *agentv1.FileInfo {
	m.t.Helper()
	c := m.connect(r.GetId(), "file")
	defer c.Close()
	go chunk.Send(c, strings.NewReader(content), make([]byte, 5000))
	a, err := m.WriteFile(m.t.Context(), r)
	must(m.t, err)
	return a.GetInfo()
}

// read returns what a file of the guest's holds.
func (m *machine) read(r *agentv1.ReadFileRequest) string {
	m.t.Helper()
	c := m.connect(r.GetId(), "file")
	defer c.Close()
	content := make(chan string, 1)
	go func() {
		b, err := io.ReadAll(chunk.NewReader(c))
		if err != nil {
			m.t.Error(err)
		}
		content <- string(b)
	}()
	a, err := m.ReadFile(m.t.Context(), r)
	must(m.t, err)
	b := <-content
	if a.GetBytes() != uint64(len(b)) {
		m.t.Errorf("%d bytes came, %d were said", len(b), a.GetBytes())
	}
	return b
}

func TestFiles(t *testing.T) {
	m := boot(t, programs(t, t.TempDir()), "")
	ctx := t.Context()
	_, err := m.Stat(ctx, &agentv1.StatRequest{Path: "/"})
	wantCode(t, err, codes.FailedPrecondition)
	_, err = m.Setup(ctx, &agentv1.SetupRequest{})
	must(t, err)

	content := strings.Repeat("0123456789abcdef", 30<<10)
	mode := uint32(0o750)
	info := m.write(&agentv1.WriteFileRequest{Id: "w", Path: "/srv/a/file", Mode: &mode, Parents: true}, content)
	if info.GetName() != "file" || info.GetMode()&0o7777 != mode || info.GetSize() != uint64(len(content)) {
		t.Errorf("written was %v", info)
	}
	if got := m.read(&agentv1.ReadFileRequest{Id: "r", Path: "/srv/a/file"}); got != content {
		t.Errorf("%d bytes are back, want %d", len(got), len(content))
	}
	if got := m.read(&agentv1.ReadFileRequest{Id: "r", Path: "/proc/sys/kernel/ostype", Offset: 1, Length: 3}); got != "inu" {
		t.Errorf("read %q", got)
	}
	_, err = m.MakeDir(ctx, &agentv1.MakeDirRequest{Path: "/srv/a/dir", Mode: 0o755})
	must(t, err)
	_, err = m.Symlink(ctx, &agentv1.SymlinkRequest{Path: "/srv/a/link", Target: "file"})
	must(t, err)
	page, err := m.ReadDir(ctx, &agentv1.ReadDirRequest{Path: "/srv/a", After: "dir", Limit: 1})
	if err != nil || len(page.GetFiles()) != 1 || page.GetFiles()[0].GetName() != "file" || !page.GetMore() {
		t.Errorf("ReadDir = %v, %v", page, err)
	}
	stat, err := m.Stat(ctx, &agentv1.StatRequest{Path: "/srv/a/link"})
	if err != nil || stat.GetInfo().GetTarget() != "file" {
		t.Errorf("Stat = %v, %v", stat, err)
	}
	_, err = m.Remove(ctx, &agentv1.RemoveRequest{Path: "/srv/a"})
	wantCode(t, err, codes.FailedPrecondition)
	_, err = m.Remove(ctx, &agentv1.RemoveRequest{Path: "/srv/a", Recursive: true})
	must(t, err)
	_, err = m.ReadFile(ctx, &agentv1.ReadFileRequest{Id: "r", Path: "/srv/a/file"})
	wantCode(t, err, codes.NotFound)
	_, err = m.ReadFile(ctx, &agentv1.ReadFileRequest{Id: "r", Path: "/srv"})
	wantCode(t, err, codes.FailedPrecondition)
	_, err = m.WriteFile(ctx, &agentv1.WriteFileRequest{Id: "w", Path: "srv"})
	wantCode(t, err, codes.InvalidArgument)
	// The longest page.
	m.run("many", `cd /srv; i=0; while [ $i -lt 1200 ]; do : > $i; i=$((i+1)); done`)
	page, err = m.ReadDir(ctx, &agentv1.ReadDirRequest{Path: "/srv"})
	if err != nil || len(page.GetFiles()) != 1000 || !page.GetMore() {
		t.Errorf("%d files, more: %v, %v", len(page.GetFiles()), page.GetMore(), err)
	}
	m.powerOff(time.Second)
}

// unfinished begins to write a file and doesn't go on.
func (m *machine) unfinished(path string) <-chan error {
	m.t.Helper()
	m.transfer = m.connect("unfinished", "file")
	m.transfer.Write([]byte("\x00\x00\x00\x02ab"))
	done := make(chan error, 1)
	go func() {
		_, err := m.WriteFile(m.t.Context(), &agentv1.WriteFileRequest{Id: "unfinished", Path: path})
		done <- err
	}()
	return done
}
