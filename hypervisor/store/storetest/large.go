package storetest

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/store"
)

// testLarge has large changes: fewer of them are remembered, and read at once.
func testLarge(t *testing.T, s store.Store) {
	message := strings.Repeat("x", 200_000)
	const many = store.MaxEventBytes/200_000 + 10
	for range many {
		put(t, s, "a", message)
	}
	if _, err := s.Events(5, 1); !errors.Is(err, store.ErrForgotten) {
		t.Errorf("of long ago: %v", err)
	}
	const after = many - store.MaxEventBytes/200_000 + 5
	list, err := s.Events(after, many)
	must(t, err)
	size := 0
	for _, e := range list {
		size += proto.Size(e)
	}
	if size < store.BatchBytes || size > store.BatchBytes+300_000 || list[0].GetSandbox().GetResourceVersion() != after+1 {
		t.Errorf("%d changes with %d bytes are read at once", len(list), size)
	}
	put(t, s, "a", strings.Repeat(message, 200)) // more than all may have
	if list, err = s.Events(many, many); err != nil || len(list) != 1 {
		t.Errorf("the last change isn't remembered: %v", err)
	}
	put(t, s, "a", "small again")
	if list, err = s.Events(many+1, many); err != nil || len(list) != 1 {
		t.Errorf("the next one isn't: %v", err)
	}
}
