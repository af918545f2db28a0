package main

import (
	"context"
	"path/filepath"

	"github.com/bulkhead-vm/bulkhead/guestkernel/cache"
	"github.com/bulkhead-vm/bulkhead/guestkernel/initramfs"
)

// Names of the files.
const (
	initramfsFile = "initramfs.cpio"
	userlandFile  = "userland.erofs"
)

func initramfsPart() part { return part{name: "initramfs", build: buildInitramfs} }

func buildInitramfs(ctx context.Context, e env) ([]file, error) {
	b, err := initramfs.Find(ctx)
	if err != nil {
		return nil, err
	}
	key, err := b.Key(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := e.cache.Get("initramfs", key, func(w cache.Work) error {
		e.progress.Stage("compile the guest agent")
		b.Log = w.Log
		return b.Build(ctx, filepath.Join(w.Out, initramfsFile), w.Scratch)
	})
	if err != nil {
		return nil, err
	}
	return []file{{name: initramfsFile, path: filepath.Join(dir, initramfsFile)}}, nil
}

func userlandPart() part { return part{name: "userland", build: buildUserland} }

func buildUserland(ctx context.Context, e env) ([]file, error) {
	b, err := initramfs.Find(ctx)
	if err != nil {
		return nil, err
	}
	key, err := b.UserlandKey(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := e.cache.Get("userland", key, func(w cache.Work) error {
		e.progress.Stage("compile the userland")
		b.Log = w.Log
		return b.BuildUserland(ctx, filepath.Join(w.Out, userlandFile), w.Scratch)
	})
	if err != nil {
		return nil, err
	}
	return []file{{name: userlandFile, path: filepath.Join(dir, userlandFile)}}, nil
}
