// Package growth has no code, only benchmarks of what must not grow with what
// an instance or a client holds: opening a journal, resuming in it, publishing
// beside many publishers or to many subscriptions, memory.
//
//	go test ./internal/perf/growth -bench . -benchtime 1x -timeout 1h
//
// What is measured is in the page cache, since it has just been written. What a
// start and a resume take depends on how full the last segment is, or on where
// in its segment something stands, more than on the size of the journal, so
// eight of each are measured. It writes some 20 GB below the directory for
// temporary files. With -short everything is a hundredth of the size.
package growth
