package process

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/stdio"
)

func TestRun(t *testing.T) {
	g := theGuest()
	tests := []struct {
		name string
		spec Spec
		out  string
		err  string
		code int
	}{
		{"streams", sh("echo out; echo err >&2; exit 3"), "out\n", "err\n", 3},
		{"no output", Spec{Args: []string{"true"}}, "", "", 0},
		{"path with a slash", Spec{Args: []string{"/bin/echo", "a b"}}, "a b\n", "", 0},
		{"relative to the directory", Spec{Args: []string{"./echo", "hi"}, Dir: "/bin"}, "hi\n", "", 0},
		{"relative PATH", Spec{Args: []string{"echo", "hi"}, Dir: "/", Env: []string{"PATH=/nowhere:bin"}}, "hi\n", "", 0},
		{"empty PATH", Spec{Args: []string{"echo", "hi"}, Dir: "/bin", Env: []string{"PATH="}}, "hi\n", "", 0},
		{"directory", Spec{Args: []string{"pwd"}, Dir: "/usr"}, "/usr\n", "", 0},
		{"stdin is null", Spec{Args: []string{"cat"}}, "", "", 0},
		{"killed by a signal", sh("kill -9 $$"), "", "", 137},
		{"reopens its output", sh("echo hi > /dev/stdout; echo ho > /dev/stderr"), "hi\n", "ho\n", 0},
		{"as a user reopens its output", Spec{Args: []string{"sh", "-c", "echo hi > /dev/stdout"}, User: "1234:1234"}, "hi\n", "", 0},
		{"a user and a group", Spec{Args: []string{"sh", "-c", "id -u; id -g; id -G"}, User: "1234:77"}, "1234\n77\n77\n", "", 0},
		{"a number's group", Spec{Args: []string{"sh", "-c", "id -u; id -g; id -G"}, User: "1234"}, "1234\n0\n0\n", "", 0},
		{"own session and group", sh("set -- $(cat /proc/$$/stat); test $5 = $$ && test $6 = $$"), "", "", 0},
		{"no descriptors but three", sh("exec ls /proc/self/fd"), "0\n1\n2\n3\n", "", 0}, // 3: ls's own
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, errs, st := g.run(t, tt.spec)
			if out != tt.out || errs != tt.err || st.Code != tt.code {
				t.Errorf("got %q, %q, code %d; want %q, %q, %d", out, errs, st.Code, tt.out, tt.err, tt.code)
			}
		})
	}
}

