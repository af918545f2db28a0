package kernel

import (
	"bufio"
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/bulkhead-vm/bulkhead/guestkernel/config"
)

// configure makes .config and checks that it is what was asked for.
func (t tree) configure(ctx context.Context, options []config.Option) error {
	known, err := symbols(t.dir)
	if err != nil {
		return err
	}
	if err := config.CheckKnown(options, known); err != nil {
		return err
	}
	if err := t.make(ctx, nil, "tinyconfig"); err != nil {
		return err
	}
	if err := t.merge(options); err != nil {
		return err
	}
	if err := t.make(ctx, nil, "olddefconfig"); err != nil {
		return err
	}
	dotConfig, err := os.ReadFile(t.path(".config"))
	if err != nil {
		return err
	}
	return config.Verify(dotConfig, options)
}

// merge adds options to .config, where a later line wins.
func (t tree) merge(options []config.Option) error {
	var b bytes.Buffer
	if err := config.Write(&b, options); err != nil {
		return err
	}
	f, err := os.OpenFile(t.path(".config"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	if _, err := f.Write(b.Bytes()); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

var symbolLine = regexp.MustCompile(`^\s*(?:menu)?config\s+([A-Z0-9a-z_]+)`)

// symbols returns the name of every option that the source in dir knows.
func symbols(dir string) (map[string]bool, error) {
	known := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasPrefix(d.Name(), "Kconfig") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		s := bufio.NewScanner(bytes.NewReader(text))
		for s.Scan() {
			if m := symbolLine.FindStringSubmatch(s.Text()); m != nil {
				known[m[1]] = true
			}
		}
		return s.Err()
	})
	return known, err
}
