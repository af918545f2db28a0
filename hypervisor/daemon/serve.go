package daemon

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/bulkhead-vm/bulkhead/hypervisor/access"
	"github.com/bulkhead-vm/bulkhead/hypervisor/systemd"
)

// sockets are those that are served on, by what they are for.
type sockets struct{ unix, tcp, metrics []net.Listener }

// metricsName is what a socket unit calls the metrics' socket: all others are the
// API's.
const metricsName = "metrics"

// passedSockets returns those that systemd passed in.
func passedSockets() (s sockets, err error) {
	passed, err := systemd.Sockets()
	if err != nil {
		return s, err
	}
	for name, listeners := range passed {
		for _, l := range listeners {
			switch {
			case name == metricsName:
				s.metrics = append(s.metrics, l)
			case l.Addr().Network() == "unix":
				s.unix = append(s.unix, l)
			default:
				s.tcp = append(s.tcp, l)
			}
		}
	}
	return s, nil
}

func (s *sockets) close() error {
	for _, listeners := range [][]net.Listener{s.unix, s.tcp, s.metrics} {
		for _, l := range listeners {
			l.Close() // who served on it has done so
		}
	}
	return nil
}

// open makes those that are configured and that systemd didn't pass in. Who connects
// waits until they are served on. It is for before anything else is done: meanwhile
// files are made with other modes.
func (s *sockets) open(c Config) error {
	if len(s.unix) == 0 && c.Listen.Unix != "" {
		l, err := listenUnix(c.Listen)
		if err != nil {
			return err
		}
		s.unix = append(s.unix, l)
	}
	if len(s.tcp) == 0 && c.Listen.TCP != "" {
		l, err := net.Listen("tcp", c.Listen.TCP)
		if err != nil {
			return fmt.Errorf("listen.tcp: %w", err)
		}
		s.tcp = append(s.tcp, l)
	}
	if len(s.metrics) == 0 && c.Metrics.Listen != "" {
		l, err := listenMetrics(c.Metrics.Listen)
		if err != nil {
			return fmt.Errorf("metrics.listen: %w", err)
		}
		s.metrics = append(s.metrics, l)
	}
	return nil
}

// serve serves the API.
func (d *daemon) serve() error {
	d.serveOn(d.newServer(access.NewPeerCredentials(d.rules)), d.sockets.unix)
	tcp := d.sockets.tcp
	if len(tcp) == 0 {
		return nil
	}
	var err error
	files := access.TLSFiles{Certificate: d.config.TLS.Certificate, Key: d.config.TLS.Key, ClientCA: d.config.TLS.ClientCA}
	if files == (access.TLSFiles{}) {
		return fmt.Errorf("systemd passed the TCP socket %s: %s", tcp[0].Addr(), needsTLS)
	}
	if d.tls, err = access.NewTLSCredentials(d.rules, files, seldom(d.log.Named("tls"))); err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	d.serveOn(d.newServer(d.tls), tcp)
	return nil
}

func (d *daemon) serveOn(s *grpc.Server, listeners []net.Listener) {
	d.servers = append(d.servers, s)
	for _, l := range listeners {
		d.log.Info("serving", zap.String("network", l.Addr().Network()), zap.Stringer("address", l.Addr()))
		l := boundHandshakes(l)
		d.serving.Go(func() {
			if err := s.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
				d.failed <- fmt.Errorf("serve the API: %w", err)
			}
		})
	}
}

// serveMetrics serves them, if there is a socket for them.
func (d *daemon) serveMetrics() {
	if len(d.sockets.metrics) == 0 {
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", d.metrics.Handler())
	s := &http.Server{Handler: mux, ReadHeaderTimeout: answerTime, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	d.closers = append(d.closers, s.Close)
	for _, l := range d.sockets.metrics {
		d.log.Info("serving metrics", zap.String("network", l.Addr().Network()), zap.Stringer("address", l.Addr()))
		d.serving.Go(func() {
			if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				d.failed <- fmt.Errorf("serve metrics: %w", err)
			}
		})
	}
}
