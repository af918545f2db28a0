package main

import (
	"crypto/rand"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

const restoreLong = `Make a sandbox that goes on from a snapshot in place of booting, and wait until it
does. Its CPUs, memory, root file system and command are the snapshot's; what can
be said of it by flags is its own. It is another machine than the one that was
saved: with a host name, a machine ID, random numbers and MAC addresses of its own.

It goes on from the snapshot at each start, with its disks as they were saved. A disk
that is written in place takes --disk with a path at which nothing is, for the copy.`

func newRestore(h *hostOptions) *cobra.Command {
	o, remove := &specOptions{copied: true}, false
	cmd := &cobra.Command{
		Use: "restore SNAPSHOT", Short: "Make a sandbox that goes on from a snapshot, and print its name", Long: restoreLong,
		Args: cobra.ExactArgs(1), ValidArgsFunction: h.completeSnapshot,
		RunE: func(cmd *cobra.Command, args []string) error {
			spec, err := o.ownSpec(h)
			if err != nil {
				return err
			}
			spec.Snapshot, spec.AutoDelete = args[0], remove
			c, err := h.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			// The ID keeps two such commands of one name from sharing a sandbox.
			box, err := c.Create(cmd.Context(), &bulkheadv1.CreateSandboxRequest{Name: o.name, Spec: spec, RequestId: rand.Text()})
			if err != nil {
				return plain(err)
			}
			defer notifyLate(fmt.Sprintf("snapshot %s is being restored", args[0]))()
			if _, err := c.StartSandbox(cmd.Context(), &bulkheadv1.StartSandboxRequest{Name: box.GetName()}); err != nil {
				if status.Code(err) == codes.Aborted && !remove { // and stays, for a look at its logs
					err = fmt.Errorf("%w (it is kept: bulkhead rm %s)", plain(err), box.GetName())
				}
				return plain(err)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), box.GetName())
			return err
		},
	}
	o.addOwnFlags(cmd)
	cmd.Flags().StringVar(&o.name, "name", "", "`NAME` of the sandbox (default: made up)")
	cmd.Flags().StringVar(&o.vsock, "vsock", "", "make a unix socket at `PATH` that reaches the guest's vsock ports")
	cmd.Flags().BoolVar(&remove, "rm", false, "delete the sandbox when it has stopped")
	return cmd
}

const forkLong = `Make running copies of a running sandbox, which go on from where it is: all of
them, or none. Each is another machine, with a host name, a machine ID, random
numbers and MAC addresses of its own. Once stopped, it starts as the sandbox itself
does.`

func newFork(h *hostOptions) *cobra.Command {
	o, r, remove := &specOptions{copied: true}, &bulkheadv1.ForkSandboxRequest{}, false
	cmd := &cobra.Command{
		Use: "fork SANDBOX", Short: "Make running copies of a running sandbox, and print their names", Long: forkLong,
		Args: cobra.ExactArgs(1), ValidArgsFunction: h.completeFirst,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if r.Spec, err = o.ownSpec(h); err != nil {
				return err
			}
			r.Name, r.Spec.AutoDelete = args[0], remove
			c, err := h.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			defer notifyLate(fmt.Sprintf("sandbox %s is being copied", args[0]))()
			made, err := c.Fork(cmd.Context(), r)
			if err != nil {
				return plain(err)
			}
			for _, box := range made {
				if _, err := fmt.Fprintln(cmd.OutOrStdout(), box.GetName()); err != nil {
					return err
				}
			}
			return nil
		},
	}
	o.addOwnFlags(cmd)
	cmd.Flags().Uint32VarP(&r.Count, "number", "n", 0, "how many copies, up to 64 (default: 1, or as many as there are names)")
	cmd.Flags().StringArrayVar(&r.Names, "name", nil, "`NAME` of a copy (default: made up); repeatable")
	cmd.Flags().BoolVar(&remove, "rm", false, "delete each copy when it has stopped")
	return cmd
}
