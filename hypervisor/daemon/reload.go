package daemon

import (
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/bulkhead-vm/bulkhead/hypervisor/systemd"
)

// reload reads the configuration again. One that isn't good leaves everything as
// it was.
func (d *daemon) reload() {
	systemd.Reloading()
	defer systemd.Notify(systemd.Ready)
	c, err := Load(d.path)
	if err != nil {
		d.log.Error("the configuration stays as it was", zap.Error(err))
		return
	}
	if err := d.rules.Set(c.policy()); err != nil {
		d.log.Error("the configuration stays as it was", zap.Error(err))
		return
	}
	if err := d.node.SetLimits(c.limits()); err != nil {
		d.log.Error("the node's limits stay as they were", zap.Error(err))
		return
	}
	if level, err := zapcore.ParseLevel(c.Log.Level); err == nil { // it was checked
		d.level.SetLevel(level)
	}
	if tables := d.config.NeedRestart(c); len(tables) > 0 {
		d.log.Warn("part of the new configuration needs a restart", zap.Strings("keys", tables))
	}
	d.log.Info("configuration read again")
}
