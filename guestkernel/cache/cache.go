// Package cache keeps built artefacts outside the checkout, each in a
// directory named by the hash of everything that went into it.
//
// An entry is built in a directory beside its final place and renamed into it
// once it is complete and on disk, so an interrupted build, a full disk or a
// killed process never leaves an entry that looks whole and isn't. One build
// of a part runs at a time on a machine; a second one waits, and then finds
// the first one's result.
package cache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// EnvDir is the environment variable that moves the cache.
const EnvDir = "BULKHEAD_CACHE"

// Cache is a directory of entries, grouped by part ("kernel", "initramfs").
type Cache struct {
	dir    string
	notify func(string)
}

// Work is where a build function works.
type Work struct {
	Out     string // becomes the entry
	Scratch string // deleted after the build
	Log     string // a file for the build's output; outlives a failed build
}

// DefaultDir returns $BULKHEAD_CACHE, or bulkhead in the user's cache directory.
func DefaultDir() (string, error) {
	if d := os.Getenv(EnvDir); d != "" {
		return filepath.Abs(d)
	}
	d, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache directory (set %s to one): %w", EnvDir, err)
	}
	return filepath.Join(d, "bulkhead"), nil
}

// Open returns the cache in dir, which is made if it's missing. What the user
// should know while waiting is passed to notify, which may be nil.
func Open(dir string, notify func(string)) (*Cache, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("cache directory (set %s to a writable one): %w", EnvDir, err)
	}
	if notify == nil {
		notify = func(string) {}
	}
	return &Cache{dir: dir, notify: notify}, nil
}

// Dir returns the directory of the cache.
func (c *Cache) Dir() string { return c.dir }

// Get returns the directory of the entry of part under key, and builds the
// entry with build if it's missing or damaged.
func (c *Cache) Get(part string, key *Key, build func(Work) error) (string, error) {
	entry := filepath.Join(c.dir, part, key.Sum())
	if intact(entry) {
		return entry, nil
	}
	unlock, err := c.lock(part)
	if err != nil {
		return "", err
	}
	defer unlock()
	if intact(entry) { // by the build that was waited for
		return entry, nil
	}
	if err := c.removeLeftovers(part, entry); err != nil {
		return "", err
	}
	if err := c.build(part, entry, key, build); err != nil {
		return "", explain(err, c.dir)
	}
	return entry, nil
}

func (c *Cache) build(part, entry string, key *Key, build func(Work) error) (err error) {
	tmp, err := os.MkdirTemp(filepath.Join(c.dir, part), buildPrefix)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	w := Work{
		Out:     filepath.Join(tmp, "out"),
		Scratch: filepath.Join(tmp, "scratch"),
		Log:     filepath.Join(c.dir, part+".log"),
	}
	for _, d := range []string{w.Out, w.Scratch} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	if err := build(w); err != nil {
		return err
	}
	return publish(w.Out, entry, key)
}

// buildPrefix begins the name of a directory in which a build is going on.
const buildPrefix = ".build-"

// removeLeftovers deletes what killed builds left. The caller holds the lock
// of the part, so no build is going on.
func (c *Cache) removeLeftovers(part, entry string) error {
	left, err := filepath.Glob(filepath.Join(c.dir, part, buildPrefix+"*"))
	if err != nil {
		return err
	}
	for _, d := range append(left, entry) {
		if err := os.RemoveAll(d); err != nil {
			return fmt.Errorf("remove what an interrupted build left: %w", err)
		}
	}
	return nil
}
