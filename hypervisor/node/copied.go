package node

import (
	"strconv"
	"strings"

	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// setForkRequest has the record of a copy say which call forked it. Daemons once had it
// as the ID of a call that creates a sandbox: "fork/ID/COPY".
func setForkRequest(r *storev1.Record) {
	id, ok := strings.CutPrefix(r.GetRequestId(), "fork/")
	last := strings.LastIndexByte(id, '/')
	if !ok || r.GetFork() == "" || r.GetForkRequest() != nil || last < 0 {
		return
	}
	which, err := strconv.ParseUint(id[last+1:], 10, 32)
	if err != nil {
		return
	}
	r.ForkRequest = &storev1.ForkRequest{RequestId: id[:last], Copy: uint32(which)}
	r.RequestId = ""
}
