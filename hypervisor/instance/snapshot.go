package instance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

const (
	// freezeTime is how long a guest may take to bring itself to rest: its disks
	// may be slow.
	freezeTime = time.Minute
	// saveTime is how long a worker may take for each step of writing its machine down:
	// more than any disk takes.
	saveTime = time.Hour
	// goOnTime is how long a guest may take to go on that was saved.
	goOnTime = 30 * time.Second
	// thawTime is how long one attempt to have a guest go on may take, and
	// thawAgain how long after it there is another.
	thawTime  = 5 * time.Second
	thawAgain = 100 * time.Millisecond
	// giveUpTime is how long a worker may take to give a snapshot up.
	giveUpTime = 10 * time.Second
)

// ErrFrozen is wrapped by errors of Snapshot after which the guest may be standing
// still.
var ErrFrozen = errors.New("the guest may not have gone on")

// Snapshot saves the machine, with its guest at rest, as the worker is asked to. The
// guest stands still for as long as its memory is written, and goes on before that comes
// to the disk. It has gone on when Snapshot returns, unless ctx ended or the error wraps
// ErrFrozen.
func (i *Instance) Snapshot(ctx context.Context, want *vmmv1.SnapshotRequest) error {
	ctx, cancel := i.whileRunning(ctx)
	defer cancel()
	agent, err := i.agent.get(ctx)
	if err != nil {
		return i.blame(ctx, err)
	}
	want = proto.CloneOf(want)
	if want.Unpublished, err = i.prepareSave(ctx, want); err != nil {
		i.giveUp(ctx)
		return err
	}
	began := time.Now()
	if err = i.freeze(ctx, agent); err == nil {
		err = i.save(ctx, want)
	}
	if ctx.Err() != nil {
		return i.blame(ctx, err) // the caller's to go on with
	}
	soon, cancel := context.WithTimeoutCause(ctx, goOnTime, fmt.Errorf("it has not gone on within %v", goOnTime))
	defer cancel()
	if thawed := i.Thaw(soon); thawed != nil {
		return errors.Join(ErrFrozen, err, thawed) // the caller's, too
	}
	switch {
	case err == nil && want.GetUnpublished():
		err = i.publish(ctx, want.GetPath(), time.Since(began))
	case err != nil:
		i.giveUp(ctx)
	}
	return err
}

// giveUp has the worker give up what it has of a snapshot. It hears of no call's end.
func (i *Instance) giveUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, giveUpTime)
	defer cancel()
	i.Resume(ctx) // which changes nothing else of a machine that runs
}

// prepareSave has the worker do what can be done while the guest runs. It reports false
// for one of an earlier version, which does all at once.
func (i *Instance) prepareSave(ctx context.Context, want *vmmv1.SnapshotRequest) (bool, error) {
	ctx, cancel := withinSaveTime(ctx)
	defer cancel()
	_, err := i.worker.API.PrepareSnapshot(ctx, &vmmv1.PrepareSnapshotRequest{Path: want.GetPath(), Whole: want.GetWhole()})
	if status.Code(err) == codes.Unimplemented {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("save the machine: %w", i.blame(ctx, err))
	}
	return true, nil
}

// publish has the worker put what it has saved on the disk, and in its place.
func (i *Instance) publish(ctx context.Context, path string, pause time.Duration) error {
	ctx, cancel := withinSaveTime(ctx)
	defer cancel()
	_, err := i.worker.API.PublishSnapshot(ctx, &vmmv1.PublishSnapshotRequest{Path: path, PauseNs: uint64(pause)})
	if err != nil {
		return fmt.Errorf("put the snapshot on the disk: %w", i.blame(ctx, err))
	}
	return nil
}

func withinSaveTime(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, saveTime, fmt.Errorf("the worker did not save the machine within %v", saveTime))
}

func (i *Instance) freeze(ctx context.Context, agent *guest.Agent) error {
	late := fmt.Errorf("the guest did not come to rest within %v", freezeTime)
	ctx, cancel := context.WithTimeoutCause(ctx, freezeTime, late)
	defer cancel()
	if _, err := agent.Freeze(ctx, &agentv1.FreezeRequest{}); err != nil {
		return fmt.Errorf("bring the guest to rest: %w", i.blame(ctx, err))
	}
	return nil
}

func (i *Instance) save(ctx context.Context, want *vmmv1.SnapshotRequest) error {
	ctx, cancel := withinSaveTime(ctx)
	defer cancel()
	if _, err := i.worker.API.Snapshot(ctx, want); err != nil {
		return fmt.Errorf("save the machine: %w", i.blame(ctx, err))
	}
	return nil
}

// Thaw has a guest go on that stands still for a snapshot, which the agent may have
// been asked for by an owner that is gone. It tries for as long as ctx allows.
func (i *Instance) Thaw(ctx context.Context) error {
	var said error // by the guest
	for {
		err := i.tryThaw(ctx)
		switch code := status.Code(err); {
		case err == nil, code == codes.Unimplemented, code == codes.FailedPrecondition: // then it can't be frozen either
			return nil
		case code != codes.Unknown && ctx.Err() == nil:
			said = plain(err)
		}
		select {
		case <-i.ended:
			return i.blame(ctx, err)
		case <-ctx.Done():
			if err = i.blame(ctx, err); said != nil {
				err = fmt.Errorf("%w: %w", err, said)
			}
			return err
		case <-time.After(thawAgain):
		}
	}
}

func (i *Instance) tryThaw(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, thawTime)
	defer cancel()
	agent, err := i.agent.get(ctx)
	if err != nil {
		return err
	}
	_, err = agent.Thaw(ctx, &agentv1.ThawRequest{})
	return err
}
