package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/bulkhead-vm/bulkhead/hypervisor/image"
	"github.com/bulkhead-vm/bulkhead/hypervisor/instance"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// Names in GuestDir.
const (
	kernelName   = "vmlinux"
	initrdName   = "initramfs.cpio"
	userlandName = "userland.erofs"
)

// guestFile returns the path of a part of the guest that comes with Bulkhead.
func (n *Node) guestFile(name string) (string, error) {
	path := filepath.Join(n.config.GuestDir, name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("guest's %s: %w (build it with \"make guest\")", name, errors.Unwrap(err))
	}
	return path, nil
}

// imagesOf returns what finds the images of a sandbox with the specification and
// builds what has to be built, once. It ends with its context, too: packing a root
// file system takes long, and goes on for the next who asks.
func (n *Node) imagesOf(s *bulkheadv1.SandboxSpec) func(context.Context) (instance.Images, error) {
	type found struct {
		images instance.Images
		err    error
	}
	find := sync.OnceValue(func() found {
		images, err := n.findImages(s)
		return found{images, err}
	})
	return func(ctx context.Context) (instance.Images, error) {
		done := make(chan found, 1)
		go func() { done <- find() }()
		select {
		case f := <-done:
			return f.images, f.err
		case <-ctx.Done():
			return instance.Images{}, context.Cause(ctx)
		}
	}
}

func (n *Node) findImages(s *bulkheadv1.SandboxSpec) (i instance.Images, err error) {
	root, err := n.rootImage(s.GetRootFs().GetPath())
	if err != nil {
		return i, err
	}
	i.Root, i.RootType = root.Path, root.FSType
	if i.Kernel, err = n.fileOrOwn(s.GetKernel().GetImage(), kernelName); err != nil {
		return i, err
	}
	i.Initrd, err = n.fileOrOwn(s.GetKernel().GetInitrd(), initrdName)
	return i, err
}

func (n *Node) rootImage(path string) (image.Image, error) {
	if path == "" {
		own, err := n.guestFile(userlandName)
		return image.Image{Path: own, FSType: "erofs"}, err
	}
	store, err := image.Open(n.config.CacheDir, n.config.Notify)
	if err != nil {
		return image.Image{}, err
	}
	return store.RootFS(path)
}

func (n *Node) fileOrOwn(path, own string) (string, error) {
	if path == "" {
		return n.guestFile(own)
	}
	return path, nil
}
