//go:build !unix

package seglog

// mapFile returns the file unchanged: each write is a system call.
func mapFile(f osFile, _ int64) (File, error) { return f, nil }
