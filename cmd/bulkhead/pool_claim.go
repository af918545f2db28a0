package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

const poolClaimLong = `Run a command in a guest of a pool, which is a sandbox from then on, as "bulkhead run"
does on a daemon: it ends with this command, unless --detach is given. Without a guest
that is ready it begins as the pool's template, which takes longer; a line on standard
error says which it was. CPUs, memory, root file system and disks are the template's; of
networks, --net bridge=NAME,ip=ADDRESS/BITS can say the addresses where the template is
on that bridge.

With --detach and without a command it is a sandbox to exec in, which runs until it is
stopped.

Exit codes are those of "bulkhead run".`

const poolClaimExample = `  bulkhead pool claim python -- python3 script.py

  # Left to the daemon, and deleted when it has ended
  bulkhead pool claim python -d --rm --name job -- python3 job.py

  # For others to use, if it can be had at once
  bulkhead pool claim python -d --warm --idle-timeout 5m`

// claim is what makes a session's sandbox one of a pool.
type claim struct {
	pool string
	warm bool // or it fails
}

func newPoolClaim(h *hostOptions) *cobra.Command {
	o, c := &runOptions{hostOptions: h}, &claim{}
	cmd := &cobra.Command{
		Use: "claim POOL [flags] [-- COMMAND [ARG...]]", Short: "Run a command in a guest of a pool", Long: poolClaimLong, Example: poolClaimExample,
		Args: oneAndCommand, ValidArgsFunction: h.completePool, Annotations: map[string]string{runsCommand: ""},
		RunE: func(cmd *cobra.Command, args []string) error {
			c.pool = args[0]
			return o.conclude(func(r *result) error {
				s := &session{options: o, result: r, claim: c}
				return o.ofPools(s.runClaimed(cmd.Context(), args[1:]))
			})
		},
	}
	cmd.Flags().StringVar(&o.name, "name", "", "`NAME` of the sandbox (default: made up)")
	o.addLifeFlags(cmd)
	o.addProcessFlags(cmd)
	o.addStreamFlags(cmd)
	o.addSessionFlags(cmd)
	cmd.Flags().BoolVar(&c.warm, "warm", false, "fail where no guest is ready, in place of starting one")
	return cmd
}

// runClaimed is run for a guest of a pool.
func (s *session) runClaimed(ctx context.Context, args []string) error {
	o := s.options
	if len(args) == 0 && !o.detach {
		return errors.New("no command given: bulkhead pool claim POOL [flags] -- COMMAND [ARG...], or --detach for a sandbox to exec in")
	}
	if err := o.check(); err != nil {
		return err
	}
	spec, err := o.ownSpec(o.hostOptions)
	if err != nil {
		return err
	}
	return s.with(ctx, spec, args)
}

// take claims the guest, which runs then: with its command, if spec has one.
func (s *session) take(ctx context.Context, spec *bulkheadv1.SandboxSpec) error {
	// The ID keeps two such commands of one name from sharing a sandbox.
	r := &bulkheadv1.ClaimSandboxRequest{Pool: s.claim.pool, Name: s.options.name, Spec: spec, RequestId: rand.Text(), MustBeWarm: s.claim.warm}
	if spec.GetCommand() != nil {
		if err := s.watchClaim(ctx, r); err != nil {
			return err
		}
	}
	defer notifyLate(fmt.Sprintf("no guest of pool %s is ready: one is being started", r.GetPool()))()
	call, end := s.outlasting(ctx)
	defer end()
	box, warm, err := s.client.Claim(call, r)
	if err != nil {
		if s.watch != nil {
			defer s.watch.stop()
		}
		return s.explain(ctx, err)
	}
	s.sandbox, s.result.Name = box.GetName(), box.GetName()
	if s.watch == nil {
		s.watch = startWatch(s.client, box.GetName(), box.GetResourceVersion())
	}
	if ctx.Err() != nil { // nobody wants it any more
		return errors.Join(context.Cause(ctx), s.remove(errSignalled, spec))
	}
	if warm {
		notify("claimed a ready guest of pool " + printable(r.GetPool()))
	} else {
		notify(fmt.Sprintf("restored from template %s: no guest of pool %s was ready", shortID(box.GetStatus().GetOrigin().GetTemplate()), printable(r.GetPool())))
	}
	s.result.phases(box)
	return nil
}

// outlasting returns a context in which a claim that nobody wants any more has a while to
// end: what it makes goes on, and takes a name to be removed. The next signal is the end
// of that.
func (s *session) outlasting(ctx context.Context) (context.Context, func()) {
	late, end := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-s.signals.forward:
		case <-time.After(killTime):
		case <-late.Done():
		}
		end()
	})
	return late, func() {
		stop()
		end()
	}
}

// watchClaim watches a sandbox that is still to be claimed: how its command failed to
// start, only its end says, with which it may be gone.
func (s *session) watchClaim(ctx context.Context, r *bulkheadv1.ClaimSandboxRequest) error {
	now, err := s.client.ListSandboxes(ctx, &bulkheadv1.ListSandboxesRequest{PageSize: 1})
	if err != nil {
		return orCause(ctx, err)
	}
	if r.Name == "" {
		var random [6]byte
		rand.Read(random[:]) // never fails
		r.Name = hex.EncodeToString(random[:])
	}
	s.watch = startWatch(s.client, r.GetName(), now.GetResourceVersion())
	return nil
}
