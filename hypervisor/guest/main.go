package guest

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// MainID is the agent's name for the command that a guest is for.
const MainID = "main"

// Recording returns what a worker is asked, before StartMain, to take the output
// of a guest's main command to a log and its input from a socket. Both outlive
// this process.
func Recording(c Command, log *vmmv1.LogFile, inputSocket string) *vmmv1.RecordRequest {
	r := &vmmv1.RecordRequest{Name: MainID, Log: log}
	streams := []string{"stdio", "stderr"}
	if c.Console != nil {
		streams = streams[:1]
	}
	labels := map[string]string{"stdio": "stdout", "stderr": "stderr"}
	for _, s := range streams {
		r.Streams = append(r.Streams, &vmmv1.RecordStream{Port: streamPort, Greeting: greeting(MainID, s), Label: labels[s]})
	}
	if c.Stdin || c.Console != nil {
		r.InputSocket = inputSocket
	}
	return r
}

// StartMain starts the guest's main command, unless it was started before.
func (a *Agent) StartMain(ctx context.Context, c Command) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	_, err := a.AgentService.Start(ctx, c.request(MainID))
	if err != nil && status.Code(err) != codes.AlreadyExists {
		return explainStart(c, err)
	}
	return nil
}

// Main returns the guest's main command, for all but its streams.
func (a *Agent) Main() *Process { return a.Process(MainID) }

// Exit is how a process ended.
type Exit = agentv1.WaitResponse
