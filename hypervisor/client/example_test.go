package client_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// A scheduler for several nodes: it places a sandbox on the emptiest one, and on
// the next where that has been filled by somebody else meanwhile.
func Example() {
	ctx := context.Background()
	nodes, end := startNodes(map[string]uint64{"north": 256 << 20, "south": 512 << 20})
	defer end()

	candidates, err := emptiest(ctx, nodes)
	if err != nil {
		fmt.Println(err)
		return
	}
	// Another scheduler is faster.
	if _, err := candidates[0].CreateSandbox(ctx, sandbox("theirs", 384<<20)); err != nil {
		fmt.Println(err)
		return
	}
	where, err := place(ctx, candidates, sandbox("ours", 192<<20))
	fmt.Println(where, err)
	// Output:
	// north: 256 MiB free
	// south: 512 MiB free
	// south has no room any more
	// north <nil>
}

// candidate is a node that takes sandboxes.
type candidate struct {
	*client.Client
	name string
	free uint64 // bytes of memory
}

// emptiest returns the nodes that take sandboxes, those with the most memory first.
func emptiest(ctx context.Context, nodes []*client.Client) (found []candidate, err error) {
	for _, n := range nodes {
		r, err := n.Node.GetNodeInfo(ctx, &bulkheadv1.GetNodeInfoRequest{})
		if err != nil {
			return nil, err
		}
		info := r.GetInfo()
		if info.GetDraining() || len(info.GetProblems()) > 0 {
			continue
		}
		has, given := info.GetAllocatable().GetMemoryBytes(), info.GetAllocated().GetMemoryBytes()
		free := has - min(given, has) // more may be given than it has: it may have been made smaller
		fmt.Printf("%s: %d MiB free\n", info.GetName(), free>>20)
		found = append(found, candidate{n, info.GetName(), free})
	}
	slices.SortFunc(found, func(a, b candidate) int { return cmp.Compare(b.free, a.free) })
	return found, nil
}

// place makes the sandbox on the first node that has room, whose name it returns.
func place(ctx context.Context, candidates []candidate, r *bulkheadv1.CreateSandboxRequest) (node string, err error) {
	for _, c := range candidates {
		_, err = c.CreateSandbox(ctx, r)
		if status.Code(err) != codes.ResourceExhausted {
			return c.name, err
		}
		fmt.Println(c.name, "has no room any more")
	}
	return "", fmt.Errorf("no node has room: %w", err)
}

// sandbox is a request that can be repeated: the same again has the same answer.
func sandbox(name string, memory uint64) *bulkheadv1.CreateSandboxRequest {
	return &bulkheadv1.CreateSandboxRequest{Name: name, Spec: &bulkheadv1.SandboxSpec{MemoryBytes: memory}}
}
