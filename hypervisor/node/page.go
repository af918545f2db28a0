package node

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/labels"
)

// Sizes of pages.
const (
	defaultPage = 100
	maxPage     = 1000
	pageBytes   = 1 << 20 // up to the sandbox with which it is as much or more
)

// pageRequest is what requests for lists have in common.
type pageRequest interface {
	GetLabelSelector() string
	GetPageSize() uint32
	GetPageToken() string
}

// askedPage is the page of a list that is asked for.
type askedPage struct {
	selector labels.Selector
	size     int
	after    string // the name that the page before ended with
	version  uint64 // that the first page had
}

func readPage(r pageRequest) (p askedPage, err error) {
	if p.selector, err = labels.Parse(r.GetLabelSelector()); err != nil {
		return p, fault.InvalidField("label_selector", err.Error())
	}
	if p.size, err = pageSize(r.GetPageSize()); err != nil {
		return p, err
	}
	if r.GetPageToken() != "" {
		if p.after, p.version, err = readToken(r.GetPageToken()); err != nil {
			return p, errPageToken()
		}
	}
	return p, nil
}

// pageSize returns how many a page has of which so many are asked for.
func pageSize(asked uint32) (int, error) {
	switch {
	case asked == 0:
		return defaultPage, nil
	case asked > maxPage:
		return 0, fault.InvalidField("page_size", "it is at most "+strconv.Itoa(maxPage))
	}
	return int(asked), nil
}

func errPageToken() error {
	return fault.InvalidField("page_token", "it is none that this node gave: begin with the first page")
}

// token is where a page ended, and the version that the first one had.
func token(name string, version uint64) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatUint(version, 10) + "/" + name))
}

func readToken(token string) (name string, version uint64, err error) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return "", 0, err
	}
	number, name, _ := strings.Cut(string(b), "/")
	version, err = strconv.ParseUint(number, 10, 64)
	return name, version, err
}
