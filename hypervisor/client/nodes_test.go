package client_test

import (
	"context"
	"errors"
	"log"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/bulkhead-vm/bulkhead/hypervisor/capacity"
	"github.com/bulkhead-vm/bulkhead/hypervisor/client"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
	"github.com/bulkhead-vm/bulkhead/hypervisor/server"
	"github.com/bulkhead-vm/bulkhead/hypervisor/workertest"
)

func TestMain(m *testing.M) {
	workertest.Main()
	os.Exit(m.Run())
}

// startNodes returns clients of new nodes within this process, with fake workers and
// so much memory to give, in the order of their names. end ends them.
func startNodes(memory map[string]uint64) (clients []*client.Client, end func()) {
	dir, err := os.MkdirTemp("", "nodes")
	check(err)
	var ends []func() error
	for _, name := range slices.Sorted(maps.Keys(memory)) {
		c, close := startNode(filepath.Join(dir, name), name, memory[name])
		clients, ends = append(clients, c), append(ends, close)
	}
	return clients, func() {
		for _, end := range ends {
			check(end())
		}
		check(os.RemoveAll(dir))
	}
}

func startNode(dir, name string, memory uint64) (c *client.Client, end func() error) {
	guest := filepath.Join(dir, "guest")
	check(os.MkdirAll(guest, 0o700))
	for _, file := range []string{"vmlinux", "initramfs.cpio", "userland.erofs"} {
		check(os.WriteFile(filepath.Join(guest, file), []byte("fake"), 0o600))
	}
	host, err := capacity.Host()
	check(err)
	n, err := node.Open(node.Config{
		Name: name, WorkerPath: os.Args[0], GuestDir: guest,
		RuntimeDir: filepath.Join(dir, "run"), StateDir: filepath.Join(dir, "state"), CacheDir: filepath.Join(dir, "cache"),
		Limits: node.Limits{Capacity: &capacity.Policy{Reserved: capacity.Resources{Memory: host.Memory - memory}}},
	})
	check(err)
	l, s := bufconn.Listen(64<<10), grpc.NewServer()
	server.Register(s, n)
	go s.Serve(l) // until it is stopped
	conn, err := grpc.NewClient("passthrough:///"+name, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	check(err)
	c = client.New(conn)
	return c, func() error {
		err := errors.Join(c.Close(), n.Close())
		s.Stop()
		return err
	}
}

// check is for examples, which have no test to fail.
func check(err error) {
	if err != nil {
		log.Panic(err)
	}
}
