package daemon

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/pelletier/go-toml/v2"

	"github.com/bulkhead-vm/bulkhead/hypervisor/access"
	"github.com/bulkhead-vm/bulkhead/hypervisor/capacity"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
	"github.com/bulkhead-vm/bulkhead/hypervisor/spec"
)

// DefaultPath is where the configuration is looked for.
const DefaultPath = "/etc/bulkhead/bulkheadd.toml"

// Config is the daemon's configuration file. cmd/bulkheadd/bulkheadd.toml says what
// each key is; a test holds the two together.
type Config struct {
	Node     NodeConfig     `toml:"node"`
	Listen   ListenConfig   `toml:"listen"`
	TLS      TLSConfig      `toml:"tls"`
	Access   AccessConfig   `toml:"access"`
	Capacity CapacityConfig `toml:"capacity"`
	Limits   LimitsConfig   `toml:"limits"`
	Images   DirsConfig     `toml:"images"`
	Vsock    DirsConfig     `toml:"vsock"`
	Cgroups  CgroupsConfig  `toml:"cgroups"`
	Metrics  MetricsConfig  `toml:"metrics"`
	Log      LogConfig      `toml:"log"`
	Tracing  TracingConfig  `toml:"tracing"`
}

// NodeConfig is where the node keeps its things.
type NodeConfig struct {
	Name        string `toml:"name"`
	RuntimeDir  string `toml:"runtime_dir"`
	StateDir    string `toml:"state_dir"`
	CacheDir    string `toml:"cache_dir"`
	TemplateDir string `toml:"template_dir"` // default: in StateDir
	Worker      string `toml:"worker"`
	GuestDir    string `toml:"guest_dir"`
}

// ListenConfig is where the API is served.
type ListenConfig struct {
	Unix      string `toml:"unix"`
	UnixMode  string `toml:"unix_mode"`
	UnixGroup string `toml:"unix_group"`
	TCP       string `toml:"tcp"`
}

// TLSConfig is for TCP.
type TLSConfig struct {
	Certificate string `toml:"certificate"`
	Key         string `toml:"key"`
	ClientCA    string `toml:"client_ca"`
}

// AccessConfig says who has which role.
type AccessConfig struct {
	Full     GrantsConfig `toml:"full"`
	ReadOnly GrantsConfig `toml:"read_only"`
}

// GrantsConfig are the clients that have a role.
type GrantsConfig struct {
	Users        []string `toml:"users"`
	Groups       []string `toml:"groups"`
	Certificates []string `toml:"certificates"`
}

// CapacityConfig says how much of the host sandboxes may be given.
type CapacityConfig struct {
	ReservedCPUs     float64 `toml:"reserved_cpus"`
	ReservedMemory   Size    `toml:"reserved_memory"`
	CPUOvercommit    float64 `toml:"cpu_overcommit"`
	MemoryOvercommit float64 `toml:"memory_overcommit"`
}

// LimitsConfig bounds what clients may do.
type LimitsConfig struct {
	SandboxesPerClient     int      `toml:"sandboxes_per_client"`
	SnapshotBytes          Size     `toml:"snapshot_bytes"`
	SnapshotBytesPerClient Size     `toml:"snapshot_bytes_per_client"`
	SnapshotReserve        float64  `toml:"snapshot_reserve"`
	MessageBytes           Size     `toml:"message_bytes"`
	Connections            int      `toml:"connections"`
	CallsPerConnection     int      `toml:"calls_per_connection"`
	BootTimeout            Duration `toml:"boot_timeout"`
	PrepareTimeout         Duration `toml:"prepare_timeout"`
	MaxPrepareTimeout      Duration `toml:"max_prepare_timeout"`
	StartsAtOnce           int      `toml:"starts_at_once"`
	PoolMembers            int      `toml:"pool_members"`
}

// DirsConfig are directories that clients may name files in.
type DirsConfig struct {
	Directories []string `toml:"directories"`
}

// CgroupsConfig says where sandboxes' control groups are.
type CgroupsConfig struct {
	Enabled bool   `toml:"enabled"`
	Parent  string `toml:"parent"`
}

// MetricsConfig says where metrics are served.
type MetricsConfig struct {
	Listen string `toml:"listen"`
}

// LogConfig is what is logged, and how.
type LogConfig struct {
	Level  string `toml:"level"`
	Format string `toml:"format"`
}

// TracingConfig says where traces go.
type TracingConfig struct {
	Endpoint string `toml:"endpoint"`
	Insecure bool   `toml:"insecure"`
}

