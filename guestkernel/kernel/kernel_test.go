package kernel

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-vm/bulkhead/guestkernel/cache"
	"github.com/bulkhead-vm/bulkhead/guestkernel/config"
	"github.com/bulkhead-vm/bulkhead/guestkernel/patches"
)

// fakeMakefile stands in for the kernel's build: two files to "compile", and
// an olddefconfig that drops DROPPED.
const fakeMakefile = `
tinyconfig:
	@echo '# CONFIG_FEATURE is not set' > .config
olddefconfig:
	@sed -i '/^CONFIG_DROPPED/d' .config
vmlinux:
	@echo '  CC      a.o'; echo '  AS      b.o'; echo '  LD      vmlinux'
	@cp /bin/true vmlinux; date > System.map; cp greeting greeting.built
bzImage: vmlinux
	@mkdir -p arch/x86/boot; env | grep ^KBUILD_BUILD_USER= > arch/x86/boot/bzImage
`

const fakeKconfig = "menuconfig FEATURE\n\tbool\nconfig DROPPED\n\tbool\n"

const fakePatch = "Why.\n\n--- a/greeting\n+++ b/greeting\n@@ -1 +1 @@\n-hello\n+goodbye\n"

// tarball packs a fake kernel source.
func tarball(t *testing.T) source {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "linux-source")
	for name, text := range map[string]string{
		"Makefile": fakeMakefile, "lib/Kconfig.x": fakeKconfig, "greeting": "hello\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	path := dir + ".tar"
	out, err := exec.Command("tar", "-cf", path, "-C", filepath.Dir(dir), filepath.Base(dir)).CombinedOutput()
	if err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	return source{version: "1", tarball: path}
}

type counter struct {
	stages []string
	done   int
}

func (c *counter) Stage(name string)    { c.stages = append(c.stages, name) }
func (c *counter) Step(done, total int) { c.done = done }

func TestBuildPublishesThePatchedKernel(t *testing.T) {
	c, tr := buildFake(t, recipe{
		options: []config.Option{{Name: "FEATURE", Value: "y"}},
		patches: []patches.Patch{{Name: "0001", Text: []byte(fakePatch)}},
	})
	if err := tr.err; err != nil {
		t.Fatal(err)
	}
	if c.done != 2 {
		t.Errorf("counted %d files, want 2", c.done)
	}
	for _, name := range Files() {
		if _, err := os.Stat(filepath.Join(tr.out, name)); err != nil {
			t.Error(err)
		}
	}
	if b, _ := os.ReadFile(filepath.Join(tr.scratch, "linux", "greeting.built")); string(b) != "goodbye\n" {
		t.Errorf("built from %q", b)
	}
	if b, _ := os.ReadFile(filepath.Join(tr.out, BzImage)); string(b) != "KBUILD_BUILD_USER=bulkhead\n" {
		t.Errorf("environment: %q", b)
	}
}

func TestBuildFailures(t *testing.T) {
	tests := []struct {
		name string
		r    recipe
		want string
	}{
		{"dropped option", recipe{options: []config.Option{{Name: "DROPPED", Value: "y", Where: "f:1"}}}, "f:1 asks for CONFIG_DROPPED=y"},
		{"unknown option", recipe{options: []config.Option{{Name: "NOSUCH", Value: "n", Where: "f:2"}}}, "no option CONFIG_NOSUCH"},
		{"patch that doesn't apply", recipe{patches: []patches.Patch{{Name: "0007-x.patch", Text: []byte(strings.Replace(fakePatch, "-hello", "-other", 1))}}}, "0007-x.patch doesn't apply"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, tr := buildFake(t, tt.r)
			if tr.err == nil || !strings.Contains(tr.err.Error(), tt.want) {
				t.Errorf("err = %v, want %q", tr.err, tt.want)
			}
		})
	}
}

type result struct {
	out, scratch string
	err          error
}

func buildFake(t *testing.T, r recipe) (*counter, result) {
	t.Helper()
	dir := t.TempDir()
	run, err := newRunner(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer run.close()
	c := &counter{}
	b := Builder{Progress: c, Jobs: 2}
	w := cache.Work{Out: filepath.Join(dir, "out"), Scratch: dir}
	if err := os.Mkdir(w.Out, 0o755); err != nil {
		t.Fatal(err)
	}
	err = b.steps(context.Background(), tarball(t), r, w, run)
	return c, result{out: w.Out, scratch: w.Scratch, err: err}
}

func TestKeyIgnoresExplanations(t *testing.T) {
	sum := func(version, patch string, options ...config.Option) string {
		t.Helper()
		r := recipe{options: options, patches: []patches.Patch{{Name: "n", Text: []byte(patch)}}}
		k, err := r.key(context.Background(), source{version: version})
		if err != nil {
			t.Skip(err)
		}
		return k.Sum()
	}
	on := config.Option{Name: "A", Value: "y", Where: "f:1"}
	base := sum("1", fakePatch, on)
	tests := []struct {
		name string
		sum  string
		same bool
	}{
		{"header of a patch", sum("1", "Other words."+fakePatch[4:], on), true},
		{"place of an option", sum("1", fakePatch, config.Option{Name: "A", Value: "y", Where: "g:9"}), true},
		{"body of a patch", sum("1", strings.Replace(fakePatch, "goodbye", "bye", 1), on), false},
		{"value of an option", sum("1", fakePatch, config.Option{Name: "A", Value: "n"}), false},
		{"version of the source", sum("2", fakePatch, on), false},
	}
	for _, tt := range tests {
		if (tt.sum == base) != tt.same {
			t.Errorf("%s: same key = %v", tt.name, tt.sum == base)
		}
	}
}

func TestRecipeLoads(t *testing.T) {
	r, err := loadRecipe()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.patches {
		header, _, _ := strings.Cut(string(p.Text), "\n--- ")
		if !strings.Contains(header, "\nOrdinary hosts: ") {
			t.Errorf("%s doesn't say what it does on ordinary hosts", p.Name)
		}
	}
	if !slices.Contains(Packages(), sourcePackage) {
		t.Error("the source package is not among the packages")
	}
}

func TestLackingPackages(t *testing.T) {
	got := lacking([]string{"a", "b", "c"}, "a installed\nb config-files\n")
	if !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("lacking = %q", got)
	}
	if err := missing(got); !strings.Contains(err.Error(), "apt-get install b c") {
		t.Errorf("the error doesn't name the remedy: %v", err)
	}
}

func TestRunShowsTheEndOfTheLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	r, err := newRunner(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	err = r.run(context.Background(), command{args: []string{"sh", "-c", "seq 1 99; echo broken >&2; exit 3"}})
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Fatalf("err = %v", err)
	}
	if s := err.Error(); !strings.Contains(s, path) || !strings.HasSuffix(s, "99\nbroken") || strings.Contains(s, "\n50\n") {
		t.Errorf("err = %v", err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	r, err := newRunner(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	ctx, cancel := context.WithCancel(context.Background())
	onLine := func(string) { cancel() }
	err = r.run(ctx, command{args: []string{"sh", "-c", "echo started; sleep 60 & wait"}, onLine: onLine})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
}
