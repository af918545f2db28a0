package initramfs

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// modulePath is where the sources are found by the go command.
const modulePath = "github.com/bulkhead-vm/bulkhead"

// Builder builds with the go command, from a checkout.
type Builder struct {
	// Dir is the checkout's top directory.
	Dir string
	// Log takes the output of tools. Empty: it is only in errors.
	Log string
}

// Find returns a builder for the checkout that the current directory is in.
func Find(ctx context.Context) (*Builder, error) {
	dir, err := (&Builder{}).goTool(ctx, "", "list", "-m", "-f", "{{.Dir}}", modulePath)
	if err != nil {
		return nil, fmt.Errorf("find the sources (run this in a checkout of %s): %w", modulePath, err)
	}
	return &Builder{Dir: strings.TrimSpace(dir)}, nil
}

func (b *Builder) userlandDir() string {
	return filepath.Join(b.Dir, "guestkernel", "initramfs", "userland")
}

// environment is the caller's, with what decides the output fixed.
func environment() []string {
	return append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOAMD64=v1",
		"GOFLAGS=", "GOEXPERIMENT=", "GOWORK=off", "GODEBUG=")
}

// goTool runs the go command in dir and returns its standard output.
func (b *Builder) goTool(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = dir, environment()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	b.log(args, &errs)
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", args[0], err, bytes.TrimSpace(errs.Bytes()))
	}
	return out.String(), nil
}

func (b *Builder) log(args []string, output *bytes.Buffer) {
	if b.Log == "" {
		return
	}
	f, err := os.OpenFile(b.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return
	}
	defer f.Close()
	fmt.Fprintf(f, "+ go %s\n%s", strings.Join(args, " "), output.Bytes())
}
