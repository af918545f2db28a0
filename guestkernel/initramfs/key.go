package initramfs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/bulkhead-vm/bulkhead/guestkernel/cache"
)

// addGo adds the version of Go that is used in dir.
func (b *Builder) addGo(ctx context.Context, k *cache.Key, dir string) error {
	v, err := b.goTool(ctx, dir, "env", "GOVERSION")
	if err != nil {
		return err
	}
	k.AddString("go", v)
	return nil
}

// listed is what "go list" says of a package.
type listed struct {
	ImportPath string
	Dir        string
	Standard   bool
	GoFiles    []string
	SFiles     []string
	HFiles     []string
	EmbedFiles []string
	Module     *struct {
		Path      string
		Version   string
		GoVersion string
		Replace   *struct{ Path, Version string }
	}
}

const listedFields = "-json=ImportPath,Dir,Standard,GoFiles,SFiles,HFiles,EmbedFiles,Module"

// addSources adds the packages and all that they import: files of this module
// by content, others by their module's version.
func (b *Builder) addSources(ctx context.Context, k *cache.Key, dir string, packages ...string) error {
	out, err := b.goTool(ctx, dir, append([]string{"list", "-deps", listedFields}, packages...)...)
	if err != nil {
		return err
	}
	for d := json.NewDecoder(strings.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("go list: %w", err)
		}
		if err := p.addTo(k); err != nil {
			return err
		}
	}
}

func (p *listed) addTo(k *cache.Key) error {
	if p.Standard || p.Module == nil {
		return nil
	}
	m := p.Module
	if m.Path != modulePath {
		k.AddString("module "+m.Path, fmt.Sprintln(m.Version, m.Replace))
		return nil
	}
	k.AddString("language", m.GoVersion)
	for _, list := range [][]string{p.GoFiles, p.SFiles, p.HFiles, p.EmbedFiles} {
		for _, name := range list {
			if err := k.AddFile(p.ImportPath+"/"+name, filepath.Join(p.Dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}
