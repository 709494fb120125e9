// Package growth has no code, only benchmarks of costs that must not grow with the
// state of an instance or a client: opening a journal, resuming in it, publishing
// beside many publishers or to many subscriptions, memory.
//
//	go test ./internal/perf/growth -bench . -benchtime 1x -timeout 1h
//
// The data is in the page cache, since it has just been written. The time of a start
// depends on how full the last segment is, and that of a resume on the place in the
// segment, more than on the size of the journal; so eight of each are measured. The
// benchmarks write about 20 GB below the directory for temporary files. With -short
// everything is a hundredth of the size.
package growth
