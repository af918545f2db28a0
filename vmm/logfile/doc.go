// Package logfile keeps what programs write in a file that people can read, one
// record a line:
//
//	2026-11-27T18:47:51.123456789Z LABEL F|P CONTENT\n
//
// TIME is UTC, LABEL the stream that the content came from, F says that a newline
// followed the content, and P that it didn't: the line was cut, or came in pieces.
// Container runtimes' logs for Kubernetes have this form.
//
// A log is PATH and, once that has grown too large, PATH.1 with what came before.
// Each of them is a part, and begins with a record of the log's own that numbers
// it; another says where a Writer ended. A Writer only ever adds whole lines to
// PATH, so that whoever holds PATH open reads all of a part, whatever it is called
// by then:
//
//	bytes ─▶ Writer: records ─▶ pending ─▶ sink: PATH ─ full ─▶ PATH.1 ─▶ gone
//	                                                │               │
//	             Reader: records ◀─ lines ◀─ part ◀─┴───────────────┘
//
// What is not a record in a file is skipped: a line that a crash cut off, or what
// somebody else wrote.
package logfile