func TestStdin(t *testing.T) {
	g := theGuest()
	r := g.mustStart(t, Spec{Args: []string{"cat"}, Stdin: true})
	go func() {
		r.out.Write([]byte("over and out"))
		r.out.CloseWrite()
	}()
	if out := r.read(t, r.out); out != "over and out" {
		t.Errorf("cat wrote %q", out)
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("SECRET", "of the agent")
	g := theGuest()
	out, _, _ := g.run(t, Spec{Args: []string{"env"}, Env: []string{"A=1", "HOME=/elsewhere", "A=2", "EMPTY="}})
	want := []string{"PATH=" + defaultPath, "HOME=/elsewhere", "USER=root", "A=2", "EMPTY="}
	if got := lines(out); !slices.Equal(got, want) {
		t.Errorf("environment is %q, want %q", got, want)
	}
	if out, _, _ := g.run(t, Spec{Args: []string{"pwd"}}); out != "/root\n" {
		t.Errorf("working directory is %q", out)
	}
}

// libcSignals are 32 and 33, glibc's own: its posix_spawn has every child
// ignore them, those of make for one, and so do their children.
const libcSignals = 1<<(32-1) | 1<<(33-1)

// TestSignalsAreDefault looks at what was blocked or ignored for the process.
func TestSignalsAreDefault(t *testing.T) {
	out, _, _ := theGuest().run(t, Spec{Args: []string{"grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"}})
	if len(lines(out)) != 2 {
		t.Fatalf("%q", out)
	}
	for _, line := range lines(out) {
		_, mask, _ := strings.Cut(line, "\t")
		if bits, err := strconv.ParseUint(mask, 16, 64); err != nil || bits&^(libcSignals|ignoredHere()) != 0 {
			t.Error(line, err)
		}
	}
}

// ignoredHere are the signals that whoever runs the tests has them ignore, such as nohup.
// PID 1 of a guest begins with none.
func ignoredHere() (bits uint64) {
	for number := range 31 {
		if signal.Ignored(syscall.Signal(number + 1)) {
			bits |= 1 << number
		}
	}
	return bits
}

func TestStartFailures(t *testing.T) {
	dir := t.TempDir()
	os.Chmod(dir, 0o755)
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	noX := write("nox", "#!/bin/sh\n", 0o644)
	badInterpreter := write("badinterp", "#!/no/such\n", 0o755)
	noExec := write("noexec", "echo hi\n", 0o755)
	ownersOnly := write("owners", "#!/bin/sh\n", 0o700)
	path := []string{"PATH=" + dir}
	tests := []struct {
		name string
		spec Spec
		want fail.Kind
	}{
		{"no command", Spec{}, fail.Invalid},
		{"empty command", Spec{Args: []string{""}}, fail.Invalid},
		{"NUL", Spec{Args: []string{"echo", "a\x00b"}}, fail.Invalid},
		{"bad environment", Spec{Args: []string{"true"}, Env: []string{"=x"}}, fail.Invalid},
		{"relative directory", Spec{Args: []string{"true"}, Dir: "usr"}, fail.Invalid},
		{"too much", Spec{Args: []string{"true", strings.Repeat("x", 1<<20)}}, fail.Invalid},
		{"not in PATH", Spec{Args: []string{"no-such-command"}}, fail.NotFound},
		{"no such file", Spec{Args: []string{"/no/such"}}, fail.NotFound},
		{"under a file", Spec{Args: []string{"/etc/passwd/x"}}, fail.NotFound},
		{"no directory", Spec{Args: []string{"true"}, Dir: "/no/such"}, fail.Invalid},
		{"a file as directory", Spec{Args: []string{"true"}, Dir: "/etc/passwd"}, fail.Invalid},
		{"no user", Spec{Args: []string{"true"}, User: "no-such-user"}, fail.Invalid},
		{"bad interpreter", Spec{Args: []string{badInterpreter}}, fail.NotFound},
		{"bad interpreter in PATH", Spec{Args: []string{"badinterp"}, Env: path}, fail.NotFound},
		{"a directory", Spec{Args: []string{"/etc"}}, fail.Denied},
		{"a directory in PATH", Spec{Args: []string{"etc"}, Env: []string{"PATH=/"}}, fail.NotFound},
		{"no x", Spec{Args: []string{noX}}, fail.Denied},
		{"no x in PATH", Spec{Args: []string{"nox"}, Env: path}, fail.Denied},
		{"no format", Spec{Args: []string{noExec}}, fail.Denied},
		{"no format in PATH", Spec{Args: []string{"noexec"}, Env: path}, fail.Denied},
		{"not this user's", Spec{Args: []string{ownersOnly}, User: "1234"}, fail.Denied},
		{"terminal too large", Spec{Args: []string{"true"}, Terminal: &stdio.Size{Rows: 1 << 20}}, fail.Invalid},
	}
	g := theGuest()
	live := g.Live()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := g.start(t, tt.spec)
			if got := fail.KindOf(err); err == nil || got != tt.want {
				t.Errorf("error %v of kind %d, want %d", err, got, tt.want)
			}
			if _, err := g.Wait(t.Context(), r.id); fail.KindOf(err) != fail.NotFound {
				t.Errorf("Wait = %v", err)
			}
		})
	}
	if got := g.Live(); got != live {
		t.Errorf("%d processes are counted, want %d", got, live)
	}
}

// TestPathSkipsWhatTheUserMayNotExecute has two files of one name.
func TestPathSkipsWhatTheUserMayNotExecute(t *testing.T) {
	dir := t.TempDir()
	os.Chmod(dir, 0o700)
	if err := os.WriteFile(filepath.Join(dir, "true"), []byte("#!/bin/sh\nexit 9\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	spec := Spec{Args: []string{"true"}, Env: []string{"PATH=" + dir + ":/bin"}}
	g := theGuest()
	if _, _, st := g.run(t, spec); st.Code != 9 {
		t.Errorf("root's exit code is %d, want 9", st.Code)
	}
	spec.User = "1234"
	if _, _, st := g.run(t, spec); st.Code != 0 {
		t.Errorf("the user's exit code is %d, want 0", st.Code)
	}
}

func TestIDs(t *testing.T) {
	g := theGuest()
	r := g.mustStart(t, Spec{Args: []string{"true"}})
	for _, wait := range []bool{false, true} {
		if wait {
			g.wait(t, r)
		}
		_, err := g.Start(t.Context(), Spec{ID: r.id, Args: []string{"true"}})
		if fail.KindOf(err) != fail.Exists {
			t.Errorf("the same ID again: %v", err)
		}
	}
	for _, id := range []string{"", "a b", "a/b", "ä", strings.Repeat("x", 65)} {
		_, err := g.Start(t.Context(), Spec{ID: id, Args: []string{"true"}})
		if fail.KindOf(err) != fail.Invalid {
			t.Errorf("ID %q: %v", id, err)
		}
	}
}

func TestStartWithoutConnections(t *testing.T) {
	g := theGuest()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := g.Start(ctx, Spec{ID: "alone", Args: []string{"true"}}); fail.KindOf(err) != fail.Late {
		t.Errorf("Start = %v", err)
	}
}
