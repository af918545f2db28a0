package daemon

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"reflect"
	"strconv"

	"go.uber.org/zap/zapcore"

	"github.com/bulkhead-vm/bulkhead/hypervisor/access"
)

// Formats of the log.
const (
	formatAuto    = "auto"
	formatJSON    = "json"
	formatConsole = "console"
	formatJournal = "journal"
)

// needsTLS is for TCP without [tls].
const needsTLS = "TCP is served with mutual TLS only: set tls.certificate, tls.key and tls.client_ca"

// Check returns everything that is wrong with a configuration, as far as that can
// be said without the host's doing anything.
func (c Config) Check() error {
	var errs []error
	wrong := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
	for key, dir := range map[string]string{"node.runtime_dir": c.Node.RuntimeDir, "node.state_dir": c.Node.StateDir, "node.cache_dir": c.Node.CacheDir} {
		if !filepath.IsAbs(dir) {
			wrong(key, "%q is not an absolute path", dir)
		}
	}
	for key, dirs := range map[string][]string{"images.directories": c.Images.Directories, "vsock.directories": c.Vsock.Directories} {
		for _, dir := range dirs {
			if !filepath.IsAbs(dir) {
				wrong(key, "%q is not an absolute path", dir)
			}
		}
	}
	if _, err := c.Listen.mode(); err != nil {
		wrong("listen.unix_mode", "%v", err)
	}
	if c.Listen.TCP != "" {
		if err := checkAddress(c.Listen.TCP); err != nil {
			wrong("listen.tcp", "%v", err)
		}
		if c.TLS.Certificate == "" || c.TLS.Key == "" || c.TLS.ClientCA == "" {
			wrong("listen.tcp", needsTLS)
		}
	}
	if _, err := access.NewRules(c.policy()); err != nil {
		errs = append(errs, err)
	}
	c.checkNumbers(wrong)
	if _, _, err := metricsAddress(c.Metrics.Listen); c.Metrics.Listen != "" && err != nil {
		wrong("metrics.listen", "%v", err)
	}
	if _, err := zapcore.ParseLevel(c.Log.Level); err != nil {
		wrong("log.level", "%q is none of debug, info, warn and error", c.Log.Level)
	}
	switch c.Log.Format {
	case formatAuto, formatJSON, formatConsole, formatJournal:
	default:
		wrong("log.format", "%q is none of auto, json, console and journal", c.Log.Format)
	}
	return errors.Join(errs...)
}

func (c Config) checkNumbers(wrong func(key, format string, args ...any)) {
	for key, n := range map[string]float64{
		"capacity.reserved_cpus": c.Capacity.ReservedCPUs, "limits.sandboxes_per_client": float64(c.Limits.SandboxesPerClient),
	} {
		if n < 0 {
			wrong(key, "%g is less than nothing", n)
		}
	}
	for key, n := range map[string]float64{
		"capacity.cpu_overcommit": c.Capacity.CPUOvercommit, "capacity.memory_overcommit": c.Capacity.MemoryOvercommit,
		"limits.connections": float64(c.Limits.Connections), "limits.calls_per_connection": float64(c.Limits.CallsPerConnection),
	} {
		if n <= 0 {
			wrong(key, "%g, it must be more than 0", n)
		}
	}
	const least, most = 128 << 10, 1 << 30
	if n := c.Limits.MessageBytes; n < least || n > most {
		wrong("limits.message_bytes", "%d bytes, it is 128KiB to 1GiB", n)
	}
}

func checkAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("port %q is none", port)
	} else if n == 0 {
		return nil // any: for tests
	}
	return nil
}

// NeedRestart returns the tables in which two configurations differ and which are
// only looked at when the daemon starts.
func (c Config) NeedRestart(other Config) (tables []string) {
	for table, pair := range map[string][2]any{
		"node": {c.Node, other.Node}, "listen": {c.Listen, other.Listen}, "tls": {c.TLS, other.TLS},
		"cgroups": {c.Cgroups, other.Cgroups}, "metrics": {c.Metrics, other.Metrics}, "tracing": {c.Tracing, other.Tracing},
		"log.format":                  {c.Log.Format, other.Log.Format},
		"limits.message_bytes":        {c.Limits.MessageBytes, other.Limits.MessageBytes},
		"limits.connections":          {c.Limits.Connections, other.Limits.Connections},
		"limits.calls_per_connection": {c.Limits.CallsPerConnection, other.Limits.CallsPerConnection},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			tables = append(tables, table)
		}
	}
	return tables
}
