// Package daemon is bulkheadd: a node, its API on sockets, and what operators see
// of it.
//
//	systemd, bulkheadd.toml ─▶ listeners ─▶ credentials ─▶ interceptors ─▶ server ─▶ node
package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
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

	rules   *access.Rules
	metrics *metrics.Metrics
	node    *node.Node
	health  *health.Server
	servers []*grpc.Server
	traces  trace.TracerProvider // nil: none
	closers []func() error       // in the order they were made
	serving sync.WaitGroup
	failed  chan error // what ended a server
}

// Run is a daemon, until ctx is done. Sandboxes outlive it.
func Run(ctx context.Context, o Options) (err error) {
	d := &daemon{path: o.Path, config: o.Config, failed: make(chan error, 8)}
	if d.log, d.level, err = newLog(o.Config.Log); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.start(ctx, o); err != nil {
		return err
	}
	d.log.Info("ready", zap.String("version", o.Version), zap.Int("pid", os.Getpid()))
	systemd.Notify(systemd.Ready)
	go systemd.Watchdog(ctx, d.healthy)
	for {
		select {
		case <-ctx.Done():
			d.log.Info("ending; sandboxes go on")
			systemd.Notify(systemd.Stopping)
			return nil
		case err := <-d.failed:
			return err
		case <-o.Reload:
			d.reload()
		}
	}
}

func (d *daemon) start(ctx context.Context, o Options) (err error) {
	if d.rules, err = access.NewRules(d.config.policy()); err != nil {
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
	return d.serveMetrics()
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
		RuntimeDir: filepath.Join(c.RuntimeDir, bundlesName), StateDir: c.StateDir, CacheDir: c.CacheDir,
		WorkerPath: c.Worker, GuestDir: c.GuestDir,
		Store: state, Limits: d.config.limits(), Observer: d.metrics,
		Log:    d.log.Named("node"),
		Notify: func(s string) { d.log.Info(s) },
	}
	config.Taps = network.New(c.RuntimeDir) // one node has it
	if d.config.Cgroups.Enabled {
		groups, err := cgroup.New(d.config.Cgroups.Parent)
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

// serve opens the API's sockets: those that systemd passed in, or else those that
// are configured.
func (d *daemon) serve() error {
	passed, err := systemd.Sockets()
	if err != nil {
		return err
	}
	var unix, tcp []net.Listener
	for _, listeners := range passed {
		for _, l := range listeners {
			if l.Addr().Network() == "unix" {
				unix = append(unix, l)
			} else {
				tcp = append(tcp, l)
			}
		}
	}
	if len(unix) == 0 && d.config.Listen.Unix != "" {
		l, err := listenUnix(d.config.Listen)
		if err != nil {
			return err
		}
		unix = append(unix, l)
	}
	if len(tcp) == 0 && d.config.Listen.TCP != "" {
		l, err := net.Listen("tcp", d.config.Listen.TCP)
		if err != nil {
			return fmt.Errorf("listen.tcp: %w", err)
		}
		tcp = append(tcp, l)
	}
	d.serveOn(d.newServer(access.NewPeerCredentials(d.rules)), unix)
	if len(tcp) == 0 {
		return nil
	}
	files := access.TLSFiles{Certificate: d.config.TLS.Certificate, Key: d.config.TLS.Key, ClientCA: d.config.TLS.ClientCA}
	creds, err := access.NewTLSCredentials(d.rules, files, d.log.Named("tls"))
	if err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	d.serveOn(d.newServer(creds), tcp)
	return nil
}

func (d *daemon) serveOn(s *grpc.Server, listeners []net.Listener) {
	d.servers = append(d.servers, s)
	for _, l := range listeners {
		d.log.Info("serving", zap.String("network", l.Addr().Network()), zap.Stringer("address", l.Addr()))
		l := limited(l, d.config.Limits.Connections)
		d.serving.Go(func() {
			if err := s.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
				d.failed <- fmt.Errorf("serve the API: %w", err)
			}
		})
	}
}

// serveMetrics serves them, if that is configured.
func (d *daemon) serveMetrics() error {
	if d.config.Metrics.Listen == "" {
		return nil
	}
	network, address, err := metricsAddress(d.config.Metrics.Listen)
	if err != nil {
		return fmt.Errorf("metrics.listen: %w", err)
	}
	var l net.Listener
	if network == "unix" {
		l, err = newUnixListener(address)
	} else {
		l, err = net.Listen(network, address)
	}
	if err != nil {
		return fmt.Errorf("metrics.listen: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", d.metrics.Handler())
	s := &http.Server{Handler: mux, ReadHeaderTimeout: answerTime, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	d.log.Info("serving metrics", zap.String("network", network), zap.Stringer("address", l.Addr()))
	d.closers = append(d.closers, s.Close)
	d.serving.Go(func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			d.failed <- fmt.Errorf("serve metrics: %w", err)
		}
	})
	return nil
}

// healthy reports whether the node answers.
func (d *daemon) healthy() bool {
	answered := make(chan struct{})
	go func() {
		d.node.All()
		close(answered)
	}()
	select {
	case <-answered:
		return true
	case <-time.After(answerTime):
		d.log.Error("the node doesn't answer")
		return false
	}
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
	d.log.Sync() // standard error can't be synced everywhere
	return errors.Join(errs...)
}
