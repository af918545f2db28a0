package node

import (
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/instance"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// ownFiles is how many of filesOf's are no disks.
const ownFiles = 3

// filesOf returns the files that make a guest what it is, as they are now: the worker,
// which is of the program's version; the kernel and its initramfs; and what it reads,
// in the order of its disks. It fails where nobody could tell that one has changed.
func (n *Node) filesOf(s *bulkheadv1.SandboxSpec, images instance.Images) (files []*storev1.File, err error) {
	paths := []string{n.config.WorkerPath, images.Kernel, images.Initrd, images.Root}
	for _, d := range s.GetDisks() {
		paths = append(paths, d.GetPath())
	}
	for _, path := range paths {
		f, err := fileAt(path)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

func fileAt(path string) (*storev1.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("a file that the template needs: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file: nobody could tell whether it has changed since a template was made; boot without one", path)
	}
	return fileOf(path, info), nil
}

func fileOf(path string, info os.FileInfo) *storev1.File {
	f := &storev1.File{Path: path, Size: uint64(info.Size()), ModifiedNs: info.ModTime().UnixNano()}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		f.Inode = stat.Ino
	}
	return f
}

// filesAmong returns those of images that are regular files, as they are now.
func filesAmong(images []string) (files []*storev1.File, err error) {
	for _, path := range images {
		if path == "" {
			continue // a snapshot has a copy
		}
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("an image that the guest reads: %w: put it back first", err)
		}
		if info.Mode().IsRegular() {
			files = append(files, fileOf(path, info))
		}
	}
	return files, nil
}

// checkFiles fails if one of the files that a template was made with isn't as it was:
// what the guest has of it would be wrong.
func checkFiles(files []*storev1.File) error {
	for _, f := range files {
		now, err := fileAt(f.GetPath())
		if err != nil {
			return err
		}
		if !proto.Equal(now, f) {
			return fmt.Errorf("%s has changed since the template was made (it was written at %s): make another template",
				f.GetPath(), time.Unix(0, now.GetModifiedNs()).UTC().Format(time.RFC3339))
		}
	}
	return nil
}

// sameFiles reports whether two lists are of the same files, unchanged.
func sameFiles(a, b []*storev1.File) bool {
	return slices.EqualFunc(a, b, func(a, b *storev1.File) bool { return proto.Equal(a, b) })
}
