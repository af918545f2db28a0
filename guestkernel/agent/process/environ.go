package process

import (
	"strings"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/plainfile"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/user"
)

const (
	defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	defaultTerm = "xterm-256color"
	// bbin is where u-root keeps its commands.
	bbin = "/bbin"
)

// environment returns what the process of s gets: the agent's own variables
// and, over them, those of s. Of several with one name the last wins.
func environment(s *Spec, u user.User) []string {
	path := defaultPath
	if plainfile.IsDir(bbin) {
		path += ":" + bbin
	}
	env := []string{"PATH=" + path, "HOME=" + u.Home, "USER=" + u.Name}
	if s.Terminal != nil {
		env = append(env, "TERM="+defaultTerm)
	}
	at := map[string]int{}
	for i, e := range env {
		at[nameOf(e)] = i
	}
	for _, e := range s.Env {
		if i, ok := at[nameOf(e)]; ok {
			env[i] = e
			continue
		}
		at[nameOf(e)] = len(env)
		env = append(env, e)
	}
	return env
}

func nameOf(e string) string {
	name, _, _ := strings.Cut(e, "=")
	return name
}

// valueOf returns the value of a variable, or "".
func valueOf(env []string, name string) string {
	for _, e := range env {
		if n, value, _ := strings.Cut(e, "="); n == name {
			return value
		}
	}
	return ""
}
