package seglog

// Unwritten returns the number of appended bytes that are not written to the file yet.
func (l *Log) Unwritten() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int(l.end - l.written)
}