// Size is a number of bytes, written as "512MiB".
type Size uint64

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(b []byte) error {
	n, err := units.RAMInBytes(string(b))
	if err != nil || n < 0 {
		return fmt.Errorf("%q is not a size: give a number with a unit, such as \"512MiB\"", b)
	}
	*s = Size(n)
	return nil
}

// Duration is a length of time, written as "1m30s".
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(b []byte) error {
	parsed, err := time.ParseDuration(string(b))
	if err != nil || parsed <= 0 {
		return fmt.Errorf("%q is not a time: give a number with a unit, such as \"1m30s\"", b)
	}
	*d = Duration(parsed)
	return nil
}

// Default returns the configuration of an empty file.
func Default() Config {
	return Config{
		Node: NodeConfig{
			RuntimeDir: "/run/bulkheadd", StateDir: "/var/lib/bulkhead", CacheDir: "/var/cache/bulkhead",
		},
		Listen:   ListenConfig{Unix: "/run/bulkheadd/bulkheadd.sock", UnixMode: "0660"},
		Capacity: CapacityConfig{ReservedMemory: 512 << 20, CPUOvercommit: 4, MemoryOvercommit: 1},
		Limits: LimitsConfig{
			SandboxesPerClient: 1000, SnapshotReserve: 0.05, MessageBytes: 4 << 20, Connections: 1024, CallsPerConnection: 256,
			BootTimeout: Duration(time.Minute), PrepareTimeout: Duration(10 * time.Minute), MaxPrepareTimeout: Duration(time.Hour),
			PoolMembers: 100,
		},
		Images:  DirsConfig{Directories: []string{"/var/lib/bulkhead/images"}},
		Cgroups: CgroupsConfig{Enabled: true},
		Log:     LogConfig{Level: "info", Format: "auto"},
	}
}

// Load reads the file at path. If it is the default one, it needn't be there.
func Load(path string) (Config, error) {
	c := Default()
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) && path == DefaultPath {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("configuration: %w", err)
	}
	defer f.Close()
	err = toml.NewDecoder(f).DisallowUnknownFields().Decode(&c)
	if err != nil {
		return c, fmt.Errorf("configuration %s: %s", path, where(err))
	}
	if err := c.Check(); err != nil {
		return c, fmt.Errorf("configuration %s: %w", path, err)
	}
	return c, nil
}

// where says in which line of a file something is wrong.
func where(err error) string {
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) {
		var keys []string
		for _, e := range unknown.Errors {
			line, _ := e.Position()
			keys = append(keys, fmt.Sprintf("line %d: there is no key %s", line, strings.Join(e.Key(), ".")))
		}
		return strings.Join(keys, "; ")
	}
	var wrong *toml.DecodeError
	if errors.As(err, &wrong) {
		line, column := wrong.Position()
		return fmt.Sprintf("line %d, column %d: %v", line, column, wrong)
	}
	return err.Error()
}

// nodeLimits returns what the node allows.
func (c Config) nodeLimits() node.Limits {
	return node.Limits{
		Spec: spec.Policy{Images: c.Images.Directories, Sockets: c.Vsock.Directories, PrepareTimeout: time.Duration(c.Limits.MaxPrepareTimeout)},
		Capacity: &capacity.Policy{
			Reserved:   capacity.Resources{CPUs: c.Capacity.ReservedCPUs, Memory: uint64(c.Capacity.ReservedMemory)},
			Overcommit: capacity.Overcommit{CPUs: c.Capacity.CPUOvercommit, Memory: c.Capacity.MemoryOvercommit},
		},
		PerClient:     c.Limits.SandboxesPerClient,
		SnapshotBytes: uint64(c.Limits.SnapshotBytes), SnapshotBytesPerClient: uint64(c.Limits.SnapshotBytesPerClient),
		SnapshotReserve: c.Limits.SnapshotReserve,
		BootTimeout:     time.Duration(c.Limits.BootTimeout),
		PrepareTimeout:  time.Duration(c.Limits.PrepareTimeout),
		StartsAtOnce:    c.Limits.StartsAtOnce,
		PoolMembers:     c.Limits.PoolMembers,
	}
}

// accessPolicy returns who has which role.
func (c Config) accessPolicy() access.Policy {
	return access.Policy{Full: access.Grants(c.Access.Full), ReadOnly: access.Grants(c.Access.ReadOnly)}
}
