package daemon

import (
	"fmt"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// reload reads the configuration again. One that isn't good leaves everything as
// it was, and the service manager hears why.
func (d *daemon) reload() {
	d.manager.Reloading()
	d.unread = ""
	if err := d.readAgain(); err != nil {
		d.log.Error("the configuration stays as it was", zap.Error(err))
		d.unread = err.Error()
	} else {
		d.log.Info("configuration read again")
	}
	d.said = d.status()
	d.manager.Ready(d.said)
}

// readAgain applies what the file says, unless something is wrong with it or with
// the certificates.
func (d *daemon) readAgain() error {
	c, err := Load(d.path)
	if err != nil {
		return err
	}
	level, err := zapcore.ParseLevel(c.Log.Level)
	if err != nil {
		return fmt.Errorf("log.level: %w", err)
	}
	if d.tls != nil {
		if err := d.tls.Reload(); err != nil {
			return fmt.Errorf("tls: %w", err)
		}
	}
	if err := d.node.SetLimits(c.nodeLimits()); err != nil {
		return fmt.Errorf("the node's limits: %w", err)
	}
	if err := d.rules.Set(c.accessPolicy()); err != nil { // they were checked
		return err
	}
	d.level.SetLevel(level)
	if keys := d.config.NeedRestart(c); len(keys) > 0 {
		d.log.Warn("part of the new configuration needs a restart", zap.Strings("keys", keys))
	}
	return nil
}
