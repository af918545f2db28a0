// Package pager brings in what a machine's RAM begins as, page by page, when it is
// needed: by userfaultfd where KVM or the kernel touches a page, and by a call where
// this process does.
//
//	guest ─▶ KVM ─▶ page fault ─▶ userfaultfd ─▶ Pager ─▶ memory.Content
//	device ─▶ memory.Slice ─▶ Fetch ───────────────┘
//
// Go code never touches a page that isn't there: package uffd says why. For that
// reason what was there once stays, as far as userfaultfd goes: pages that are given
// back aren't watched any more, and the kernel has zeroes for them. Nor are events
// needed for that.
package pager
