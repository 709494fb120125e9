package seglog

// Unwritten returns the bytes appended and not yet written to the file.
func (l *Log) Unwritten() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int(l.end - l.written)
}
