// Package node runs the sandboxes of this host: for the daemon, which keeps them
// over its own end, and within the command line, where they end with it.
//
// Each sandbox is a goroutine that alone changes its state, and keeps what it
// changed before it acts on it:
//
//	          Create                 Start
//	(nothing) ──────▶ CREATED ─────────────────▶ STARTING ──────▶ RUNNING ⇄ PAUSED
//	                                              ▲  ▲  │            │        │
//	                     Start, or its time comes │  │  │ failed,    │ Stop, Kill, the command
//	                                              │  │  │ Stop, Kill │ or the machine ended,
//	                     ┌────────────────────────┘  │  ▼            ▼ idle for too long
//	                BACKING_OFF ◀──── restart ─── STOPPING ◀─────────┴────────┘
//	                     │                           │
//	                     │ Stop                      ▼
//	                     └───────────────────────▶ STOPPED ── Start ──▶ STARTING
//
//	Delete, auto_delete or the end of its time to live: any ──▶ DELETING ──▶ (nothing)
//
// To be saved, or forked, a sandbox stays RUNNING, though it stands still. One that is
// restored comes to be RUNNING as others do, without a boot in between. Each start settles
// first whether it goes on from a template, which is kept before its worker begins.
//
// A sandbox has its share of the node's CPUs and memory in every state but
// STOPPED and DELETING.
//
// A pool's goroutine sees that it has members. Each is a sandbox's goroutine, too, but none
// that clients can name, in a bucket of the store that watchers don't hear of:
//
//	          the pool lacks one                    Boot, then Pause
//	(nothing) ──────────────────▶ STARTING, as if ─────────────────▶ PAUSED: ready
//	    ▲                         it named the template                │    │ Claim: handed over
//	    │                              │ failed                        │    ▼
//	    └────────── DELETING ◀─────────┴─── ended, too many, ──────────┘   STARTING, as a sandbox,
//	                                        evicted, drained               of which it is the machine
//
// A claim takes a member over in one transaction of the store: before it there is a member
// that stands still, after it a sandbox that is STARTING, and whoever finds either goes on
// with it. What it has on the host, and its share of the node, keep the name that they had
// (hostName). Without a member that is ready, a claim is a sandbox that names the template,
// STARTING from its first change on; so is one whose member turns out to be lost, unless it
// was claimed to be of a ready member or not to be. A member that doesn't say in time that
// it is ready is set aside, and asked again.
// Members have only what of the node is free, and give way to sandboxes.
//
// A node that opens finds in its store what each sandbox was doing, and on the
// host what of it is still there, and goes on from both: a worker that lives is
// attached to, a start is finished, a stop as well, and what belongs to no
// sandbox is removed.
package node
