package atonce

// A Turn is held by the one who works with something that several goroutines
// may work with, and may wait for a connection meanwhile, which is why it is no
// mutex.
type Turn chan struct{}

// NewTurn returns a Turn that nobody holds.
func NewTurn() Turn {
	t := make(Turn, 1)
	t.Give()
	return t
}

// Take waits for the turn, Give ends it. Try takes it if nobody holds it.
func (t Turn) Take() { <-t }
func (t Turn) Give() { t <- struct{}{} }
func (t Turn) Try() bool {
	select {
	case <-t:
		return true
	default:
		return false
	}
}
