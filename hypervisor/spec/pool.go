package spec

import (
	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/labels"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// MaxPool is the most members that a pool may be asked to have.
const MaxPool = 10_000

// CheckPool returns what is wrong with the request for a pool.
func CheckPool(r *bulkheadv1.CreatePoolRequest) []fault.Violation {
	c := new(checker)
	if r.GetName() == "" {
		c.wrong("name", "a pool has one: choose it")
	}
	c.name("name", r.GetName())
	c.requestID(r.GetRequestId())
	if err := labels.Check(r.GetLabels()); err != nil {
		c.wrong("labels", "%v", err)
	}
	c.someTemplate("template", r.GetTemplate(), "")
	c.poolSize(r.GetSize())
	return c.violations
}

// CheckPoolUpdate returns what is wrong with the request to change a pool.
func CheckPoolUpdate(r *bulkheadv1.UpdatePoolRequest) []fault.Violation {
	c := new(checker)
	if r.GetTemplate() != "" {
		c.someTemplate("template", r.GetTemplate(), "")
	}
	c.poolSize(r.GetSize())
	return c.violations
}

func (c *checker) poolSize(size uint32) {
	if size > MaxPool {
		c.wrong("size", "%d, a pool has up to %d", size, MaxPool)
	}
}
