// Sh runs shell scripts: from -c, from a file or from its input, which may be
// a terminal.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// Exit codes that shells agree on.
const (
	exitUsage    = 2
	exitNoScript = 127
)

func main() { os.Exit(run(os.Args[1:])) }

// invocation is a command line of a shell.
type invocation struct {
	options []string // such as -e
	command *string  // of -c
	params  []string // $0 and on; without a command, $0 is the script
}

func parse(args []string) (v invocation, err error) {
	wantsCommand := false
	for len(args) > 0 && len(args[0]) > 1 && (args[0][0] == '-' || args[0][0] == '+') {
		option := args[0]
		args = args[1:]
		if option == "--" {
			break
		}
		if option[0] == '-' && strings.Contains(option, "c") {
			wantsCommand = true
			option = strings.ReplaceAll(option, "c", "")
		}
		option = strings.NewReplacer("i", "", "l", "", "s", "").Replace(option) // make no difference here
		if len(option) > 1 {
			v.options = append(v.options, option)
		}
	}
	v.params = args
	if wantsCommand {
		if len(args) == 0 {
			return v, errors.New("-c needs a command")
		}
		v.command, v.params = &args[0], args[1:]
	}
	return v, nil
}

func run(args []string) int {
	v, err := parse(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "sh:", err)
		return exitUsage
	}
	params := append(v.options, "--")
	if len(v.params) > 1 {
		params = append(params, v.params[1:]...)
	}
	r, err := interp.New(interp.StdIO(os.Stdin, os.Stdout, os.Stderr), interp.Params(params...))
	if err != nil {
		fmt.Fprintln(os.Stderr, "sh:", err)
		return exitUsage
	}
	switch {
	case v.command != nil:
		name := "sh"
		if len(v.params) > 0 {
			name = v.params[0]
		}
		return script(r, strings.NewReader(*v.command), name)
	case len(v.params) > 0:
		f, err := os.Open(v.params[0])
		if err != nil {
			fmt.Fprintln(os.Stderr, "sh:", err)
			return exitNoScript
		}
		defer f.Close()
		return script(r, f, v.params[0])
	}
	if _, err := unix.IoctlGetTermios(0, unix.TCGETS); err == nil {
		return interactive(r)
	}
	return script(r, os.Stdin, "sh")
}

// script runs a whole script.
func script(r *interp.Runner, from io.Reader, name string) int {
	program, err := syntax.NewParser().Parse(from, name)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitUsage
	}
	return code(r.Run(context.Background(), program))
}

// code returns the exit code of a run.
func code(err error) int {
	if status, ok := interp.IsExitStatus(err); ok {
		return int(status)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sh:", err)
		return 1
	}
	return 0
}

// interactive runs what is typed, statement by statement, until the end of
// file or "exit". An interrupt is for the program that runs, not for the
// shell.
func interactive(r *interp.Runner) int {
	signal.Notify(make(chan os.Signal, 1), os.Interrupt) // ignoring it would be inherited
	prompt := "$ "
	if os.Getuid() == 0 {
		prompt = "# "
	}
	parser := syntax.NewParser()
	last := 0
	fmt.Print(prompt)
	err := parser.Interactive(os.Stdin, func(statements []*syntax.Stmt) bool {
		if parser.Incomplete() {
			fmt.Print("> ")
			return true
		}
		for _, s := range statements {
			if last = code(r.Run(context.Background(), s)); r.Exited() {
				return false
			}
		}
		fmt.Print(prompt)
		return true
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "sh:", err)
		return exitUsage
	}
	return last
}
