// Package daemon is bulkheadd: a node, its API on sockets, and what operators see
// of it.
//
//	systemd, bulkheadd.toml ─▶ listeners ─▶ credentials ─▶ interceptors ─▶ server ─▶ node
package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/bulkhead-vm/bulkhead/hypervisor/access"
	"github.com/bulkhead-vm/bulkhead/hypervisor/cgroup"
	"github.com/bulkhead-vm/bulkhead/hypervisor/metrics"
	"github.com/bulkhead-vm/bulkhead/hypervisor/network"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
	"github.com/bulkhead-vm/bulkhead/hypervisor/store/bolt"
	"github.com/bulkhead-vm/bulkhead/hypervisor/systemd"
)

// drainTime is how long calls have to end when the daemon does.
const drainTime = 3 * time.Second

// Names in the node's directories.
const (
	stateName   = "state.db"
	bundlesName = "sandboxes"
)

// Options are what a daemon is started with.
type Options struct {
	Path    string // of the configuration
	Config  Config
	Version string
	// Reload has a token when the configuration is to be read again.
	Reload <-chan os.Signal
}

// daemon is what runs. Its fields don't change once it serves.
type daemon struct {
	path   string
	config Config
	log    *zap.Logger
	level  zap.AtomicLevel

	manager  *systemd.Manager
	sockets  sockets
	rules    *access.Rules
	tls      *access.TLSCredentials // nil: no TCP
	metrics  *metrics.Metrics
	node     *node.Node
	health   *health.Server
	arrivals *arrivals
	servers  []*grpc.Server
	traces   trace.TracerProvider // nil: none
	closers  []func() error       // in the order they were made
	serving  sync.WaitGroup
	failed   chan error         // what ended a server
	beats    chan chan struct{} // each is closed by the loop that serves

	// The rest is that loop's.
	unread string // why the configuration is not the file's; empty: it is
	said   string // the status that the manager heard last
}

// Run is a daemon, until ctx is done. Sandboxes outlive it.
func Run(ctx context.Context, o Options) (err error) {
	d := &daemon{path: o.Path, config: o.Config, arrivals: newArrivals(), failed: make(chan error, 8), beats: make(chan chan struct{})}
	// First of all: what the manager passed in is for nobody else.
	if d.manager, err = systemd.NewManager(); err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, d.close()); err != nil {
			d.manager.Status("failed: " + err.Error())
		}
	}()
	if d.sockets, err = passedSockets(); err != nil {
		return err
	}
	d.closers = append(d.closers, d.sockets.close)
	if d.log, d.level, err = newLog(o.Config.Log); err != nil {
		return err
	}
	d.manager.Status("finding sandboxes again")
	if err := d.start(ctx, o); err != nil {
		return err
	}
	d.log.Info("ready", zap.String("version", o.Version), zap.Int("pid", os.Getpid()))
	d.said = d.status()
	d.manager.Ready(d.said)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go d.manager.Watchdog(ctx, func() bool { return d.healthy(ctx) })
	return d.loop(ctx, o.Reload)
}

// statusTime is how often the manager hears how many sandboxes there are.
const statusTime = 10 * time.Second

// loop does what the daemon is told, until ctx is done or a server fails.
func (d *daemon) loop(ctx context.Context, reload <-chan os.Signal) error {
	tick := time.NewTicker(statusTime)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			d.log.Info("ending; sandboxes go on")
			d.manager.Stopping("ending; sandboxes go on")
			return nil
		case err := <-d.failed:
			return err
		case <-reload:
			d.reload()
		case beat := <-d.beats:
			close(beat)
		case <-tick.C:
			d.tellStatus()
		}
	}
}

func (d *daemon) start(ctx context.Context, o Options) (err error) {
	if err := d.sockets.open(d.config); err != nil {
		return err
	}
	if d.rules, err = access.NewRules(d.config.accessPolicy()); err != nil {
		return err
	}
	if err := d.startTracing(ctx, o.Version); err != nil {
		return err
	}
	d.metrics, d.health = metrics.New(), newHealth()
	if err := d.openNode(o.Version); err != nil {
		return err
	}
	d.metrics.Watch(d.node)
	if err := d.serve(); err != nil {
		return err
	}
	d.health.SetServingStatus("", healthv1.HealthCheckResponse_SERVING)
	d.serveMetrics()
	return nil
}

// openNode opens the node's state, and then the node.
func (d *daemon) openNode(version string) error {
	c := d.config.Node
	if err := os.MkdirAll(c.StateDir, 0o700); err != nil {
		return fmt.Errorf("node.state_dir: %w", err)
	}
	state, err := bolt.Open(filepath.Join(c.StateDir, stateName))
	if err != nil {
		return err
	}
	d.closers = append(d.closers, state.Close)
	config := node.Config{
		Name: c.Name, Version: version,
		RuntimeDir: filepath.Join(c.RuntimeDir, bundlesName), StateDir: c.StateDir, CacheDir: c.CacheDir, TemplateDir: c.TemplateDir,
		WorkerPath: c.Worker, GuestDir: c.GuestDir,
		Store: state, Limits: d.config.nodeLimits(), Observer: d.metrics,
		Log:    d.log.Named("node"),
		Notify: func(s string) { d.log.Info(s) },
	}
	config.Taps = network.New(c.RuntimeDir) // one node has it
	if d.config.Cgroups.Enabled {
		groups, err := cgroup.New(d.config.Cgroups.Parent, c.RuntimeDir)
		if err != nil {
			return fmt.Errorf("cgroups: %w (set cgroups.enabled = false to do without)", err)
		}
		config.Cgroups = groups
	}
	if d.node, err = node.Open(config); err != nil {
		return err
	}
	return nil
}

// close ends calls and gives back everything, last things first.
func (d *daemon) close() error {
	if d.health != nil {
		d.health.Shutdown()
	}
	var ending sync.WaitGroup
	for _, s := range d.servers {
		ending.Go(func() {
			hurry := time.AfterFunc(drainTime, s.Stop)
			s.GracefulStop()
			hurry.Stop()
		})
	}
	var errs []error
	if d.node != nil {
		errs = append(errs, d.node.Close()) // which ends calls that wait
	}
	ending.Wait()
	for i := len(d.closers) - 1; i >= 0; i-- {
		errs = append(errs, d.closers[i]())
	}
	d.serving.Wait()
	if d.log != nil {
		d.log.Sync() // standard error can't be synced everywhere
	}
	return errors.Join(errs...)
}
